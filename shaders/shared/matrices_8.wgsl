// Cooperative matrices of 8 x 8, as Apple's processors and Mesa's software rasterizer multiply them: halves, and sums in f32.
enable f16;
enable wgpu_cooperative_matrix;

const SIZE = 8u;
alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sum = coop_mat8x8<f32, C>;

// Staged rows, in halves: Metal loads a matrix from numbers of its own kind.
var<workgroup> xs: array<f16, TOKENS * ROW * 4u>;
var<workgroup> ws: array<f16, OUTPUTS * ROW * 4u>;

fn put_x(at: u32, value: vec4<f16>) {
    xs[at * 4u] = value.x;
    xs[at * 4u + 1u] = value.y;
    xs[at * 4u + 2u] = value.z;
    xs[at * 4u + 3u] = value.w;
}

fn put_w(at: u32, value: vec4<f16>) {
    ws[at * 4u] = value.x;
    ws[at * 4u + 1u] = value.y;
    ws[at * 4u + 2u] = value.z;
    ws[at * 4u + 3u] = value.w;
}

fn left(at: u32) -> Left {
    return coopLoadT<Left>(&xs[at * 4u], ROW * 4u);
}

fn right(at: u32) -> Right {
    return coopLoad<Right>(&ws[at * 4u], ROW * 4u);
}
