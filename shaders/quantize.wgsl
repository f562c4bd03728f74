// From pooled sums to the vectors that leave the GPU: the mean, cut to D dimensions, optionally
// at unit length, in one of four forms, packed into words.
//
//   FLOAT32   x
//   INT8      clamp(round(127 * tanh(x)), -128, 127), half to even; four codes a word
//   BINARY    +1 where x >= 0, else -1: the sign of x, not of its code; four a word
//   UBINARY   the bit x >= 0, most significant bit first as numpy.packbits; 32 a word
//
// One workgroup a text, each lane makes every 64th word. A text without tokens is the zero vector.
//
// Behind the vectors is a word for each: 1 where one of its numbers is infinite or none at all, which
// an int8 code or a bit would not show. That is told by the bits, since WGSL may assume of floats that
// they are finite.

struct Params {
    d: u32,          // D: dimensions kept
    h: u32,          // H: columns of the state
    words: u32,      // words of a row of y
    form: u32,       // one of the four below
    normalize: u32,  // 1: to unit length first
    vectors: u32,    // B
}

const FLOAT32 = 0u;
const INT8 = 1u;
const BINARY = 2u;
const UBINARY = 3u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> counts: array<u32>;         // [B]: tokens in each sum
@group(0) @binding(2) var<storage, read> state: array<vec2<u32>>;    // [B, H]: bits of the floats of pool.wgsl
@group(0) @binding(3) var<storage, read_write> y: array<u32>;        // [B, words], [B]

const LANES = 64u;
var<workgroup> partial: array<f32, LANES>;
var<workgroup> wrong: array<u32, LANES>;

const EXPONENT = vec2<u32>(0x7f800000u);

fn is_finite(bits: vec2<u32>) -> bool {
    return all((bits & EXPONENT) != EXPONENT);
}

fn mean(text: u32, i: u32) -> f32 {
    let count = counts[text];
    if (count == 0u) {
        return 0.0;
    }
    let sums = bitcast<vec2<f32>>(state[text * params.h + i]);
    return (sums.x + sums.y) / f32(count);
}

fn code(x: f32) -> u32 {
    if (params.form == BINARY) {
        return select(0xffu, 1u, x >= 0.0);
    }
    return u32(i32(clamp(round(127.0 * bounded_tanh(x)), -128.0, 127.0))) & 0xffu;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let text = group.x;
    wrong[lane] = 0u;
    for (var i = lane; i < params.d; i += LANES) {
        if (counts[text] > 0u && !is_finite(state[text * params.h + i])) {
            wrong[lane] = 1u;
        }
    }
    workgroupBarrier();
    if (lane == 0u) {
        var any = 0u;
        for (var i = 0u; i < LANES; i++) {
            any |= wrong[i];
        }
        y[params.vectors * params.words + text] = any;
    }
    var scale = 1.0;
    if (params.normalize == 1u) {
        var squares = 0.0;
        for (var i = lane; i < params.d; i += LANES) {
            let value = mean(text, i);
            squares += value * value;
        }
        partial[lane] = squares;
        workgroupBarrier();
        var sum = 0.0;
        for (var i = 0u; i < LANES; i++) {
            sum += partial[i];
        }
        scale = 1.0 / max(sqrt(sum), 1e-12);
    }
    for (var word = lane; word < params.words; word += LANES) {
        var bits = 0u;
        if (params.form == FLOAT32) {
            bits = bitcast<u32>(mean(text, word) * scale);
        } else if (params.form == UBINARY) {
            for (var j = 0u; j < min(32u, params.d - word * 32u); j++) {
                // Bytes are little-endian in the word, bits big-endian in the byte.
                let bit = select(0u, 1u, mean(text, word * 32u + j) >= 0.0);
                bits |= bit << ((j & 24u) + 7u - (j & 7u));
            }
        } else {
            for (var j = 0u; j < min(4u, params.d - word * 4u); j++) {
                bits |= code(mean(text, word * 4u + j) * scale) << (8u * j);
            }
        }
        y[text * params.words + word] = bits;
    }
}
