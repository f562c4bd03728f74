//! Dense weights to affine codes: `w = code * scale + bias` for each group of neighbours along K.
//!
//! The layout is MLX's (ml-explore/mlx, `affine_quantize`): unsigned codes of 4 or 8 bits, the lowest first in each
//! 32-bit word, and a scale and a bias for each group. Scales and biases are rounded to F16 before the codes are chosen,
//! so that the codes are the best ones for what is stored.
//!
//! MLX lays a group's scale so that the range's farther end and zero are hit exactly. That is one candidate here. The
//! others come from three grids of even steps over the range, shifted against each other by a part of a step: each is
//! fitted to its codes by least squares (as in Lloyd's algorithm), the best is fitted once more, and of that and MLX's
//! candidate the one with the smaller squared error is kept. So no group is worse than by MLX's rule, and all together
//! have about a tenth less error; `bench/results/quantise.json` has the figures.
//!
//! It runs on one thread while weights stream in, so it is written for SIMD: [`LANES`] groups lie side by side, and
//! every step is the same arithmetic on all of them. No result depends on the lane, nor on the machine.

use crate::error::{Error, Result};

/// Groups that are worked on side by side.
const LANES: usize = 8;
/// A number for each of them.
type Lanes = [f32; LANES];

/// Adding and subtracting it rounds numbers below 2^22 to integers, half to even; with it added, the low bits of the
/// sum are the integer.
const ROUND: f32 = 12_582_912.0;
/// The same for multiples of 2^-24, F16's smallest step.
const ROUND_SUBNORMAL: f32 = 0.75;
/// The smallest normal F16, 2^-14.
const F16_NORMAL: f32 = 6.103_515_6e-5;
/// The step between F16 numbers below it.
const F16_STEP: f32 = 5.960_464_5e-8;
/// The largest F16.
const F16_MAX: f32 = 65_504.0;
/// MLX's smallest scale.
const MLX_EPS: f32 = 1e-7;

/// Grids to begin with: the step, in parts of the range divided by the largest code, and the shift from the middle of
/// the range, in steps. Found by search over normal, Student-t and Laplace weights, and normal ones with outliers.
const STARTS_4: [(f32, f32); 3] = [(0.96, 0.0), (0.96, 0.25), (0.96, -0.25)];
const STARTS_8: [(f32, f32); 3] = [(1.0, 0.0), (1.002, 0.35), (1.002, -0.35)];

/// Rows of a matrix as they are stored or held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Dense numbers, or codes: `[rows, K * bits / 8]` bytes, the lowest bits of each byte first.
    pub values: Vec<u8>,
    /// Scale and bias of each group, `[rows, K / group]`; none for dense numbers.
    pub groups: Vec<[f32; 2]>,
}

/// How weights are quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantiser {
    bits: u32,
    group: u32,
}

impl Quantiser {
    /// Codes of `bits` 4 or 8, and a scale and a bias for each `group` of 32, 64 or 128 weights along K.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming what is neither.
    pub fn new(bits: u32, group: u32) -> Result<Self> {
        if ![4, 8].contains(&bits) {
            return Err(Error::argument("bits", format!("{bits}, allowed are 4 and 8")));
        }
        if ![32, 64, 128].contains(&group) {
            return Err(Error::argument("group size", format!("{group}, allowed are 32, 64 and 128")));
        }
        Ok(Self { bits, group })
    }

    /// Bits of a code.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// Weights of a group.
    pub fn group(self) -> u32 {
        self.group
    }

