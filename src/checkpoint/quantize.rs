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
//! have about a tenth less error; `bench/results/quantize.json` has the figures.
//!
//! It runs on one thread while weights stream in, so it is written for SIMD: [`LANES`] groups lie side by side, and
//! every step is the same arithmetic on all of them. No result depends on the lane, nor on the machine.

mod halves;

use super::MatrixRows;
use crate::error::{Error, Result};

/// Groups that are worked on side by side.
const LANES: usize = 8;
/// A number for each of them.
type Lanes = [f32; LANES];
/// Most weights of a group.
const MAX_GROUP: usize = 128;

/// Adding and subtracting it rounds numbers below 2^22 to integers, half to even; with it added, the low bits of the
/// sum are the integer.
const ROUND: f32 = 12_582_912.0;
/// MLX's smallest scale.
const MLX_EPS: f32 = 1e-7;

/// Grids to begin with: the step, in parts of the range divided by the largest code, and the shift from the middle of
/// the range, in steps. Found by search over normal, Student-t and Laplace weights, and normal ones with outliers.
const STARTS_4: [(f32, f32); 3] = [(0.96, 0.0), (0.96, 0.25), (0.96, -0.25)];
const STARTS_8: [(f32, f32); 3] = [(1.0, 0.0), (1.002, 0.35), (1.002, -0.35)];

/// How weights are quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantizer {
    bits: u32,
    group: u32,
}

impl Quantizer {
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

