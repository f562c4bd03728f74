//! Vectors to put into indexes, what should be found of them by brute force in f64, and indexes of every kind.

use std::sync::OnceLock;

use pplx_embed::backend::Backend;
use pplx_embed::index::{AddMode, Hit, Index, IndexKind, IndexOptions, Item, SearchOptions, SegmentSizes};
use pplx_embed::maxsim::TokenVectors;
use pplx_embed::numbers::{RowData, RowFormat};

use crate::support::maxsim::Items;

/// Every kind with every row type, and the form of the vectors it is given.
pub(crate) const KINDS: [(IndexKind, RowFormat, RowFormat); 7] = [
    (IndexKind::Dense, RowFormat::Int8, RowFormat::Int8),
    (IndexKind::Dense, RowFormat::Binary, RowFormat::Int8),
    (IndexKind::Dense, RowFormat::Float32, RowFormat::Float32),
    (IndexKind::Late, RowFormat::Float16, RowFormat::Float16),
    (IndexKind::Late, RowFormat::Float32, RowFormat::Float32),
    (IndexKind::Late, RowFormat::Int8, RowFormat::Int8),
    (IndexKind::Late, RowFormat::Binary, RowFormat::Binary),
];

/// One device for all tests, which reads back blocks of similarities as GPUs do that are not software.
pub(crate) fn gpu() -> Backend {
    static GPU: OnceLock<Backend> = OnceLock::new();
    GPU.get_or_init(|| pollster::block_on(Backend::gpu_with(&["blocks"])).unwrap()).clone()
}

/// Segments, pieces and blocks so small that a few rows meet every seam.
pub(crate) const SMALL: SegmentSizes =
    SegmentSizes { min_segment: 256, max_segment: 4096, staging: 300, scores: 64, block: 200 };

/// Where rows may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Home {
    /// On the processor.
    Cpu,
    /// All on the device.
    Resident,
    /// All in host memory, passing through the device.
    Paged,
    /// Some here, some there.
    Both,
}

pub(crate) const HOMES: [Home; 4] = [Home::Cpu, Home::Resident, Home::Paged, Home::Both];
pub(crate) const ON_DEVICE: [Home; 3] = [Home::Resident, Home::Paged, Home::Both];

impl Home {
    pub(crate) fn backend(self) -> Backend {
        if self == Self::Cpu { Backend::cpu() } else { gpu() }
    }

    pub(crate) fn memory(self) -> Option<u64> {
        match self {
            Self::Cpu | Self::Resident => None,
            Self::Paged => Some(0),
            Self::Both => Some(1500),
        }
    }

    pub(crate) fn index(self, options: IndexOptions) -> Index {
        let options = IndexOptions { memory: self.memory(), ..options };
        Index::new(self.backend(), options).unwrap()
    }
}

pub(crate) fn options(kind: IndexKind, rows: RowFormat, dim: usize, sizes: SegmentSizes) -> IndexOptions {
    IndexOptions { rows, sizes, ..IndexOptions::new(kind, dim) }
}

/// Items of random vectors with the ids `name0`, `name1`, ...
pub(crate) struct Corpus {
    pub(crate) ids: Vec<String>,
    pub(crate) vectors: Items,
}

impl Corpus {
    pub(crate) fn new(name: &str, form: RowFormat, dim: usize, lengths: &[usize], seed: u64) -> Self {
        let ids = (0..lengths.len()).map(|i| format!("{name}{i}")).collect();
        Self { ids, vectors: Items::random(form, dim, lengths, seed) }
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn items(&self) -> Vec<Item<'_>> {
        self.ids.iter().map(|id| Item { id, data: None }).collect()
    }

    /// The items at these indices.
    pub(crate) fn choose(&self, indices: &[usize]) -> Self {
        Self { ids: indices.iter().map(|&i| self.ids[i].clone()).collect(), vectors: self.vectors.choose(indices) }
    }

    pub(crate) fn add_to(&self, index: &mut Index) {
        self.put(index, AddMode::Add).unwrap();
    }

    pub(crate) fn put(&self, index: &mut Index, mode: AddMode) -> pplx_embed::Result<()> {
        let dense = index.options().kind == IndexKind::Dense;
        pollster::block_on(index.add(&self.items(), tokens(&self.vectors, dense), None, mode, &()))
    }
}

