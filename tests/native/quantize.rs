//! The quantizer against MLX's.
#![allow(clippy::print_stdout, reason = "the measurement is what the ignored test is run for")]

use std::time::Instant;

use half::f16;
use pplx_embed::checkpoint::{Loss, MatrixRows, Quantizer, mlx_rule};
use proptest::prelude::*;
use safetensors::SafeTensors;

const EVERY: [(u32, u32); 6] = [(4, 32), (4, 64), (4, 128), (8, 32), (8, 64), (8, 128)];

fn quantized(bits: u32, group: u32, values: &[f32], k: usize) -> MatrixRows {
    let mut rows = MatrixRows::default();
    Quantizer::new(bits, group).unwrap().rows("w", values, k, &mut rows).unwrap();
    rows
}

/// `code * scale + bias` in f64, by MLX's layout.
fn dequantized(bits: u32, group: usize, codes: &[u8], groups: &[[f32; 2]]) -> Vec<f64> {
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(codes);
    let per_word = 32 / bits as usize;
    let code = |i: usize| words[i / per_word] >> (bits as usize * (i % per_word)) & ((1 << bits) - 1);
    let value = |i: usize| f64::from(code(i)) * f64::from(groups[i / group][0]) + f64::from(groups[i / group][1]);
    (0..groups.len() * group).map(value).collect()
}

fn squared_error(got: &[f64], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(a, &b)| (a - f64::from(b)).powi(2)).sum()
}

/// MLX's rule with its scale and bias rounded to F16, which is what mlx-lm stores for an F16 model.
fn mlx_error(bits: u32, group: &[f32]) -> f64 {
    let ([scale, bias], codes) = mlx_rule(bits, group);
    let half = |x: f32| f64::from(f16::from_f32(x));
    let got: Vec<f64> = codes.iter().map(|&c| f64::from(c) * half(scale) + half(bias)).collect();
    squared_error(&got, group)
}

#[test]
fn mlx_rule_gives_the_bits_of_mlx() {
    let bytes = std::fs::read("tests/fixtures/expected/quantize.safetensors").unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> { bytemuck::pod_collect_to_vec(tensors.tensor(name).unwrap().data()) };
    let weight = floats("weight");
    for (bits, group) in EVERY {
        let part = |part: &str| format!("q{bits}.g{group}.{part}");
        let (scales, biases) = (floats(&part("scales")), floats(&part("biases")));
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(tensors.tensor(&part("codes")).unwrap().data());
        for (i, values) in weight.chunks(group as usize).enumerate() {
            let ([scale, bias], codes) = mlx_rule(bits, values);
            let want = (scales[i].to_bits(), biases[i].to_bits());
            assert_eq!((scale.to_bits(), bias.to_bits()), want, "q{bits} group {i} of {group}");
            let per_word = 32 / bits as usize;
            for (j, code) in codes.iter().enumerate() {
                let at = i * group as usize + j;
                let want = words[at / per_word] >> (bits as usize * (at % per_word)) & ((1 << bits) - 1);
                assert_eq!(u32::from(*code), want, "q{bits} group {i} of {group}, code {j}");
            }
        }
    }
}