    /// Quantizes `values`, whole rows of `k` weights of the tensor `name`, appends them to `out`, and says what was lost.
    /// Every scale and bias is a number that F16 holds exactly. A row's codes are the same whatever rows come with it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `k` is not a multiple of the group size or `values` are not whole rows;
    /// [`Error::Unsupported`] naming the tensor if a weight is not finite or beyond what F16 scales and biases reach.
    /// `out` is then as it was.
    pub fn rows(self, name: &str, values: &[f32], k: usize, out: &mut MatrixRows) -> Result<Loss> {
        if k == 0 || !k.is_multiple_of(self.group as usize) {
            return Err(Error::argument(
                "k",
                format!("{k}, allowed are multiples of {} for tensor {name}", self.group),
            ));
        }
        if !values.len().is_multiple_of(k) {
            let message = format!("{} of tensor {name}, allowed are whole rows of {k}", values.len());
            return Err(Error::argument("values", message));
        }
        let (codes, groups) = (out.values.len(), out.groups.len());
        out.values.resize(codes + values.len() * self.bits as usize / 8, 0);
        out.groups.resize(groups + values.len() / self.group as usize, [0.0; 2]);
        let (new_codes, new_groups) = (&mut out.values[codes..], &mut out.groups[groups..]);
        let n = self.group as usize;
        let step = n * LANES;
        let blocks = values.chunks(step).zip(new_codes.chunks_mut(step * self.bits as usize / 8));
        let (mut fits, mut loss) = (true, Loss::default());
        for ((values, codes), groups) in blocks.zip(new_groups.chunks_mut(LANES)) {
            let block = GroupLanes::of(values, n);
            let (stored, error) = block.best(self.bits);
            block.encode(&stored, self.bits, codes);
            for (i, group) in groups.iter_mut().enumerate() {
                *group = [stored.scale[i], stored.bias[i]];
                // One weight that is no number makes its group's sum none.
                fits &= block.sum[i].is_finite() && group.iter().all(|x| x.abs() <= halves::MAX);
            }
            loss.add(Loss { squares: total(&block.squares), error: total(&error) });
        }
        if fits {
            return Ok(loss);
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

/// What quantizing lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// Sum of the squared weights.
    pub squares: f64,
    /// Sum of the squared errors.
    pub error: f64,
}

impl Loss {
    /// Counts another's weights in.
    pub fn add(&mut self, other: Self) {
        self.squares += other.squares;
        self.error += other.error;
    }

    /// The root mean square of the errors in parts of that of the weights; 0 for no weights.
    pub fn relative(self) -> f64 {
        if self.squares > 0.0 { (self.error / self.squares).sqrt() } else { 0.0 }
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

/// [`LANES`] groups of `n` weights, relative to the middle of each group's range, so that sums of squares keep their
/// digits. Lanes that have no group hold zeros.
struct GroupLanes {
    n: usize,
    weights: [Lanes; MAX_GROUP],
    low: Lanes,
    high: Lanes,
    middle: Lanes,
    /// Sum of the weights.
    sum: Lanes,
    /// Sum of their squares, as they were, not relative to the middle.
    squares: Lanes,
}

/// A scale and a bias for each group.
#[derive(Clone, Copy)]
struct AffineMap {
    scale: Lanes,
    bias: Lanes,
}

/// An affine map relative to the middle of the range, and the codes that it was fitted to.
struct Fit {
    affine: AffineMap,
    /// The part of the sum of squares that is explained; the more, the smaller the error.
    explained: Lanes,
    /// Sum of the codes.
    codes: Lanes,
    /// Sum of their squares.
    squares: Lanes,
}

// The passes are functions of their own because wasm engines optimize what is called often, not what runs long.
impl GroupLanes {
    #[inline(never)]
    fn of(values: &[f32], n: usize) -> Self {
        let zeros = [0.0; LANES];
        let mut weights = [zeros; MAX_GROUP];
        for (lane, group) in values.chunks_exact(n).enumerate().take(LANES) {
            for (w, &value) in weights.iter_mut().zip(group) {
                w[lane] = value;
            }
        }
        let (mut low, mut high) = (weights[0], weights[0]);
        for w in &weights[..n] {
            for i in 0..LANES {
                low[i] = pick(w[i] < low[i], w[i], low[i]);
                high[i] = pick(w[i] > high[i], w[i], high[i]);
            }
        }
        let middle = each(|i| 0.5 * (low[i] + high[i]));
        let (mut sum, mut squares) = (zeros, zeros);
        for w in &mut weights[..n] {
            for i in 0..LANES {
                squares[i] += w[i] * w[i];
                w[i] -= middle[i];
                sum[i] += w[i];
            }
        }
        Self { n, weights, low, high, middle, sum, squares }
    }

    /// Scales and biases to store, and the sum of squared errors with them.
    fn best(&self, bits: u32) -> (AffineMap, Lanes) {
        let top = ((1u32 << bits) - 1) as f32;
        let range = each(|i| (self.high[i] - self.low[i]) / top);
        let [first, second, third] = if bits == 4 { STARTS_4 } else { STARTS_8 }.map(|(step, shift)| {
            let scale = each(|i| range[i] * step);
            self.fit(&AffineMap { scale, bias: each(|i| (shift - 0.5 * top) * scale[i]) }, top)
        });
        let ours = self.stored(&self.fit(&first.or_better(&second).or_better(&third).affine, top), top);

        let mlx: [[f32; 2]; LANES] = std::array::from_fn(|i| mlx_affine(self.low[i], self.high[i], top));
        let mlx = AffineMap { scale: each(|i| halves::nearest(mlx[i][0])), bias: each(|i| halves::nearest(mlx[i][1])) };
        let (error, mlx_error) = (self.error(&ours, top), self.error(&mlx, top));
        (ours.or(&mlx, &error, &mlx_error), each(|i| pick(mlx_error[i] < error[i], mlx_error[i], error[i])))
    }

    /// The best codes for an affine map, and the map that is best for those codes, by least squares.
    #[inline(never)]
    fn fit(&self, from: &AffineMap, top: f32) -> Fit {
        let n = self.n as f32;
        let inverse = each(|i| 1.0 / from.scale[i]);
        let zero = each(|i| -from.bias[i] * inverse[i]);
        let (mut codes, mut squares, mut products) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for w in &self.weights[..self.n] {
            for i in 0..LANES {
                let code = round(clamp(w[i] * inverse[i] + zero[i], top));
                codes[i] += code;
                squares[i] += code * code;
                products[i] += code * w[i];
            }
        }
        let variance = each(|i| squares[i] - codes[i] * codes[i] / n);
        let covariance = each(|i| products[i] - codes[i] * self.sum[i] / n);
        // Where all codes are the same (all weights are, or nearly) there is nothing to fit.
        let scale = each(|i| pick(variance[i] > 0.0, covariance[i] / variance[i], from.scale[i]));
        let bias = each(|i| pick(variance[i] > 0.0, (self.sum[i] - scale[i] * codes[i]) / n, from.bias[i]));
        let explained = each(|i| pick(variance[i] > 0.0, scale[i] * covariance[i], -1.0));
        Fit { affine: AffineMap { scale, bias }, explained, codes, squares }
    }

    /// The nearest that F16 holds, no longer relative to the middle: of the scales on both sides, each with its best
    /// bias, those that cost less.
    fn stored(&self, fit: &Fit, top: f32) -> AffineMap {
        let (n, exact) = (self.n as f32, &fit.affine);
        let with_bias = |scale: Lanes| {
            let bias = each(|i| halves::nearest(self.middle[i] + (self.sum[i] - scale[i] * fit.codes[i]) / n));
            AffineMap { scale, bias }
        };
        let scale = each(|i| halves::below(exact.scale[i]));
        let (below, above) = (with_bias(scale), with_bias(each(|i| halves::next(scale[i]))));
        // What is lost, were the codes to stay the same, is a quadratic form of the two differences.
        let loss = |a: &AffineMap| {
            each(|i| {
                let (ds, db) = (a.scale[i] - exact.scale[i], a.bias[i] - self.middle[i] - exact.bias[i]);
                ds * ds * fit.squares[i] + 2.0 * ds * db * fit.codes[i] + n * db * db
            })
        };
        let (mut lost_below, mut lost_above) = (loss(&below), loss(&above));
        // Among F16's subnormals steps are so coarse that they would not: there the errors themselves are compared.
        if scale.iter().any(|&s| s < halves::NORMAL) {
            let (error_below, error_above) = (self.error(&below, top), self.error(&above, top));
            lost_below = each(|i| pick(scale[i] < halves::NORMAL, error_below[i], lost_below[i]));
            lost_above = each(|i| pick(scale[i] < halves::NORMAL, error_above[i], lost_above[i]));
        }
        below.or(&above, &lost_below, &lost_above)
    }

    /// The sum of squared errors with the best codes.
    #[inline(never)]
    fn error(&self, stored: &AffineMap, top: f32) -> Lanes {
        let (scale, inverse) = (stored.scale, stored.inverse());
        let bias = each(|i| stored.bias[i] - self.middle[i]);
        let mut error = [0.0; LANES];
        for w in &self.weights[..self.n] {
            for i in 0..LANES {
                let above = w[i] - bias[i];
                let off = above - round(clamp(above * inverse[i], top)) * scale[i];
                error[i] += off * off;
            }
        }
        error
    }

    /// Writes the best codes.
    #[inline(never)]
    fn encode(&self, stored: &AffineMap, bits: u32, codes: &mut [u8]) {
        let top = ((1u32 << bits) - 1) as f32;
        let inverse = stored.inverse();
        let bias = each(|i| stored.bias[i] - self.middle[i]);
        let row = self.n * bits as usize / 8;
        for (word, weights) in self.weights[..self.n].chunks_exact(32 / bits as usize).enumerate() {
            let mut packed = [0u32; LANES];
            for w in weights.iter().rev() {
                for i in 0..LANES {
                    let code = (clamp((w[i] - bias[i]) * inverse[i], top) + ROUND).to_bits() & 0xff;
                    packed[i] = packed[i] << bits | code;
                }
            }
            for (codes, packed) in codes.chunks_exact_mut(row).zip(packed) {
                codes[word * 4..][..4].copy_from_slice(&packed.to_le_bytes());
            }
        }
    }
}

impl Fit {
    fn or_better(&self, other: &Self) -> Self {
        let better = |a: &Lanes, b: &Lanes| each(|i| pick(other.explained[i] > self.explained[i], b[i], a[i]));
        let of = |f: fn(&Self) -> &Lanes| better(f(self), f(other));
        Self {
            affine: AffineMap { scale: of(|f| &f.affine.scale), bias: of(|f| &f.affine.bias) },
            explained: of(|f| &f.explained),
            codes: of(|f| &f.codes),
            squares: of(|f| &f.squares),
        }
    }
}

impl AffineMap {
    /// Where `other` costs less, `other`.
    fn or(&self, other: &Self, cost: &Lanes, other_cost: &Lanes) -> Self {
        let of = |a: &Lanes, b: &Lanes| each(|i| pick(other_cost[i] < cost[i], b[i], a[i]));
        Self { scale: of(&self.scale, &other.scale), bias: of(&self.bias, &other.bias) }
    }

    /// With a scale of zero every code is 0.
    fn inverse(&self) -> Lanes {
        each(|i| pick(self.scale[i] == 0.0, 0.0, 1.0 / self.scale[i]))
    }
}

fn total(lanes: &Lanes) -> f64 {
    lanes.iter().map(|&x| f64::from(x)).sum()
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
