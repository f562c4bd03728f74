// The full-matrix way to score, to measure against: a matrix product that stores every similarity, a pass for the maxima
// of each document, a pass for their sums. The product is the register tile of shaders/maxsim_strip.wgsl.

struct Params {
    tokens: u32,
    docs: u32,
    rows: u32,  // a multiple of 8
    k4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;          // [rows, k4]
@group(0) @binding(2) var<storage, read> data: array<vec4<f32>>;       // [T, k4]
@group(0) @binding(3) var<storage, read> ends: array<u32>;             // [docs]
@group(0) @binding(4) var<storage, read_write> matrix: array<f32>;     // [T, rows]
@group(0) @binding(5) var<storage, read_write> best: array<f32>;       // [docs, rows]
@group(0) @binding(6) var<storage, read_write> scores: array<f32>;     // [docs]

@compute @workgroup_size(64)
fn product(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x * 4u;
    if (token >= params.tokens) {
        return;
    }
    let row = id.y * 8u;
    let t = min(token + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.tokens - 1u)) * params.k4;
    let q0 = row * params.k4;
    var s = array<vec4<f32>, 8>();
    for (var k = 0u; k < params.k4; k++) {
        let tokens = mat4x4<f32>(data[t.x + k], data[t.y + k], data[t.z + k], data[t.w + k]);
        s[0] += q[q0 + k] * tokens;
        s[1] += q[q0 + params.k4 + k] * tokens;
        s[2] += q[q0 + 2u * params.k4 + k] * tokens;
        s[3] += q[q0 + 3u * params.k4 + k] * tokens;
        s[4] += q[q0 + 4u * params.k4 + k] * tokens;
        s[5] += q[q0 + 5u * params.k4 + k] * tokens;
        s[6] += q[q0 + 6u * params.k4 + k] * tokens;
        s[7] += q[q0 + 7u * params.k4 + k] * tokens;
    }
    for (var c = 0u; c < min(4u, params.tokens - token); c++) {
        for (var r = 0u; r < 8u; r++) {
            matrix[(token + c) * params.rows + row + r] = s[r][c];
        }
    }
}

@compute @workgroup_size(64)
fn maxima(@builtin(global_invocation_id) id: vec3<u32>) {
    let doc = id.x / params.rows;
    if (doc >= params.docs) {
        return;
    }
    let row = id.x % params.rows;
    var highest = -0x1.fffffep+127f;
    for (var token = select(0u, ends[max(doc, 1u) - 1u], doc > 0u); token < ends[doc]; token++) {
        highest = max(highest, matrix[token * params.rows + row]);
    }
    best[id.x] = highest;
}

@compute @workgroup_size(64)
fn sums(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.docs) {
        return;
    }
    var sum = 0.0;
    for (var row = 0u; row < params.rows; row++) {
        sum += best[id.x * params.rows + row];
    }
    scores[id.x] = sum;
}
