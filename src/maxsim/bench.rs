//! MaxSim on the GPU measured beside the processor, in one run:
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

use super::{Options, Scorer, TokenVectors};
use crate::backend::Backend;
use crate::backend::probe::values;
use crate::numbers::RowData;

const DIM: usize = 128;
const ROWS: usize = 32;
const LENGTH: usize = 300;

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
    let (gpu, cpu) = (pollster::block_on(Backend::gpu()).unwrap(), Backend::cpu());
    let query = values(1, ROWS * DIM);
    let queries = TokenVectors { data: RowData::Float32(&query), offsets: &[0, ROWS as u64], dim: DIM };
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
        let of = |data| TokenVectors { data, offsets: &offsets, dim: DIM };
        let forms = [
            ("float32", of(RowData::Float32(&floats))),
            ("float16", of(RowData::Float16(&halves))),
            ("int8", of(RowData::Int8 { codes: &codes, scales: Some(&scales) })),
            ("binary", of(RowData::Binary(&bits))),
        ];
        for (form, tokens) in forms {
            for (family, name) in [("strip", "maxsim_strip"), ("tile", "maxsim_tile")] {
                let scorer = Scorer::of(family);
                // Compiled, and the speed of a submission learnt.
                let few = TokenVectors { offsets: &offsets[..=50], data: first(tokens.data, 50 * LENGTH), ..tokens };
                let run =
                    |tokens| pollster::block_on(scorer.score(&gpu, queries, tokens, Options::default(), &())).unwrap();
                run(few);
                let (seconds, _) = timed(runs, || run(tokens));
                say(form, name, seconds);
            }
            let score = || pollster::block_on(Scorer::new().score(&cpu, queries, tokens, Options::default(), &()));
            let (seconds, _) = timed(1, || score().unwrap());
            say(form, "processor", seconds);
        }
    }
}

/// The first `count` tokens.
fn first(data: RowData<'_>, count: usize) -> RowData<'_> {
    match data {
        RowData::Float32(data) => RowData::Float32(&data[..count * DIM]),
        RowData::Float16(data) => RowData::Float16(&data[..count * DIM]),
        RowData::Int8 { codes, scales } => {
            RowData::Int8 { codes: &codes[..count * DIM], scales: scales.map(|s| &s[..count]) }
        }
        RowData::Binary(data) => RowData::Binary(&data[..count * DIM / 8]),
    }
}
