// int8.wgsl for up to sixteen tokens, as few.wgsl is tile.wgsl: slices of lanes share K, and have every SLICES-th block of it, all
// tokens with a quad of outputs in a lane. The integers of a round of blocks go through workgroup memory, AT tokens at a
// time; there each lane scales and adds up two outputs of a token, block after block, with the bits of int8.wgsl.

const TOKENS = 16u;
const OUTPUTS = LANES_N * 8u;
const QUADS = LANES_N * 2u;     // of both sides
const LANES = QUADS * SLICES;
const AT = SLICES / 2u;         // tokens at a time: 4 or 8

// [SLICES, AT, QUADS, 2]
var<workgroup> terms: array<array<vec2<i32>, LANES>, SLICES>;

fn put(slice: u32, quad: u32, token: u32, s: Ints) {
    let at = (token * QUADS + quad) * 2u;
    terms[slice][at] = s.x.xy;
    terms[slice][at + 1u] = s.x.zw;
    terms[slice][at + QUADS * 2u] = s.y.xy;
    terms[slice][at + QUADS * 2u + 1u] = s.y.zw;
    terms[slice][at + QUADS * 4u] = s.z.xy;
    terms[slice][at + QUADS * 4u + 1u] = s.z.zw;
    terms[slice][at + QUADS * 6u] = s.w.xy;
    terms[slice][at + QUADS * 6u + 1u] = s.w.zw;
}

// With the products of a vec4 of words of a token.
fn with_token(s: vec4<i32>, at: u32, w: Words) -> vec4<i32> {
    let t = x[at];
    return dots(dots(dots(dots(s, t.x, w.x), t.y, w.y), t.z, w.z), t.w, w.w);
}

// The same for four tokens that lie `stride` apart. Past the last row of x are numbers that nobody stores.
fn with_words(s: Ints, at: u32, stride: u32, w: Words) -> Ints {
    return Ints(
        with_token(s.x, at, w), with_token(s.y, at + stride, w),
        with_token(s.z, at + 2u * stride, w), with_token(s.w, at + 3u * stride, w),
    );
}

// Where a lane that adds up finds what it needs: the outputs of its quad, and which two.
struct Own {
    groups: u32,
    high: bool,
}

// With the blocks of a round of a token, in the order of K.
fn added(y: vec2<f32>, own: Own, lane: u32, row: u32, round: u32) -> vec2<f32> {
    let step = params.group4 / 4u + 1u;
    let scales = min(row, params.rows - 1u) * params.groups * step + step - 1u;
    let blocks = min(SLICES, params.groups - round);
    var sum = y;
    for (var i = 0u; i < blocks; i++) {
        let pair = bitcast<vec2<f32>>(x[scales + (round + i) * step].xy);
        let by = groups[own.groups + (round + i) * 16u];
        let scale = select(by.scale.xy, by.scale.zw, own.high);
        let bias = select(by.bias.xy, by.bias.zw, own.high);
        sum = fma(vec2<f32>(pair.y), bias, fma(vec2<f32>(terms[i][lane]) * pair.x, scale, sum));
    }
    return sum;
}

// The sums of a quad of a token, once they are all in `terms`.
fn sums_of(token: u32, quad: u32) -> vec4<f32> {
    let at = (token % AT * QUADS + quad) * 2u;
    return bitcast<vec4<f32>>(vec4<i32>(terms[token / AT][at], terms[token / AT][at + 1u]));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let span = params.group4 / 4u;
    let row = group.y * TOKENS;
    let last = params.rows - 1u;
    let stride = params.groups * (span + 1u);
    let quad = lane % QUADS;
    let slice = lane / QUADS;
    let here = place(group.x, quad / LANES_N, quad % LANES_N);
    let w_block = span * 4u / HALVES * 16u;
    let w_at = here.strip * params.groups * w_block + here.quad;
    let x0 = min(row, last) * stride;
    let x1 = min(row + 4u, last) * stride;
    let x2 = min(row + 8u, last) * stride;
    let x3 = min(row + 12u, last) * stride;

    let own_quad = lane / 2u % QUADS;
    let there = place(group.x, own_quad / LANES_N, own_quad % LANES_N);
    let own = Own(there.strip * params.groups * 16u + there.quad, lane % 2u == 1u);
    let own_row = row + lane / (QUADS * 2u);

    var y0 = vec2<f32>();
    var y1 = vec2<f32>();
    var y2 = vec2<f32>();
    var y3 = vec2<f32>();
    for (var round = 0u; round < params.groups; round += SLICES) {
        var s0 = Ints();
        var s1 = Ints();
        var s2 = Ints();
        var s3 = Ints();
        let block = round + slice;
        // A slice past the last block has nothing to do.
        var from_w = w_at + block * w_block;
        var from_x = block * (span + 1u);
        let end = select(0u, from_x + span, block < params.groups);
        for (; from_x < end; from_x++) {
            let words = Words(
                word_of(w[from_w], 0u), word_of(w[from_w + 1u / HALVES * 16u], 1u % HALVES),
                word_of(w[from_w + 2u / HALVES * 16u], 0u), word_of(w[from_w + 3u / HALVES * 16u], 1u % HALVES),
            );
            from_w += 4u / HALVES * 16u;
            s0 = with_words(s0, x0 + from_x, stride, words);
            s1 = with_words(s1, x1 + from_x, stride, words);
            s2 = with_words(s2, x2 + from_x, stride, words);
            s3 = with_words(s3, x3 + from_x, stride, words);
        }
        workgroupBarrier();
        put(slice, quad, 0u, s0);
        if (AT == 8u) {
            put(slice, quad, 4u, s1);
        }
        workgroupBarrier();
        y0 = added(y0, own, lane, own_row, round);
        workgroupBarrier();
        if (AT == 8u) {
            put(slice, quad, 0u, s2);
            put(slice, quad, 4u, s3);
        } else {
            put(slice, quad, 0u, s1);
        }
        workgroupBarrier();
        y1 = added(y1, own, lane, own_row + AT, round);
        if (AT == 4u) {
            workgroupBarrier();
            put(slice, quad, 0u, s2);
            workgroupBarrier();
            y2 = added(y2, own, lane, own_row + 2u * AT, round);
            workgroupBarrier();
            put(slice, quad, 0u, s3);
            workgroupBarrier();
            y3 = added(y3, own, lane, own_row + 3u * AT, round);
        }
    }

    workgroupBarrier();
    terms[0][lane] = bitcast<vec2<i32>>(y0);
    terms[1][lane] = bitcast<vec2<i32>>(y1);
    terms[2][lane] = bitcast<vec2<i32>>(y2);
    terms[3][lane] = bitcast<vec2<i32>>(y3);
    workgroupBarrier();
    let token = lane / LANES_N;
    let n = lane % LANES_N;
    finish(row, group.x, token, n);
}
