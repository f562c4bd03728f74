// What head_norm_rope.wgsl computes, for GPUs that are there: a workgroup a token and head, so that neighbouring lanes read
// neighbouring numbers. There a lane has a head of its own, 512 bytes from its neighbour's.
//
// A lane takes pair `lane` of the head, and every 64th after it. Squares are added by lane, and after the only barrier every
// lane adds the 64 sums itself, in the same order, as in rms_norm.wgsl.

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

const LANES = 64u;
var<workgroup> partial: array<vec4<f32>, 16>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let half = params.half;
    let base = ((params.x_row + group.y) * params.heads + group.x) * 2u * half;

    var squares = 0.0;
    for (var i = lane; i < half; i += LANES) {
        squares += x[base + i] * x[base + i] + x[base + half + i] * x[base + half + i];
    }
    partial[lane / 4u][lane % 4u] = squares;
    workgroupBarrier();

    var sums = vec4<f32>();
    for (var i = 0u; i < LANES / 4u; i++) {
        sums += partial[i];
    }
    let sum = (sums.x + sums.y) + (sums.z + sums.w);
    let scale = inverseSqrt(sum / f32(2u * half) + params.eps);

    let angle = positions[params.position_row + group.y] * half;
    for (var i = lane; i < half; i += LANES) {
        let a = x[base + i] * scale * w[i];
        let b = x[base + half + i] * scale * w[half + i];
        let turn = rope[angle + i];
        x[base + i] = a * turn.x - b * turn.y;
        x[base + half + i] = b * turn.x + a * turn.y;
    }
}
