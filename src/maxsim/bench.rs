//! MaxSim measured beside the full-matrix way to score and beside the plain loop, in one run:
//!
//! ```sh
//! . scripts/env.sh; use_lavapipe
//! cargo test --release --lib maxsim::bench -- --ignored --nocapture
//! ```
//!
//! A line of JSON a measurement: seconds of one call, from vectors in host memory to scores in host memory.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement prints, and stops at the first surprise")]

use half::f16;
use web_time::Instant;

use super::{Options, Scorer, TokenData, Tokens, score_on_cpu};
use crate::gpu::probe::values;
use crate::gpu::{Family, Gpu};

const DIM: usize = 128;
const ROWS: usize = 32;
const LENGTH: usize = 300;
/// Documents that the full-matrix way takes at once: their tokens fit one binding.
const NAIVE_DOCS: usize = 500;

/// The least seconds of `runs`, and what the last one gave.
fn timed<T>(runs: usize, mut run: impl FnMut() -> T) -> (f64, T) {
    let mut once = || {
        let start = Instant::now();
        let result = run();
        (start.elapsed().as_secs_f64(), result)
    };
    let mut best = once();
    for _ in 1..runs {
        let next = once();
        best = (best.0.min(next.0), next.1);
    }
    best
}

#[test]
#[ignore = "a measurement: minutes, and 4 GB of memory"]
fn a_query_against_documents_of_every_form() {
    let gpu = pollster::block_on(Gpu::open()).unwrap();
    let query = values(1, ROWS * DIM);
    let queries = Tokens { data: TokenData::Float32(&query), offsets: &[0, ROWS as u64], dim: DIM };
    let naive = Naive::new(&gpu);
    println!(
        "{}",
        serde_json::json!({ "adapter": gpu.adapter(), "dim": DIM, "query_tokens": ROWS, "document_tokens": LENGTH })
    );
    for documents in [1_000usize, 10_000] {
        let runs = if documents == 1_000 { 3 } else { 1 };
        let offsets: Vec<u64> = (0..=documents as u64).map(|d| d * LENGTH as u64).collect();
        let floats = values(2, documents * LENGTH * DIM);
        let halves: Vec<f16> = floats.iter().map(|&v| f16::from_f32(v)).collect();
        let codes: Vec<i8> = floats.iter().map(|v| (v * 127.0) as i8).collect();
        let scales = vec![1.0 / 127.0; documents * LENGTH];
        let bits: Vec<u8> = codes[..codes.len() / 8].iter().map(|&c| c as u8).collect();
        let say = |form: &str, how: &str, seconds: f64| {
            let rate = (documents * LENGTH * ROWS * DIM) as f64 / seconds / 1e9;
            println!(
                "{}",
                serde_json::json!({
                    "documents": documents, "form": form, "how": how, "seconds": (seconds * 1e3).round() / 1e3,
                    "gmac_per_second": (rate * 100.0).round() / 100.0,
                })
            );
        };
        let of = |data| Tokens { data, offsets: &offsets, dim: DIM };
        let forms = [
            ("float32", of(TokenData::Float32(&floats))),
            ("float16", of(TokenData::Float16(&halves))),
            ("int8", of(TokenData::Int8 { codes: &codes, scales: Some(&scales) })),
            ("binary", of(TokenData::Binary(&bits))),
        ];
        let mut exact = Vec::new();
        for (form, tokens) in forms {
            for (family, name) in [(Family::Strip, "maxsim_strip"), (Family::Tile, "maxsim_tile")] {
                let scorer = Scorer::of(family);
                // Compiled, and the speed of a submission learnt.
                let few = Tokens { offsets: &offsets[..=50], data: first(tokens.data, 50 * LENGTH), ..tokens };
                let run =
                    |tokens| pollster::block_on(scorer.score(&gpu, queries, tokens, Options::default(), &())).unwrap();
                run(few);
                let (seconds, scores) = timed(runs, || run(tokens));
                say(form, name, seconds);
                if form == "float32" {
                    exact = scores;
                }
            }
            let (seconds, _) = timed(1, || score_on_cpu(queries, tokens, Options::default(), &()).unwrap());
            say(form, "plain loop", seconds);
        }
        let (seconds, scores) = timed(runs, || naive.score(&gpu, &query, &floats));
        say("float32", "full matrix", seconds);
        assert!(scores.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-3), "the two ways differ");
    }
}

/// The first `count` tokens.
fn first(data: TokenData<'_>, count: usize) -> TokenData<'_> {
    match data {
        TokenData::Float32(data) => TokenData::Float32(&data[..count * DIM]),
        TokenData::Float16(data) => TokenData::Float16(&data[..count * DIM]),
        TokenData::Int8 { codes, scales } => {
            TokenData::Int8 { codes: &codes[..count * DIM], scales: scales.map(|s| &s[..count]) }
        }
        TokenData::Binary(data) => TokenData::Binary(&data[..count * DIM / 8]),
    }
}
