/// The weights `q * scale + bias` `[N, K]` of `codes`, rows of `k` codes of `bits` (4 or 8) packed low bits first, and
/// `groups` `[N, ceil(K / group)]` of scale and bias, one for `group` consecutive codes of a row.
pub fn dequantize(codes: &[u8], bits: usize, groups: &[[f32; 2]], k: usize, group: usize) -> Vec<f32> {
    let mask = (1u32 << bits) - 1;
    let code = |row: usize, i: usize| {
        let bit = (row * k + i) * bits;
        u32::from(codes[bit / 8]) >> (bit % 8) & mask
    };
    let row_groups = k.div_ceil(group);
    (0..groups.len() / row_groups)
        .flat_map(|row| {
            (0..k).map(move |i| {
                let [scale, bias] = groups[row * row_groups + i / group];
                (f64::from(code(row, i)) * f64::from(scale) + f64::from(bias)) as f32
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::dequantize;

    #[test]
    fn low_bits_first_and_a_shorter_last_group() {
        let groups = [[1.0, 0.0], [10.0, 0.5], [-1.0, 0.0], [2.0, -1.0]];
        let four = [0x21, 0x43, 0xf0, 0x21, 0x43, 0xf0];
        let expected = [1.0, 2.0, 3.0, 4.0, 0.5, 150.5, -1.0, -2.0, -3.0, -4.0, -1.0, 29.0];
        assert_eq!(dequantize(&four, 4, &groups, 6, 4), expected);
        let eight = [0, 1, 255, 255, 1, 0];
        assert_eq!(dequantize(&eight, 8, &groups, 3, 2), [0.0, 1.0, 2550.5, -255.0, -1.0, -1.0]);
    }

    #[test]
    fn one_group_a_row_however_long_it_says_it_is() {
        assert_eq!(dequantize(&[0x10, 0x32], 4, &[[0.5, 1.0]], 4, usize::MAX), [1.0, 1.5, 2.0, 2.5]);
    }
}