    /// Quantises `values`, whole rows of `k` weights of the tensor `name`, and appends them to `out`. Every scale and
    /// bias is a number that F16 holds exactly. A row's codes are the same whatever rows come with it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `k` is not a multiple of the group size or `values` are not whole rows;
    /// [`Error::Unsupported`] naming the tensor if a weight is not finite or beyond what F16 scales and biases reach.
    /// `out` is then as it was.
    pub fn rows(self, name: &str, values: &[f32], k: usize, out: &mut Rows) -> Result<()> {
        if k == 0 || k % self.group as usize != 0 {
            return Err(Error::argument(
                "k",
                format!("{k}, allowed are multiples of {} for tensor {name}", self.group),
            ));
        }
        if values.len() % k != 0 {
            let message = format!("{} of tensor {name}, allowed are whole rows of {k}", values.len());
            return Err(Error::argument("values", message));
        }
        let (codes, groups) = (out.values.len(), out.groups.len());
        out.values.resize(codes + values.len() * self.bits as usize / 8, 0);
        out.groups.resize(groups + values.len() / self.group as usize, [0.0; 2]);
        let (new_codes, new_groups) = (&mut out.values[codes..], &mut out.groups[groups..]);
        let fits = match (self.bits, self.group) {
            (4, 32) => all::<32, 4>(values, new_codes, new_groups),
            (4, 64) => all::<64, 4>(values, new_codes, new_groups),
            (4, _) => all::<128, 4>(values, new_codes, new_groups),
            (_, 32) => all::<32, 8>(values, new_codes, new_groups),
            (_, 64) => all::<64, 8>(values, new_codes, new_groups),
            _ => all::<128, 8>(values, new_codes, new_groups),
        };
        if fits {
            return Ok(());
        }
        out.values.truncate(codes);
        out.groups.truncate(groups);
        let message = match values.iter().find(|v| !v.is_finite()) {
            Some(value) => format!("it holds {value}, allowed are finite numbers"),
            None => {
                let most = values.iter().fold(0f32, |m, v| m.max(v.abs()));
                format!("it holds values up to {most:e}, beyond what F16 scales and biases reach")
            }
        };
        Err(Error::unsupported(format!("tensor {name} in {} bits", self.bits), message))
    }
}

/// A group by MLX's own rule: scale, bias and codes, in f32 as MLX computes them for an f32 array. What this module is
/// measured against.
pub fn mlx_rule(bits: u32, group: &[f32]) -> ([f32; 2], Vec<u8>) {
    let top = ((1u32 << bits) - 1) as f32;
    let (low, high) = group.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &w| (l.min(w), h.max(w)));
    let [scale, bias] = mlx_affine(low, high, top);
    let codes = group.iter().map(|w| ((w - bias) / scale).round_ties_even().clamp(0.0, top) as u8).collect();
    ([scale, bias], codes)
}

/// MLX's scale and bias for weights of `low..=high` and codes of `0..=top`.
fn mlx_affine(low: f32, high: f32, top: f32) -> [f32; 2] {
    let step = ((high - low) / top).max(MLX_EPS);
    let (edge, step) = if low.abs() > high.abs() { (low, step) } else { (high, -step) };
    let zero = (edge / step).round_ties_even();
    if zero == 0.0 { [step, 0.0] } else { [edge / zero, edge] }
}

/// Groups of `N` weights to codes of `BITS`; false if one of them cannot be held.
fn all<const N: usize, const BITS: usize>(values: &[f32], codes: &mut [u8], groups: &mut [[f32; 2]]) -> bool {
    let (step, code_step) = (N * LANES, N * LANES * BITS / 8);
    let blocks = values.chunks(step).zip(codes.chunks_mut(code_step)).zip(groups.chunks_mut(LANES));
    for ((values, codes), groups) in blocks {
        let fits = if values.len() == step {
            block::<N, BITS>(values, codes, groups)
        } else {
            // The last few groups; the lanes beyond them hold zeros.
            let (mut wide, mut wide_codes, mut wide_groups) = (vec![0.0; step], vec![0; code_step], [[0.0; 2]; LANES]);
            wide[..values.len()].copy_from_slice(values);
            let fits = block::<N, BITS>(&wide, &mut wide_codes, &mut wide_groups);
            codes.copy_from_slice(&wide_codes[..codes.len()]);
            groups.copy_from_slice(&wide_groups[..groups.len()]);
            fits
        };
        if !fits {
            return false;
        }
    }
    true
}