/// Weights of very different sizes, spreads and offsets.
fn group() -> impl Strategy<Value = Vec<f32>> {
    let scale = prop_oneof![6 => Just(0.02f32), 1 => Just(1.0), 1 => 1e-7f32..1e-3, 1 => 10f32..4000.0, 1 => Just(0.0)];
    let offset = prop_oneof![4 => Just(0.0f32), 1 => -3f32..3.0, 1 => -1000f32..1000.0];
    let power = prop_oneof![Just(1i32), Just(3), Just(5)];
    (scale, offset, power).prop_flat_map(|(scale, offset, power)| {
        prop::collection::vec((-1f32..1.0).prop_map(move |x| x.powi(power) * scale + offset), 128)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_group_is_worse_than_by_mlx_rule(weights in group(), which in 0..6usize) {
        let (bits, group) = EVERY[which];
        let n = group as usize;
        let rows = quantized(bits, group, &weights, n);
        let got = dequantized(bits, n, &rows.values, &rows.groups);
        for (got, want) in got.chunks(n).zip(weights.chunks(n)) {
            let (ours, mlx) = (squared_error(got, want), mlx_error(bits, want));
            // The errors are compared in f32, each weight's being off by its last bit or so.
            let last_bit = f64::from(want.iter().fold(0f32, |m, w| m.max(w.abs())) * f32::EPSILON);
            let slack = mlx * 1e-5 + 2.0 * last_bit * (mlx * n as f64).sqrt() + n as f64 * last_bit.powi(2);
            prop_assert!(ours <= mlx + slack, "q{bits} g{group}: {ours:e}, MLX {mlx:e}, slack {slack:e}");
        }
    }

    #[test]
    fn a_group_has_the_same_codes_in_every_place(weights in group(), which in 0..6usize, before in 0..20usize) {
        let (bits, group) = EVERY[which];
        let n = group as usize;
        let alone = quantized(bits, group, &weights[..n], n);
        let mut many: Vec<f32> = (0..before * n).map(|i| (i as f32).sin()).collect();
        many.extend(&weights[..n]);
        let many = quantized(bits, group, &many, n);
        prop_assert_eq!(&many.values[before * n * bits as usize / 8..], &alone.values[..]);
        prop_assert_eq!(&many.groups[before..], &alone.groups[..]);
    }
}

#[test]
fn every_scale_and_bias_is_an_f16() {
    let weights: Vec<f32> = (0..64 * 128).map(|i| (i as f32 * 0.7).sin() * 10f32.powi(i / 128 % 12 - 8)).collect();
    for (bits, group) in EVERY {
        for x in quantized(bits, group, &weights, 128).groups.into_iter().flatten() {
            assert_eq!(f16::from_f32(x).to_f32().to_bits(), x.to_bits(), "q{bits} g{group}");
        }
    }
}

#[test]
fn groups_without_spread_come_back() {
    for (bits, group) in EVERY {
        let n = group as usize;
        let back = |weights: &[f32]| {
            let rows = quantized(bits, group, weights, n);
            dequantized(bits, n, &rows.values, &rows.groups)
        };
        assert_eq!(back(&vec![0.0; n]), vec![0.0; n]);
        assert_eq!(back(&vec![-0.0; n]), vec![0.0; n]);
        // A constant that F16 holds is exact, others come as close as F16 does.
        assert_eq!(back(&vec![-5.0; n]), vec![-5.0; n]);
        assert!(back(&vec![0.37; n]).iter().all(|x| (x - 0.37).abs() <= 0.37 / 2048.0));
        // Far below F16's smallest number nothing is left, and nothing is made up.
        let tiny: Vec<f32> = (0..n).map(|i| (i as f32).sin() * 1e-30).collect();
        assert_eq!(back(&tiny), vec![0.0; n]);
        // Two values, and every value its own code.
        let two: Vec<f32> = (0..n).map(|i| if i % 3 == 0 { -0.5 } else { 0.25 }).collect();
        assert!(squared_error(&back(&two), &two) < 1e-6 * n as f64);
        let top = (1 << bits) - 1;
        let ramp: Vec<f32> = (0..n).map(|i| (i * top / (n - 1)) as f32).collect();
        assert_eq!(squared_error(&back(&ramp), &ramp), 0.0, "q{bits} g{group}");
    }
}

#[test]
fn an_outlier_is_kept() {
    for (bits, group) in EVERY {
        let n = group as usize;
        let mut weights: Vec<f32> = (0..n).map(|i| (i as f32).sin() * 0.01).collect();
        weights[n / 2] = -8.0;
        let rows = quantized(bits, group, &weights, n);
        let got = dequantized(bits, n, &rows.values, &rows.groups);
        assert!((got[n / 2] + 8.0).abs() < 0.01 * 8.0, "q{bits} g{group}: {}", got[n / 2]);
        assert!(squared_error(&got, &weights) <= mlx_error(bits, &weights));
    }
}

#[test]
fn scales_among_the_subnormals_are_nearly_the_best_there_are() {
    const STEP: f64 = 5.960_464_477_539_063e-8;
    for (bits, group) in EVERY {
        let n = group as usize;
        let top = f64::from((1u32 << bits) - 1);
        for steps in [0.4, 1.4, 2.5, 6.6] {
            let range = steps * STEP * top;
            let weights: Vec<f32> = (0..n).map(|i| (range * ((i as f64 * 2.4).sin() + 0.3)) as f32).collect();
            let low = weights.iter().copied().fold(f32::INFINITY, f32::min);
            let rows = quantized(bits, group, &weights, n);
            let ours = squared_error(&dequantized(bits, n, &rows.values, &rows.groups), &weights);
            // Every scale and bias F16 has nearby.
            let mut best = f64::INFINITY;
            for scale in (0..=2 * steps.ceil() as i32 + 2).map(|i| f64::from(i) * STEP) {
                for bias in (-40..=40).map(|i| f64::from(f16::from_f32(low)) + f64::from(i) * 0.5 * steps.ceil() * STEP)
                {
                    let error = weights.iter().map(|&w| {
                        let above = f64::from(w) - bias;
                        let code = if scale == 0.0 { 0.0 } else { (above / scale).round().clamp(0.0, top) };
                        (above - code * scale).powi(2)
                    });
                    best = best.min(error.sum());
                }
            }
            assert!(ours <= 1.3 * best, "q{bits} g{group}, {steps} steps: {ours:e}, best {best:e}");
        }
    }
}

#[test]
fn what_cannot_be_held_is_refused_by_the_tensors_name() {
    let quantizer = Quantizer::new(4, 32).unwrap();
    let mut out = MatrixRows { values: vec![7], groups: vec![[1.0, 2.0]] };
    let before = out.clone();
    for (bad, words) in
        [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf"), (1e30, "F16"), (-7e4, "F16")]
    {
        for at in [0, 31, 32 * 9 + 4] {
            let mut weights = vec![0.5; 320];
            weights[at] = bad;
            let error = quantizer.rows("layers.0.q", &weights, 32, &mut out).unwrap_err();
            let message = error.to_string();
            assert_eq!(error.code(), "unsupported", "{message}");
            assert!(message.contains("layers.0.q") && message.contains(words), "{message}");
            assert_eq!(out, before);
        }
    }
    assert!(quantizer.rows("w", &[f32::MAX; 32], 32, &mut out).is_err());
    for (values, k) in [(33, 33), (32, 64), (64, 0), (48, 16)] {
        assert_eq!(quantizer.rows("w", &vec![0.0; values], k, &mut out).unwrap_err().code(), "invalid-argument");
    }
    for (bits, group) in [(3, 64), (0, 64), (16, 64), (4, 0), (4, 48), (8, 256)] {
        assert_eq!(Quantizer::new(bits, group).unwrap_err().code(), "invalid-argument");
    }
    assert_eq!(quantizer.rows("w", &[], 32, &mut out).unwrap(), Loss::default());
    assert_eq!(out, before);
}

#[test]
fn the_loss_is_that_of_the_codes() {
    let weights: Vec<f32> = (0..3 * 192).map(|i| (i as f32 * 1.3).sin() * 0.1).collect();
    let mut rows = MatrixRows::default();
    let loss = Quantizer::new(4, 64).unwrap().rows("w", &weights, 192, &mut rows).unwrap();
    let error = squared_error(&dequantized(4, 64, &rows.values, &rows.groups), &weights);
    let squares: f64 = weights.iter().map(|&w| f64::from(w).powi(2)).sum();
    assert!((loss.error / error - 1.0).abs() < 1e-4 && (loss.squares / squares - 1.0).abs() < 1e-5, "{loss:?}");
    assert!((loss.relative() - (error / squares).sqrt()).abs() < 1e-5);
}

/// Numbers between 0 and 1, neither included: xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn draw(&mut self, distribution: &str) -> f64 {
        match distribution {
            "normal" => self.normal(),
            "t3" => {
                let squares: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
                self.normal() / (squares / 3.0).sqrt()
            }
            "laplace" => {
                let u = self.uniform() - 0.5;
                -u.signum() * (1.0 - 2.0 * u.abs()).ln()
            }
            _ => self.normal() * if self.uniform() < 0.001 { 10.0 } else { 1.0 },
        }
    }
}

/// The fastest of a few runs, in nanoseconds a weight: others on the machine only ever make it slower.
fn nanoseconds(weights: usize, mut run: impl FnMut()) -> f64 {
    let runs = (0..9).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_nanos() as f64 / weights as f64
    });
    (runs.fold(f64::INFINITY, f64::min) * 100.0).round() / 100.0
}

