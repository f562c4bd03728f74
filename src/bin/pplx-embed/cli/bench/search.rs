//! `pplx-embed bench-search`

use std::hint::black_box;

use pplx_embed::backend::Backend;
use pplx_embed::backend::probe::values;
use pplx_embed::index::{AddMode, Index, IndexKind, IndexOptions, Item, SearchOptions};
use pplx_embed::maxsim::{Options, Scorer, TokenVectors};
use pplx_embed::numbers::RowData;
use pplx_embed::{Error, Result};
use serde_json::{Value, json};

use super::times::{self, Times};
use super::{machine, print};
use crate::cli::arguments::BenchSearch;
use crate::cli::progress::Console;

/// Dimensions of the vectors of texts.
const DIM: usize = 1024;
/// Items of a call of `add`.
const ADDED: usize = 10_000;
/// Dimensions of the vectors of tokens, tokens of the query and of a document.
const TOKENS: [usize; 3] = [128, 32, 300];

/// Times searching made-up vectors.
pub(crate) fn run(command: &BenchSearch) -> Result<()> {
    times::check(command.seconds)?;
    for (argument, count) in [("--items", command.items), ("--documents", command.documents)] {
        if count == 0 {
            return Err(Error::InvalidArgument {
                argument: argument.into(),
                message: "0, allowed is 1 or more".into(),
            });
        }
    }
    let console = Console::new(command.quiet);
    let (backend, _) = pollster::block_on(command.drivers.open(command.device, command.threads, &console))?;
    if !command.json {
        print(&format!("device   {}: {}\nmachine  {}\n", backend.name(), backend.adapter().name, machine::name()))?;
    }
    let mut measured = Vec::new();
    let mut say = |line: Value| {
        if !command.json {
            print(&row(&line))?;
        }
        measured.push(line);
        Ok::<_, Error>(())
    };

    // Codes like those of a model: most of them small.
    let codes: Vec<i8> = values(1, command.items * DIM).iter().map(|v| (127.0 * (v * v * v)) as i8).collect();
    for threads in if machine::cores() > 1 { vec![1, machine::cores()] } else { vec![1] } {
        let name = format!("reading the codes, threads: {threads}");
        let (times, _) = times::time(&name, command.seconds, &console, || Ok(black_box(sum(&codes, threads))))?;
        say(line(&name, times, codes.len(), 0))?;
    }
    let index = filled(&backend, &codes)?;
    let query = TokenVectors { data: RowData::Int8 { codes: &codes[..DIM], scales: None }, offsets: &[0, 1], dim: DIM };
    let name = format!("a query among {} int8 vectors", command.items);
    let (times, _) = times::time(&name, command.seconds, &console, || {
        pollster::block_on(index.search(query, SearchOptions::default(), &()))
    })?;
    say(line(&name, times, codes.len(), 2 * codes.len()))?;
    drop(index);

    let [dim, asked, length] = TOKENS;
    let (query, documents) = (values(2, asked * dim), values(3, command.documents * length * dim));
    let offsets: Vec<u64> = (0..=command.documents).map(|i| (i * length) as u64).collect();
    let queries = TokenVectors { data: RowData::Float32(&query), offsets: &[0, asked as u64], dim };
    let tokens = TokenVectors { data: RowData::Float32(&documents), offsets: &offsets, dim };
    let (name, scorer) = (format!("MaxSim with {} documents, f32", command.documents), Scorer::new());
    let (times, _) = times::time(&name, command.seconds, &console, || {
        pollster::block_on(scorer.score(&backend, queries, tokens, Options::default(), &()))
    })?;
    say(line(&name, times, 4 * documents.len(), 2 * documents.len() * asked))?;
    if command.json {
        print(
            &json!({
                "schema": 1, "version": env!("CARGO_PKG_VERSION"), "machine": machine::describe(),
                "device": backend.name(), "adapter": backend.adapter(), "items": command.items,
                "documents": command.documents, "cases": measured,
            })
            .to_string(),
        )?;
    }
    Ok(())
}

/// The sum of the codes, eight at a time, which is as quick as memory is read.
fn sum(codes: &[i8], threads: usize) -> u64 {
    let part = |codes: &[i8]| {
        let words = codes.chunks_exact(8).map(|c| u64::from_le_bytes(std::array::from_fn(|i| c[i] as u8)));
        words.fold(0u64, u64::wrapping_add)
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> =
            codes.chunks(codes.len().div_ceil(threads)).map(|codes| scope.spawn(move || part(codes))).collect();
        parts.into_iter().filter_map(|thread| thread.join().ok()).fold(0, u64::wrapping_add)
    })
}

/// An index of `codes` `[n, DIM]`.
fn filled(backend: &Backend, codes: &[i8]) -> Result<Index> {
    let mut index = Index::new(backend.clone(), IndexOptions::new(IndexKind::Dense, DIM))?;
    for (part, codes) in codes.chunks(ADDED * DIM).enumerate() {
        let count = codes.len() / DIM;
        let ids: Vec<String> = (0..count).map(|i| (part * ADDED + i).to_string()).collect();
        let items: Vec<Item<'_>> = ids.iter().map(|id| Item { id, data: None }).collect();
        let offsets: Vec<u64> = (0..=count as u64).collect();
        let rows = TokenVectors { data: RowData::Int8 { codes, scales: None }, offsets: &offsets, dim: DIM };
        pollster::block_on(index.add(&items, rows, None, AddMode::Add, &()))?;
    }
    Ok(index)
}

fn line(name: &str, times: Times, bytes: usize, operations: usize) -> Value {
    let rate = |amount: usize| amount as f64 / times.median / 1e9;
    json!({
        "name": name, "runs": times.runs(), "bytes": bytes, "gigabytesPerSecond": rate(bytes),
        "gflops": (operations > 0).then(|| rate(operations)), "seconds": times,
    })
}

fn row(line: &Value) -> String {
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let milliseconds = |field: &str| 1000.0 * number(&line["seconds"][field]);
    let operations = line["gflops"].as_f64().map_or(String::new(), |rate| format!(", {rate:.1} Gop/s"));
    format!(
        "{:<42} {:>9.2} ms  ({:.2} to {:.2}, runs: {})  {:.1} GB/s{operations}",
        line["name"].as_str().unwrap_or_default(),
        milliseconds("median"),
        milliseconds("least"),
        milliseconds("most"),
        line["runs"],
        number(&line["gigabytesPerSecond"]),
    )
}