/// [`LANES`] groups: `values` `[LANES, N]`, `codes` `[LANES, N * BITS / 8]`.
fn block<const N: usize, const BITS: usize>(values: &[f32], codes: &mut [u8], groups: &mut [[f32; 2]]) -> bool {
    let top = ((1u32 << BITS) - 1) as f32;
    let mut weights = [[0.0; LANES]; N];
    for (lane, group) in values.as_chunks::<N>().0.iter().enumerate().take(LANES) {
        for (weights, &w) in weights.iter_mut().zip(group) {
            weights[lane] = w;
        }
    }
    let (mut low, mut high) = (weights[0], weights[0]);
    for w in &weights {
        for i in 0..LANES {
            low[i] = pick(w[i] < low[i], w[i], low[i]);
            high[i] = pick(w[i] > high[i], w[i], high[i]);
        }
    }
    // Everything below is relative to the middle of the range, so that sums of squares keep their digits.
    let middle = each(|i| 0.5 * (low[i] + high[i]));
    let mut sum = [0.0; LANES];
    for w in &mut weights {
        for i in 0..LANES {
            w[i] -= middle[i];
            sum[i] += w[i];
        }
    }

    let range = each(|i| (high[i] - low[i]) / top);
    let mut best = Fit::grid(range, each(|i| low[i] - middle[i]));
    for (step, shift) in if BITS == 4 { STARTS_4 } else { STARTS_8 } {
        let scale = each(|i| range[i] * step);
        let fit = refit(&weights, &sum, &Fit::grid(scale, each(|i| (shift - 0.5 * top) * scale[i])), top);
        best.take_better(&fit);
    }
    best = refit(&weights, &sum, &best, top);

    let mlx: [[f32; 2]; LANES] = std::array::from_fn(|i| mlx_affine(low[i], high[i], top));
    let mut stored = best.stored(&weights, &middle, &sum, top);
    stored.consider(&weights, &middle, each(|i| to_f16(mlx[i][0])), each(|i| to_f16(mlx[i][1])), top);
    encode::<N, BITS>(&weights, &stored, &middle, codes);
    let mut fits = true;
    for (i, group) in groups.iter_mut().enumerate() {
        *group = [stored.scale[i], stored.bias[i]];
        // One weight that is no number makes its group's sum none.
        fits &= sum[i].is_finite() && stored.scale[i].abs() <= F16_MAX && stored.bias[i].abs() <= F16_MAX;
    }
    fits
}

/// Scales and biases relative to the middle of the range, and what their codes add up to.
#[derive(Clone, Copy)]
struct Fit {
    scale: Lanes,
    bias: Lanes,
    /// The part of the sum of squares that is explained; the more, the smaller the error. -1 for no codes yet.
    explained: Lanes,
    /// Sum of the codes.
    codes: Lanes,
    /// Sum of their squares.
    squares: Lanes,
}

impl Fit {
    fn grid(scale: Lanes, bias: Lanes) -> Self {
        Self { scale, bias, explained: [-1.0; LANES], codes: [0.0; LANES], squares: [0.0; LANES] }
    }

    fn take_better(&mut self, other: &Self) {
        for i in 0..LANES {
            let better = other.explained[i] > self.explained[i];
            self.scale[i] = pick(better, other.scale[i], self.scale[i]);
            self.bias[i] = pick(better, other.bias[i], self.bias[i]);
            self.explained[i] = pick(better, other.explained[i], self.explained[i]);
        }
    }

