// int8, as tokens_i8.wgsl reads it: round(x / scale), half to even, from -127 to 127, where x / scale is itself rounded to
// float32. Needs shared/divide.wgsl, and the scales of pack_scales.wgsl.
@group(0) @binding(3) var<storage, read> scales: array<u32>;  // [rows], bits of float32

// A byte, in the lowest of a word.
fn code(bits: u32, scale: u32) -> u32 {
    let size = bits & 0x7fffffffu;
    if (size == 0u || scale == 0u) {
        return 0u;
    }
    let q = quotient(size, scale);
    if (q.exponent < -1) {
        return 0u;
    }
    var code = 127u;
    if (q.exponent < 7) {
        code = min(rounded(rounded(q.digits, 2u), u32(23 - q.exponent)), 127u);
    }
    return select(code, 256u - code, bits >> 31u == 1u) & 0xffu;
}

fn word(row: u32, place: u32, index: u32) -> u32 {
    let d = index * 4u;
    let scale = scales[place];
    return code(number(row, d), scale)
        | (code(number(row, d + 1u), scale) << 8u)
        | (code(number(row, d + 2u), scale) << 16u)
        | (code(number(row, d + 3u), scale) << 24u);
}