#[test]
#[ignore = "a measurement: node bench/quantize.mjs"]
fn error_and_time_beside_mlx_rule() {
    const WEIGHTS: usize = 1 << 20;
    let mut results = Vec::new();
    for distribution in ["normal", "t3", "laplace", "outliers"] {
        let mut random = Random(600);
        let weights: Vec<f32> = (0..WEIGHTS).map(|_| (0.02 * random.draw(distribution)) as f32).collect();
        for (bits, group) in EVERY {
            let n = group as usize;
            let quantizer = Quantizer::new(bits, group).unwrap();
            let mut rows = MatrixRows::default();
            let loss = quantizer.rows("w", &weights, 1024, &mut rows).unwrap();
            let squares: f64 = weights.iter().map(|&w| f64::from(w).powi(2)).sum();
            let relative = |error: f64| (error / squares).sqrt();
            let ours = relative(squared_error(&dequantized(bits, n, &rows.values, &rows.groups), &weights));
            assert!((loss.relative() / ours - 1.0).abs() < 1e-4);
            let mlx = relative(weights.chunks(n).map(|group| mlx_error(bits, group)).sum());
            assert!(ours < mlx);
            let ns = nanoseconds(WEIGHTS, || {
                rows = MatrixRows::default();
                quantizer.rows("w", &weights, 1024, &mut rows).unwrap();
            });
            let mlx_ns = nanoseconds(WEIGHTS, || {
                for group in weights.chunks(n) {
                    std::hint::black_box(mlx_rule(bits, std::hint::black_box(group)));
                }
            });
            results.push(serde_json::json!({
                "distribution": distribution, "bits": bits, "group": group,
                "mlx": { "error": mlx, "ns": mlx_ns }, "ours": { "error": ours, "ns": ns },
            }));
        }
    }
    println!("RESULT {}", serde_json::Value::from(results));
}
