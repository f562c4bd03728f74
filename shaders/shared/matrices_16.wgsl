// Cooperative matrices of 16 x 16, as processors of NVIDIA, AMD and Intel multiply them: halves, and sums in f32.
enable f16;
enable wgpu_cooperative_matrix;

const SIZE = 16u;
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sum = coop_mat16x16<f32, C>;

// Staged rows, in vec4s, so that a lane moves 8 bytes at a time.
var<workgroup> xs: array<vec4<f16>, TOKENS * ROW>;
var<workgroup> ws: array<vec4<f16>, OUTPUTS * ROW>;

fn put_x(at: u32, value: vec4<f16>) {
    xs[at] = value;
}

fn put_w(at: u32, value: vec4<f16>) {
    ws[at] = value;
}

fn left(at: u32) -> Left {
    return coopLoadT<Left>(&xs[at], ROW);
}

fn right(at: u32) -> Right {
    return coopLoad<Right>(&ws[at], ROW);
}