/// The vectors, without scales for a dense index.
pub(crate) fn tokens(items: &Items, dense: bool) -> TokenVectors<'_> {
    match items.tokens() {
        TokenVectors { data: RowData::Int8 { codes, .. }, offsets, dim } if dense => {
            TokenVectors { data: RowData::Int8 { codes, scales: None }, offsets, dim }
        }
        tokens => tokens,
    }
}

pub(crate) fn search(index: &Index, queries: &Items, options: SearchOptions<'_>) -> Vec<Vec<Hit>> {
    let dense = index.options().kind == IndexKind::Dense;
    pollster::block_on(index.search(tokens(queries, dense), options, &())).unwrap()
}

/// Ids, bits of scores and chunks.
pub(crate) type Found = Vec<Vec<(String, u32, u32)>>;

pub(crate) fn found(index: &Index, queries: &Items, options: SearchOptions<'_>) -> Found {
    let hits = search(index, queries, options);
    let named = |hit: &Hit| (index.id(hit.position).unwrap().to_owned(), hit.score.to_bits(), hit.chunk);
    hits.iter().map(|hits| hits.iter().map(named).collect()).collect()
}

/// Row `t` as numbers in f64, scales left out.
pub(crate) fn row(items: &Items, t: usize) -> Vec<f64> {
    let at = t * items.dim..(t + 1) * items.dim;
    match items.form {
        RowFormat::Float32 => items.floats[at].iter().map(|&v| v.into()).collect(),
        RowFormat::Float16 => items.halves[at].iter().map(|v| v.to_f64()).collect(),
        RowFormat::Int8 => items.codes[at].iter().map(|&v| v.into()).collect(),
        RowFormat::Binary => items.floats[at].iter().map(|&v| if v >= 0.0 { 1.0 } else { -1.0 }).collect(),
    }
}

/// Numbers as 8-bit codes times a scale.
pub(crate) fn coded(row: &[f64]) -> Vec<f64> {
    let most = row.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    row.iter().map(|v| if most > 0.0 { (v / (most / 127.0)).round_ties_even() } else { 0.0 }).collect()
}

pub(crate) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
}

/// For each query the best row of each item that has rows, `(item, cosine, chunk)`, best first; `as_kept` is what becomes
/// of a vector in the index.
pub(crate) fn by_cosine(
    queries: &Items,
    items: &Items,
    as_kept: impl Fn(Vec<f64>) -> Vec<f64>,
) -> Vec<Vec<(usize, f64, u32)>> {
    let kept: Vec<Vec<f64>> = (0..items.offsets[items.items()] as usize).map(|t| as_kept(row(items, t))).collect();
    let one = |q: usize| {
        let query = as_kept(row(queries, q));
        let mut scores = Vec::new();
        for i in 0..items.items() {
            let mut best: Option<(usize, f64, u32)> = None;
            for t in items.offsets[i]..items.offsets[i + 1] {
                let cosine = cosine(&query, &kept[t as usize]);
                if best.is_none_or(|b| cosine > b.1) {
                    best = Some((i, cosine, (t - items.offsets[i]) as u32));
                }
            }
            scores.extend(best);
        }
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        scores
    };
    (0..queries.items()).map(one).collect()
}

/// The first `k` of `expected` and no others, in their order, to `bound`; where two are closer than that either may be
/// first.
#[track_caller]
pub(crate) fn agree(hits: &[Vec<Hit>], expected: &[Vec<(usize, f64, u32)>], k: usize, bound: f64, what: &str) {
    assert_eq!(hits.len(), expected.len(), "{what}");
    for (q, (hits, expected)) in hits.iter().zip(expected).enumerate() {
        assert_eq!(hits.len(), expected.len().min(k), "{what}, query {q}");
        for (rank, (hit, want)) in hits.iter().zip(expected).enumerate() {
            let of_item = expected.iter().find(|e| e.0 == hit.position).unwrap();
            let score = f64::from(hit.score);
            assert!((score - want.1).abs() <= bound, "{what}, query {q}: rank {rank} is {hit:?}, expected {want:?}");
            assert!((score - of_item.1).abs() <= bound, "{what}, query {q}: {hit:?}, expected {of_item:?}");
        }
        let mut seen: Vec<usize> = hits.iter().map(|h| h.position).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), hits.len(), "{what}, query {q}: an item twice");
        for pair in hits.windows(2) {
            let in_order =
                pair[0].score > pair[1].score || pair[0].score == pair[1].score && pair[0].position < pair[1].position;
            assert!(in_order, "{what}, query {q}: {pair:?}");
        }
    }
}
