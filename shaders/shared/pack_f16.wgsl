// float16, as tokens_f16.wgsl reads it, rounded half to even.
fn half(bits: u32) -> u32 {
    let sign = (bits >> 16u) & 0x8000u;
    let size = bits & 0x7fffffffu;
    if (size >= 0x47800000u) {
        // 65,536 or more is an infinity, and what is not a number stays so.
        return sign | select(0x7c00u, 0x7e00u, size > 0x7f800000u);
    }
    if (size >= 0x38800000u) {
        // From 2^-14 on: the exponent counts from 15 instead of 127, and 13 bits go.
        return sign | ((size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u);
    }
    let exponent = size >> 23u;
    if (exponent < 102u) {
        return sign;
    }
    // Subnormals count in 2^-24.
    let significand = (size & 0x7fffffu) | 0x800000u;
    let places = 126u - exponent;
    return sign | ((significand + (1u << (places - 1u)) - 1u + ((significand >> places) & 1u)) >> places);
}

fn word(row: u32, place: u32, index: u32) -> u32 {
    return half(number(row, index * 2u)) | (half(number(row, index * 2u + 1u)) << 16u);
}
