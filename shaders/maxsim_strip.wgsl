// MaxSim without barriers, for software adapters. See shared/maxsim.wgsl for what it computes.
//
// A thread owns eight query rows and a strip, here a piece of one document. It takes the strip's tokens four at a time
// in a register tile of 8 x 4, whose four tokens are the columns of a matrix, and keeps the highest similarity of each
// row; only at the strip's end does it touch `best`. Tokens past the end repeat the last one, which changes no maximum;
// rows past the end repeat the last row and are not stored.
//
// The host keeps strips short enough that no thread comes near 65,535 loop iterations, after which llvmpipe ends loops
// without a word.

const ROWS = 8u;

fn raise(strip: Strip, row: u32, value: f32) {
    if (row < strip.rows) {
        atomicMax(&best[strip.best + row], ordered(value));
    }
}

fn highest(similarities: vec4<f32>) -> f32 {
    return max(max(similarities.x, similarities.y), max(similarities.z, similarities.w));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let index = params.first_strip + id.x;
    if (index >= params.end_strip) {
        return;
    }
    let strip = strips[index];
    let row = (params.first_block + id.y) * ROWS;
    if (row >= strip.rows) {
        return;
    }
    let k4 = params.k4;
    let last_row = strip.rows - 1u;
    let q0 = (strip.query + row) * k4;
    let q1 = (strip.query + min(row + 1u, last_row)) * k4;
    let q2 = (strip.query + min(row + 2u, last_row)) * k4;
    let q3 = (strip.query + min(row + 3u, last_row)) * k4;
    let q4 = (strip.query + min(row + 4u, last_row)) * k4;
    let q5 = (strip.query + min(row + 5u, last_row)) * k4;
    let q6 = (strip.query + min(row + 6u, last_row)) * k4;
    let q7 = (strip.query + min(row + 7u, last_row)) * k4;

    var b0 = LOWEST;
    var b1 = LOWEST;
    var b2 = LOWEST;
    var b3 = LOWEST;
    var b4 = LOWEST;
    var b5 = LOWEST;
    var b6 = LOWEST;
    var b7 = LOWEST;
    for (var token = strip.token; token < strip.end; token += 4u) {
        let t = min(token + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(strip.end - 1u));
        var s0 = vec4<f32>();
        var s1 = vec4<f32>();
        var s2 = vec4<f32>();
        var s3 = vec4<f32>();
        var s4 = vec4<f32>();
        var s5 = vec4<f32>();
        var s6 = vec4<f32>();
        var s7 = vec4<f32>();
        for (var k = 0u; k < k4; k++) {
            let tokens = mat4x4<f32>(token4(t.x, k), token4(t.y, k), token4(t.z, k), token4(t.w, k));
            s0 += q[q0 + k] * tokens;
            s1 += q[q1 + k] * tokens;
            s2 += q[q2 + k] * tokens;
            s3 += q[q3 + k] * tokens;
            s4 += q[q4 + k] * tokens;
            s5 += q[q5 + k] * tokens;
            s6 += q[q6 + k] * tokens;
            s7 += q[q7 + k] * tokens;
        }
        let scale = scales_of(t);
        b0 = max(b0, highest(s0 * scale));
        b1 = max(b1, highest(s1 * scale));
        b2 = max(b2, highest(s2 * scale));
        b3 = max(b3, highest(s3 * scale));
        b4 = max(b4, highest(s4 * scale));
        b5 = max(b5, highest(s5 * scale));
        b6 = max(b6, highest(s6 * scale));
        b7 = max(b7, highest(s7 * scale));
    }
    raise(strip, row, b0);
    raise(strip, row + 1u, b1);
    raise(strip, row + 2u, b2);
    raise(strip, row + 3u, b3);
    raise(strip, row + 4u, b4);
    raise(strip, row + 5u, b5);
    raise(strip, row + 6u, b6);
    raise(strip, row + 7u, b7);
}
