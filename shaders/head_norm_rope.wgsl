// RMSNorm of each head of q or k, then rotary position embedding, in place.
//
//   n[i] = x[i] * rsqrt(mean(x^2) + eps) * w[i]                       i in 0..Dh
//   x[i]        = n[i] * cos - n[i + Dh/2] * sin                      i in 0..Dh/2
//   x[i + Dh/2] = n[i + Dh/2] * cos + n[i] * sin
//
// with cos and sin of position * theta^(-2i/Dh), made on the CPU: WGSL's own sin and cos may be
// off by 2^-11 and are undefined in accuracy beyond pi, and positions go to 32,768. The halves
// are paired as transformers' rotate_half does. One thread a token and head; Dh/2 need not be a
// multiple of four, so the rows are read as scalars.

struct Params {
    rows: u32,      // T: tokens here
    heads: u32,     // Hq or Hkv
    half: u32,      // Dh / 2
    x_row: u32,     // first row of x
    position_row: u32, // first row of positions
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;                // [Dh]
@group(0) @binding(2) var<storage, read> rope: array<vec2<f32>>;       // [positions, Dh/2]: cos, sin
@group(0) @binding(3) var<storage, read> positions: array<u32>;        // [T]: place of a token in its text
@group(0) @binding(4) var<storage, read_write> x: array<f32>;          // [T, heads * Dh]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / params.heads;
    if (row >= params.rows) {
        return;
    }
    let head = id.x % params.heads;
    let half = params.half;
    let base = ((params.x_row + row) * params.heads + head) * 2u * half;

    var squares = 0.0;
    for (var i = 0u; i < 2u * half; i++) {
        squares += x[base + i] * x[base + i];
    }
    let scale = inverseSqrt(squares / f32(2u * half) + params.eps);

    let angle = positions[params.position_row + row] * half;
    for (var i = 0u; i < half; i++) {
        let a = x[base + i] * scale * w[i];
        let b = x[base + half + i] * scale * w[half + i];
        let turn = rope[angle + i];
        x[base + i] = a * turn.x - b * turn.y;
        x[base + half + i] = b * turn.x + a * turn.y;
    }
}
