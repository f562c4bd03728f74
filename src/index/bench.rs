//! Search over int8 vectors of 1,024 dimensions measured: on the device, through a first pass of bits, and in host memory.
//!
//! ```sh
//! . scripts/env.sh; use_lavapipe
//! cargo test --release --lib index::bench -- --ignored --nocapture
//! ```
//!
//! A line of JSON a measurement: the least seconds of a few calls, from queries in host memory to hits. `read` is one
//! thread adding up the same codes.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement prints, and stops at the first surprise")]

use std::hint::black_box;

use serde_json::json;
use web_time::Instant;

use super::{AddMode, Index, IndexKind, IndexOptions, Item, SearchOptions};
use crate::backend::Backend;
use crate::backend::probe::values;
use crate::maxsim::TokenVectors;
use crate::numbers::{RowData, RowFormat};

const DIM: usize = 1024;
const RUNS: usize = 5;
/// Items of a call of `add`.
const ADDED: usize = 10_000;

/// The least seconds of [`RUNS`] runs.
fn timed<T>(mut run: impl FnMut() -> T) -> (f64, T) {
    let mut once = || {
        let start = Instant::now();
        let result = run();
        (start.elapsed().as_secs_f64(), result)
    };
    let mut best = once();
    for _ in 1..RUNS {
        let next = once();
        best = (best.0.min(next.0), next.1);
    }
    best
}

/// `[count, DIM]` codes that look like those of a model: most of them small.
fn codes(seed: u64, count: usize) -> Vec<i8> {
    values(seed, count * DIM).iter().map(|v| (127.0 * (v * v * v)) as i8).collect()
}

fn rows<'a>(codes: &'a [i8], offsets: &'a [u64]) -> TokenVectors<'a> {
    TokenVectors { data: RowData::Int8 { codes, scales: None }, offsets, dim: DIM }
}

#[test]
#[ignore = "a measurement: minutes, and 1 GB of memory"]
fn a_query_and_a_batch_against_many_vectors() {
    let gpu = pollster::block_on(Backend::gpu()).unwrap();
    let cpu = Backend::cpu();
    println!("{}", json!({ "adapter": gpu.adapter(), "dim": DIM, "k": SearchOptions::default().k }));
    for items in [10_000usize, 100_000] {
        let vectors = codes(1, items);
        let (seconds, _) = timed(|| black_box(vectors.iter().fold(0i64, |sum, &code| sum + i64::from(code))));
        println!("{}", json!({ "items": items, "how": "read", "seconds": seconds }));
        let queries = codes(2, 32);
        let mut exact = Vec::new();
        for (how, backend, form) in [
            ("int8, on the device", &gpu, RowFormat::Int8),
            ("int8, on the processor", &cpu, RowFormat::Int8),
            ("binary, on the device, and int8", &gpu, RowFormat::Binary),
            ("binary and int8, on the processor", &cpu, RowFormat::Binary),
        ] {
            let start = Instant::now();
            let index = filled(backend, form, &vectors);
            let adding = start.elapsed().as_secs_f64();
            for batch in [1, 32] {
                let offsets: Vec<u64> = (0..=batch as u64).collect();
                let query = rows(&queries[..batch * DIM], &offsets);
                let search = || pollster::block_on(index.search(query, SearchOptions::default(), &())).unwrap();
                search(); // compiled
                let (seconds, hits) = timed(search);
                if how == "int8, on the device" && batch == 32 {
                    exact = hits.clone();
                }
                let line = json!({
                    "items": items, "how": how, "queries": batch, "seconds": seconds, "adding_seconds": adding,
                    "bytes": index.bytes(),
                });
                println!("{line}");
                let same = hits.iter().zip(&exact).all(|(a, b)| a[0] == b[0]);
                assert!(batch < 32 || form == RowFormat::Binary || same, "the two ways differ");
            }
        }
    }
}

/// An index of `vectors` `[n, DIM]`.
fn filled(backend: &Backend, form: RowFormat, vectors: &[i8]) -> Index {
    let options = IndexOptions { rows: form, ..IndexOptions::new(IndexKind::Dense, DIM) };
    let mut index = Index::new(backend.clone(), options).unwrap();
    for (part, vectors) in vectors.chunks(ADDED * DIM).enumerate() {
        let count = vectors.len() / DIM;
        let ids: Vec<String> = (0..count).map(|i| (part * ADDED + i).to_string()).collect();
        let items: Vec<Item<'_>> = ids.iter().map(|id| Item { id, data: None }).collect();
        let offsets: Vec<u64> = (0..=count as u64).collect();
        pollster::block_on(index.add(&items, rows(vectors, &offsets), None, AddMode::Add, &())).unwrap();
    }
    index
}