    /// The nearest that F16 holds: of the scales on both sides, each with its best bias, the one that costs less.
    fn stored<const N: usize>(&self, weights: &[Lanes; N], middle: &Lanes, sum: &Lanes, top: f32) -> Stored {
        let n = N as f32;
        let bias = |scale: &Lanes| each(|i| to_f16(middle[i] + (sum[i] - scale[i] * self.codes[i]) / n));
        let below = each(|i| f16_below(self.scale[i]));
        let above = each(|i| f16_next(below[i]));
        let (bias_below, bias_above) = (bias(&below), bias(&above));
        // What the codes lose, were they to stay the same, is a quadratic form of the two differences.
        let loss = |scale: &Lanes, bias: &Lanes| {
            each(|i| {
                let (ds, db) = (scale[i] - self.scale[i], bias[i] - middle[i] - self.bias[i]);
                ds * ds * self.squares[i] + 2.0 * ds * db * self.codes[i] + n * db * db
            })
        };
        let (lost_below, lost_above) = (loss(&below, &bias_below), loss(&above, &bias_above));
        let scale = each(|i| pick(lost_above[i] < lost_below[i], above[i], below[i]));
        let bias = each(|i| pick(lost_above[i] < lost_below[i], bias_above[i], bias_below[i]));
        let error = error(weights, middle, &scale, &bias, top);
        let mut stored = Stored { scale, bias, error };
        // Steps of F16 are coarse among its subnormals: codes would not stay the same, and both are tried.
        if below.iter().any(|&s| s < F16_NORMAL) {
            stored.consider(weights, middle, below, bias_below, top);
            stored.consider(weights, middle, above, bias_above, top);
        }
        stored
    }
}

/// Scales and biases as they are stored, and the sum of squared errors with them.
struct Stored {
    scale: Lanes,
    bias: Lanes,
    error: Lanes,
}

impl Stored {
    fn consider<const N: usize>(&mut self, weights: &[Lanes; N], middle: &Lanes, scale: Lanes, bias: Lanes, top: f32) {
        let error = error(weights, middle, &scale, &bias, top);
        for i in 0..LANES {
            let better = error[i] < self.error[i];
            self.scale[i] = pick(better, scale[i], self.scale[i]);
            self.bias[i] = pick(better, bias[i], self.bias[i]);
            self.error[i] = pick(better, error[i], self.error[i]);
        }
    }
}

/// The codes for a scale and a bias, and the scale and the bias that are best for those codes, by least squares.
fn refit<const N: usize>(weights: &[Lanes; N], sum: &Lanes, from: &Fit, top: f32) -> Fit {
    let n = N as f32;
    let inverse = each(|i| 1.0 / from.scale[i]);
    let zero = each(|i| -from.bias[i] * inverse[i]);
    let (mut codes, mut squares, mut products) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for w in weights {
        for i in 0..LANES {
            let code = round(clamp(w[i] * inverse[i] + zero[i], top));
            codes[i] += code;
            squares[i] += code * code;
            products[i] += code * w[i];
        }
    }
    let variance = each(|i| squares[i] - codes[i] * codes[i] / n);
    let covariance = each(|i| products[i] - codes[i] * sum[i] / n);
    // Where all codes are the same (all weights are, or nearly) there is nothing to fit.
    let scale = each(|i| pick(variance[i] > 0.0, covariance[i] / variance[i], from.scale[i]));
    let bias = each(|i| pick(variance[i] > 0.0, (sum[i] - scale[i] * codes[i]) / n, from.bias[i]));
    let explained = each(|i| pick(variance[i] > 0.0, scale[i] * covariance[i], -1.0));
    Fit { scale, bias, explained, codes, squares }
}

/// The sum of squared errors with the best codes for `scale` and `bias`.
fn error<const N: usize>(weights: &[Lanes; N], middle: &Lanes, scale: &Lanes, bias: &Lanes, top: f32) -> Lanes {
    let (inverse, bias) = (inverse(scale), each(|i| bias[i] - middle[i]));
    let mut error = [0.0; LANES];
    for w in weights {
        for i in 0..LANES {
            let above = w[i] - bias[i];
            let off = above - round(clamp(above * inverse[i], top)) * scale[i];
            error[i] += off * off;
        }
    }
    error
}

