// The bits x >= 0, as tokens_b1.wgsl reads them; -0 counts as 0. Those past the last dimension are 0.
fn word(row: u32, place: u32, index: u32) -> u32 {
    var bits = 0u;
    let first = index * 32u;
    // No dimension is left in the words that pad a row.
    for (var d = first; d < min(first + 32u, params.dim); d++) {
        let j = d - first;
        // Bytes are little-endian in the word, bits big-endian in the byte.
        bits |= select(0u, 1u, number(row, d) <= 0x80000000u) << ((j & 24u) + 7u - (j & 7u));
    }
    return bits;
}
