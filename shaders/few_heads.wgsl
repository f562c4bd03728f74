// Queries, keys and values of up to sixteen tokens: few.wgsl where a workgroup has to have a whole head.
//
// A workgroup takes 128 outputs, 32 quads, and eight slices of lanes share K: a slice takes every eighth block of 64. The
// sums of a round of eight blocks go through workgroup memory, four tokens at a time, and are added in the order of K.
// Then a lane has quads n and n + 16 of one token, and 16 lanes have its head: as in tile.wgsl, with the same bits.

const TOKENS = 16u;
const OUTPUTS = 128u;
const LANES_N = 16u;  // quads of a side
const QUADS = 32u;    // of both
const SLICES = 8u;
const BLOCK4 = 16u;   // vec4s of K in a block

// The sums of a slice: four tokens with 32 quads.
var<workgroup> terms: array<array<vec4<f32>, 128>, SLICES>;

fn put(slice: u32, quad: u32, s: mat4x4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        terms[slice][i * QUADS + quad] = s[i];
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

    // The token and the quads that a lane stores.
    let token = lane / LANES_N;
    let n = lane % LANES_N;
    if (lane < TOKENS * 4u) {
        let at = row_at(row + lane / 4u);
        terms[0][lane / 4u][lane % 4u] = chain_of_squares(at, lane % 4u);
    }
    workgroupBarrier();
    let sum = sum_of_chains(terms[0][token]);
    let scale = row_scales(vec4<f32>(sum)).x;

    // Half of the lanes add up tokens 0 to 3 and 8 to 11, the others those between and behind.
    let half = lane / 128u;
    let entry = lane % 128u;
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
        put(slice, quad, s0);
        workgroupBarrier();
        total_low = added(total_low, entry, blocks, half == 0u);
        workgroupBarrier();
        put(slice, quad, s1);
        workgroupBarrier();
        total_low = added(total_low, entry, blocks, half == 1u);
        workgroupBarrier();
        put(slice, quad, s2);
        workgroupBarrier();
        total_high = added(total_high, entry, blocks, half == 0u);
        workgroupBarrier();
        put(slice, quad, s3);
        workgroupBarrier();
        total_high = added(total_high, entry, blocks, half == 1u);
    }

    // All quads of a token come together.
    workgroupBarrier();
    terms[half][entry] = total_low;
    terms[2u + half][entry] = total_high;
    workgroupBarrier();
    let at = token % 4u * QUADS + n;
    let a = terms[token / 4u][at] * scale;
    let b = terms[token / 4u][at + LANES_N] * scale;
    terms[4][token * 4u + n / 4u][n % 4u] = squares_of(a, b);
    workgroupBarrier();
    var head = 0.0;
    for (var i = 0u; i < LANES_N; i++) {
        head += terms[4][token * 4u + i / 4u][i % 4u];
    }
    store_head(row + token, group.x, n, a, b, head);
}

fn added(total: vec4<f32>, entry: u32, blocks: u32, own: bool) -> vec4<f32> {
    var sum = total;
    if (own) {
        for (var s = 0u; s < blocks; s++) {
            sum += terms[s][entry];
        }
    }
    return sum;
}