/// Writes the best codes for what is stored.
fn encode<const N: usize, const BITS: usize>(weights: &[Lanes; N], stored: &Stored, middle: &Lanes, codes: &mut [u8]) {
    let top = ((1u32 << BITS) - 1) as f32;
    let (inverse, bias) = (inverse(&stored.scale), each(|i| stored.bias[i] - middle[i]));
    for (word, weights) in weights.chunks_exact(32 / BITS).enumerate() {
        let mut packed = [0u32; LANES];
        for (place, w) in weights.iter().enumerate() {
            for i in 0..LANES {
                let code = (clamp((w[i] - bias[i]) * inverse[i], top) + ROUND).to_bits() & 0xff;
                packed[i] |= code << (place * BITS);
            }
        }
        for (lane, packed) in packed.iter().enumerate() {
            codes[lane * (N * BITS / 8) + word * 4..][..4].copy_from_slice(&packed.to_le_bytes());
        }
    }
}

fn each(f: impl Fn(usize) -> f32) -> Lanes {
    std::array::from_fn(f)
}

/// Compiles to a blend, where a branch would keep lanes apart.
fn pick(condition: bool, yes: f32, no: f32) -> f32 {
    if condition { yes } else { no }
}

/// Into `0..=top`; NaN, which a scale of zero makes, becomes 0.
fn clamp(x: f32, top: f32) -> f32 {
    let x = pick(x > 0.0, x, 0.0);
    pick(x < top, x, top)
}

fn round(x: f32) -> f32 {
    (x + ROUND) - ROUND
}

/// With a scale of zero every code is 0.
fn inverse(scale: &Lanes) -> Lanes {
    each(|i| pick(scale[i] == 0.0, 0.0, 1.0 / scale[i]))
}

/// The nearest number that F16 holds, half to even; beyond its range, one beyond [`F16_MAX`].
fn to_f16(x: f32) -> f32 {
    let bits = x.to_bits();
    let normal = f32::from_bits(bits.wrapping_add(0xfff + (bits >> 13 & 1)) & !0x1fff);
    pick(x.abs() < F16_NORMAL, (x + ROUND_SUBNORMAL) - ROUND_SUBNORMAL, normal)
}

/// The largest number that F16 holds and that is not above `x`, which is not negative.
fn f16_below(x: f32) -> f32 {
    let near = to_f16(x);
    let below = pick(near > F16_NORMAL, f32::from_bits(near.to_bits().wrapping_sub(0x2000)), near - F16_STEP);
    pick(near > x, below, near)
}

/// The F16 number after `x`, which is one and not negative.
fn f16_next(x: f32) -> f32 {
    pick(x < F16_NORMAL, x + F16_STEP, f32::from_bits(x.to_bits().wrapping_add(0x2000)))
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::{f16_below, f16_next, to_f16};

    #[test]
    fn halves_are_rounded_and_counted_as_the_half_crate_does() {
        for bits in 0..0x7c00u16 {
            let (x, after) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits + 1).to_f32());
            assert_eq!((f16_below(x), to_f16(x), to_f16(-x)), (x, x, -x));
            if !after.is_finite() {
                continue;
            }
            assert_eq!(f16_next(x), after);
            let between = 0.5 * (x + after);
            for x in [between, between.next_down(), between.next_up(), after.next_down(), x.next_up()] {
                assert_eq!(to_f16(x), f16::from_f32(x).to_f32(), "{x:e}");
                assert_eq!(f16_below(x), f16::from_bits(bits).to_f32(), "{x:e}");
            }
        }
        assert!(to_f16(65_520.0) > 65_504.0 && to_f16(1e30) > 65_504.0);
    }
}
