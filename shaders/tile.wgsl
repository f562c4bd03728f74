// Linear layers by a tile in workgroup memory: TOKENS x OUTPUTS sums for a workgroup, 8 or 4 tokens
// and 8 outputs of them for a lane (shared/lane_*.wgsl), for GPUs that are there.
//
// For 16 values of K at a time the workgroup copies its rows of x, turned so that K comes first, and
// its weights, widened to f32 once, to workgroup memory; then each lane multiplies. A lane's tokens
// and outputs are quads that lie apart, so that neighbouring lanes read neighbouring quads. Where x
// is turned, the quads of a row are shuffled by XOR, or all lanes would write to the same banks.
//
// Weights lie in strips of 64 outputs, [strip][K/4][16 quads of outputs][4 of K][4 outputs], as
// gpu/strips.rs packs them: what a workgroup reads in a step are runs of memory. A weight has a quad
// of the tile on either of two sides; a pair (swiglu) has the gate on one, the up on the other.
//
// Sums: 64 values of K are one chain of fma in ascending order, starting from 0; these blocks are added
// in ascending order. tile.wgsl and few.wgsl share this rule, so a token's bits depend neither on the
// tile nor on its neighbours. K is padded to 16 with zeros, which change nothing.
//
// Rows of x are normalized within the product where shared/norm_rows.wgsl is part of it.

const STEP = 16u;   // values of K a step: four vec4s
const BLOCK4 = 16u; // vec4s of K in a block
const LANES = LANES_T * LANES_N;
const X_LOADS = TOKENS * 4u / LANES;
const W_LOADS = OUTPUTS * 2u / LANES;

var<workgroup> xs: array<array<vec4<f32>, TOKENS / 4u>, STEP>;
var<workgroup> ws: array<array<vec4<f32>, OUTPUTS / 4u>, STEP>;

// What a lane tells those of the same tokens, once all have multiplied.
fn keep(n: u32, quad: u32, value: vec4<f32>) {
    xs[n][quad] = value;
}

fn kept(n: u32, quad: u32) -> vec4<f32> {
    return xs[n][quad];
}

fn outer(s: mat4x4<f32>, t: vec4<f32>, n: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(vec4<f32>(t.x), n, s[0]), fma(vec4<f32>(t.y), n, s[1]),
        fma(vec4<f32>(t.z), n, s[2]), fma(vec4<f32>(t.w), n, s[3]),
    );
}

fn scaled(s: mat4x4<f32>, t: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(s[0] * t.x, s[1] * t.y, s[2] * t.z, s[3] * t.w);
}

// The factors of a quad of tokens, once the lanes of each row have put their squares in xs.
fn scales_of(quad: u32) -> vec4<f32> {
    return row_scales((xs[0][quad] + xs[1][quad ^ 2u]) + (xs[2][quad ^ 4u] + xs[3][quad ^ 6u]));
}

fn quarter(s: Sums, c: u32, t: u32, n: u32) -> Sums {
    let shuffled = t ^ (c * 2u);
    let first = products(s, c * 4u, shuffled, n);
    let second = products(first, c * 4u + 1u, shuffled, n);
    let third = products(second, c * 4u + 2u, shuffled, n);
    return products(third, c * 4u + 3u, shuffled, n);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let k4 = params.k4;
    let row = group.y * TOKENS;
    let t = lane / LANES_N;
    let n = lane % LANES_N;

    // What this lane copies of x: a vec4 of K of rows that are LANES / 4 apart.
    let x_k = lane % 4u;
    let x_row = lane / 4u;
    let x_quad = (x_row / 4u) ^ (x_k * 2u);
    var x_at: array<u32, X_LOADS>;
    for (var i = 0u; i < X_LOADS; i++) {
        x_at[i] = min(row + x_row + i * (LANES / 4u), params.rows - 1u) * k4 + x_k;
    }

    // And of w: a pair of values of K of quads that are LANES / 8 apart.
    let w_pair = lane / (LANES / 4u) * 2u + lane % 2u;
    let w_quad = lane / 2u % (LANES / 8u);
    let w_rows = (k4 + 3u) / 4u * 4u;
    var groups_at: array<u32, W_LOADS>;
    var shared_by: array<Group, W_LOADS>;
    var w_at: array<u32, W_LOADS>;
    for (var i = 0u; i < W_LOADS; i++) {
        let quad = w_quad + i * (LANES / 8u);
        let here = place(group.x, quad / LANES_N, quad % LANES_N);
        groups_at[i] = first_group(here.strip, here.quad);
        w_at[i] = (here.strip * w_rows + w_pair / 2u) * 32u + here.quad * 2u + w_pair % 2u;
    }
    var g = 0u;
    var g_end = 0u;

    var squares: array<f32, X_LOADS>;
    var total = Sums();
    var k = 0u;
    while (k < k4) {
        var sums = Sums();
        let end = min(k + BLOCK4, k4);
        for (; k < end; k += 4u) {
            let pair = k * 2u + w_pair;
            let next = pair / 2u >= g_end;
            if (next) {
                g = group_of(pair / 2u);
                g_end = group_end(g);
            }
            if (next || RELOAD) {
                for (var i = 0u; i < W_LOADS; i++) {
                    shared_by[i] = group_at(groups_at[i], g);
                }
            }
            var x_new: array<vec4<f32>, X_LOADS>;
            var w_new: array<Piece, W_LOADS>;
            for (var i = 0u; i < X_LOADS; i++) {
                x_new[i] = select(vec4<f32>(), x[x_at[i] + k], k + x_k < k4);
            }
            for (var i = 0u; i < X_LOADS; i++) {
                squares[i] = with_square(squares[i], x_new[i]);
            }
            for (var i = 0u; i < W_LOADS; i++) {
                w_new[i] = w[w_at[i] + k * 32u];
            }

            workgroupBarrier();
            for (var i = 0u; i < X_LOADS; i++) {
                let quad = x_quad + i * (LANES / 16u);
                xs[x_k * 4u][quad][x_row % 4u] = x_new[i].x;
                xs[x_k * 4u + 1u][quad][x_row % 4u] = x_new[i].y;
                xs[x_k * 4u + 2u][quad][x_row % 4u] = x_new[i].z;
                xs[x_k * 4u + 3u][quad][x_row % 4u] = x_new[i].w;
            }
            for (var i = 0u; i < W_LOADS; i++) {
                let quad = w_quad + i * (LANES / 8u);
                let numbers = normed2(
                    weights(first(w_new[i]), shared_by[i]), weights(second(w_new[i]), shared_by[i]), pair,
                );
                ws[w_pair * 2u][quad] = numbers[0];
                ws[w_pair * 2u + 1u][quad] = numbers[1];
            }
            workgroupBarrier();

            sums = quarter(sums, 0u, t, n);
            sums = quarter(sums, 1u, t, n);
            sums = quarter(sums, 2u, t, n);
            sums = quarter(sums, 3u, t, n);
        }
        total = add(total, sums);
    }
    if (NORMED) {
        // The lanes of a row have a chain of its squares each.
        workgroupBarrier();
        for (var i = 0u; i < X_LOADS; i++) {
            xs[x_k][x_quad + i * (LANES / 16u)][x_row % 4u] = squares[i];
        }
        workgroupBarrier();
        total = row_scaled(total, t);
    }
    finish(total, row, group.x, t, n);
}
