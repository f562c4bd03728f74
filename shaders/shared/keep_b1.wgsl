// The bits x >= 0, as tokens_b1.wgsl reads them; -0 counts as 0. Those past the last dimension are 0.
fn word(row: u32, place: u32, index: u32) -> u32 {
    var bits = 0u;
    for (var j = 0u; j < min(32u, params.dim - index * 32u); j++) {
        let x = number(row, index * 32u + j);
        // Bytes are little-endian in the word, bits big-endian in the byte.
        bits |= select(0u, 1u, x <= 0x80000000u) << ((j & 24u) + 7u - (j & 7u));
    }
    return bits;
}
