// RMSNorm of each row: y[t, i] = x[t, i] * rsqrt(mean_i(x[t, i]^2) + eps) * w[i].
//
// One workgroup a row. Each of the 64 lanes adds the squares of every 64th vec4; after the only
// barrier every lane adds the 64 partial sums itself, in the same order, which costs 64 shared
// reads and saves six more barriers. The order of additions depends on H alone, so a row's bits
// do not depend on the rows around it.

struct Params {
    h4: u32,   // H / 4
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;        // [T, H/4]
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;        // [H/4]
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;  // [T, H/4]

const LANES = 64u;
var<workgroup> partial: array<f32, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = group.x * params.h4;
    var squares = 0.0;
    for (var i = lane; i < params.h4; i += LANES) {
        let v = x[base + i];
        squares += dot(v, v);
    }
    partial[lane] = squares;
    workgroupBarrier();

    var sum = 0.0;
    for (var i = 0u; i < LANES; i++) {
        sum += partial[i];
    }
    let scale = inverseSqrt(sum / f32(params.h4 * 4u) + params.eps);
    for (var i = lane; i < params.h4; i += LANES) {
        y[base + i] = x[base + i] * scale * w[i];
    }
}
