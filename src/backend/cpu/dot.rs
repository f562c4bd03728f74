//! Dot products in lanes that compilers keep in vector registers.

/// Partial sums of a dot product. Eight are two registers of 128 bits, or one of 256.
const LANES: usize = 8;

/// The sum of the lanes, in pairs.
fn total(lanes: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

fn lanes(x: &[f32]) -> impl Iterator<Item = &[f32; LANES]> {
    x.as_chunks::<LANES>().0.iter()
}

/// What is left beyond whole lanes.
fn rest<'a>(a: &'a [f32], b: &'a [f32]) -> f32 {
    a.as_chunks::<LANES>().1.iter().zip(b.as_chunks::<LANES>().1).map(|(a, b)| a * b).sum()
}

/// The dot product of two rows. The order of the additions depends on their length alone.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in lanes(a).zip(lanes(b)) {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    total(sums) + rest(a, b)
}

/// The dot products of `w` with four rows: the bits of [`dot`], but `w` is read once.
pub(super) fn dot4(w: &[f32], x: [&[f32]; 4]) -> [f32; 4] {
    let mut sums = [[0.0; LANES]; 4];
    let rows = lanes(x[0]).zip(lanes(x[1])).zip(lanes(x[2]).zip(lanes(x[3])));
    for (w, ((a, b), (c, d))) in lanes(w).zip(rows) {
        for i in 0..LANES {
            sums[0][i] += a[i] * w[i];
            sums[1][i] += b[i] * w[i];
            sums[2][i] += c[i] * w[i];
            sums[3][i] += d[i] * w[i];
        }
    }
    std::array::from_fn(|r| total(sums[r]) + rest(x[r], w))
}

/// `y += factor * x`.
pub(super) fn add_scaled(y: &mut [f32], factor: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

#[cfg(test)]
mod tests {
    use super::{dot, dot4};

    #[test]
    fn four_rows_have_the_bits_of_one() {
        let row = |seed: u32, k: u32| (0..k).map(|i| ((i * 7 + seed) % 13) as f32 / 3.7 - 1.5).collect::<Vec<_>>();
        for k in [1, 7, 8, 9, 64, 67] {
            let (w, x): (Vec<f32>, [Vec<f32>; 4]) = (row(1, k), std::array::from_fn(|i| row(2 + i as u32, k)));
            assert_eq!(dot4(&w, [&x[0], &x[1], &x[2], &x[3]]), std::array::from_fn(|i| dot(&x[i], &w)));
        }
    }
}
