// Linear layers for up to sixteen tokens: a query, or the end of a batch.
//
// With so few tokens a tile would leave most of a GPU idle, and what counts is that every weight is
// read once, by many lanes at a time. So a workgroup takes 32 outputs, eight quads, and 16 slices of
// lanes share K: a slice takes every 16th block of 64, all tokens with a quad of outputs in a lane. The
// sums of a round of 16 blocks go through workgroup memory, eight tokens at a time, and are added in
// the order of K. That is the rule of tile.wgsl, with the same bits; strips and the norm of x are as there.

const TOKENS = 16u;
const OUTPUTS = 32u;
const LANES_N = 4u;  // quads of a side
const QUADS = 8u;    // of both
const SLICES = 16u;
const BLOCK4 = 16u;  // vec4s of K in a block

// The sums of a slice: eight tokens with eight quads.
var<workgroup> terms: array<array<vec4<f32>, 64>, SLICES>;

fn put(slice: u32, quad: u32, token: u32, s: mat4x4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        terms[slice][(token + i) * QUADS + quad] = s[i];
    }
}

@compute @workgroup_size(QUADS * SLICES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let k4 = params.k4;
    let row = group.y * TOKENS;
    let quad = lane % QUADS;
    let slice = lane / QUADS;
    let here = place(group.x, quad / LANES_N, quad % LANES_N);
    let w_at = here.strip * ((k4 + 3u) / 4u * 4u) * 32u + here.quad * 2u;
    let groups_at = first_group(here.strip, here.quad);
    let x0 = row_at(row);
    let x1 = row_at(row + 4u);
    let x2 = row_at(row + 8u);
    let x3 = row_at(row + 12u);

    // What a lane that stores multiplies its token's sums by.
    var scale = 1.0;
    if (NORMED) {
        if (lane < TOKENS * 4u) {
            let at = row_at(row + lane / 4u);
            terms[0][lane / 4u][lane % 4u] = chain_of_squares(at, lane % 4u);
        }
        workgroupBarrier();
        let sum = sum_of_chains(terms[0][lane / LANES_N % TOKENS]);
        scale = row_scales(vec4<f32>(sum)).x;
    }

    // Lanes below 64 add up: token lane / 8, and that plus eight, with quad lane % 8.
    var total_low = vec4<f32>();
    var total_high = vec4<f32>();
    for (var round = 0u; round < k4; round += BLOCK4 * SLICES) {
        var s0 = mat4x4<f32>();
        var s1 = mat4x4<f32>();
        var s2 = mat4x4<f32>();
        var s3 = mat4x4<f32>();
        let block = round + slice * BLOCK4;
        let end = min(block + BLOCK4, k4);
        var g = 0u;
        var g_end = 0u;
        for (var k = block; k < end; k++) {
            if (k >= g_end) {
                g = group_of(k);
                g_end = group_end(g);
            }
            // Loaded again each time: kept, they would cost GPUs of few registers what they do not have.
            let shared_by = group_at(groups_at, g);
            let low = w[w_at + k * 32u];
            let high = w[w_at + k * 32u + 1u];
            let w4 = normed4(mat4x4<f32>(
                weights(first(low), shared_by), weights(second(low), shared_by),
                weights(first(high), shared_by), weights(second(high), shared_by),
            ), k);
            s0 = chains(s0, x0 + k, w4);
            s1 = chains(s1, x1 + k, w4);
            s2 = chains(s2, x2 + k, w4);
            s3 = chains(s3, x3 + k, w4);
        }

        let blocks = min(SLICES, (k4 - round + BLOCK4 - 1u) / BLOCK4);
        workgroupBarrier();
        put(slice, quad, 0u, s0);
        put(slice, quad, 4u, s1);
        workgroupBarrier();
        if (lane < 64u) {
            for (var s = 0u; s < blocks; s++) {
                total_low += terms[s][lane];
            }
        }
        workgroupBarrier();
        put(slice, quad, 0u, s2);
        put(slice, quad, 4u, s3);
        workgroupBarrier();
        if (lane < 64u) {
            for (var s = 0u; s < blocks; s++) {
                total_high += terms[s][lane];
            }
        }
    }

    // Both sides of a token come together.
    workgroupBarrier();
    if (lane < 64u) {
        terms[0][lane] = total_low;
        terms[1][lane] = total_high;
    }
    workgroupBarrier();
    if (lane < TOKENS * LANES_N) {
        let token = lane / LANES_N;
        let n = lane % LANES_N;
        var a = terms[token / 8u][token % 8u * QUADS + n];
        var b = terms[token / 8u][token % 8u * QUADS + LANES_N + n];
        if (NORMED) {
            a *= scale;
            b *= scale;
        }
        store_quads(row + token, group.x, n, a, b);
    }
}
