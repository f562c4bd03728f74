//! Token vectors for the scorer's tests, an oracle in f64, and the fixture that sentence-transformers made.

use half::f16;
use pplx_embed::backend::{Backend, probe};
use pplx_embed::maxsim::{Options, Scorer, TokenVectors};
use pplx_embed::numbers::{RowData, RowFormat};
use safetensors::SafeTensors;

pub const FORMS: [RowFormat; 4] = [RowFormat::Float32, RowFormat::Float16, RowFormat::Int8, RowFormat::Binary];

/// Items of token vectors, in one form.
#[derive(Clone, Debug)]
pub struct Items {
    pub form: RowFormat,
    pub dim: usize,
    pub offsets: Vec<u64>,
    pub floats: Vec<f32>,
    pub halves: Vec<f16>,
    pub codes: Vec<i8>,
    pub scales: Vec<f32>,
    pub bits: Vec<u8>,
}

impl Items {
    /// Items of `lengths` tokens that `floats` are rounded to; int8 has the scales -1/64, 1/128, -1/64, ...
    pub fn new(form: RowFormat, dim: usize, lengths: &[usize], floats: Vec<f32>) -> Self {
        assert_eq!(floats.len(), lengths.iter().sum::<usize>() * dim);
        let mut offsets = vec![0];
        lengths.iter().for_each(|&n| offsets.push(offsets[offsets.len() - 1] + n as u64));
        let scales: Vec<f32> =
            (0..offsets[lengths.len()]).map(|t| [-1.0 / 64.0, 1.0 / 128.0][t as usize % 2]).collect();
        let bits = floats.chunks(dim).flat_map(|row| {
            row.chunks(8)
                .map(|eight| (0..8).map(|i| u8::from(eight.get(i).is_some_and(|&v| v >= 0.0)) << (7 - i)).sum())
        });
        Self {
            form,
            dim,
            halves: floats.iter().map(|&v| f16::from_f32(v)).collect(),
            codes: floats.iter().map(|v| (v * 127.0) as i8).collect(),
            scales,
            bits: bits.collect(),
            offsets,
            floats,
        }
    }

    pub fn random(form: RowFormat, dim: usize, lengths: &[usize], seed: u64) -> Self {
        Self::new(form, dim, lengths, probe::values(seed, lengths.iter().sum::<usize>() * dim))
    }

    pub fn tokens(&self) -> TokenVectors<'_> {
        let data = match self.form {
            RowFormat::Float32 => RowData::Float32(&self.floats),
            RowFormat::Float16 => RowData::Float16(&self.halves),
            RowFormat::Int8 => RowData::Int8 { codes: &self.codes, scales: Some(&self.scales) },
            RowFormat::Binary => RowData::Binary(&self.bits),
        };
        TokenVectors { data, offsets: &self.offsets, dim: self.dim }
    }

    pub fn items(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The items at these indices, in their order.
    pub fn choose(&self, indices: &[usize]) -> Self {
        let (mut floats, mut lengths, mut scales) = (Vec::new(), Vec::new(), Vec::new());
        for &i in indices {
            let rows = self.offsets[i] as usize..self.offsets[i + 1] as usize;
            floats.extend_from_slice(&self.floats[rows.start * self.dim..rows.end * self.dim]);
            scales.extend_from_slice(&self.scales[rows.clone()]);
            lengths.push(rows.len());
        }
        Self { scales, ..Self::new(self.form, self.dim, &lengths, floats) }
    }

    /// Vector `t`, exactly.
    fn vector(&self, t: usize) -> Vec<f64> {
        let row = t * self.dim..(t + 1) * self.dim;
        match self.form {
            RowFormat::Float32 => self.floats[row].iter().map(|&v| v.into()).collect(),
            RowFormat::Float16 => self.halves[row].iter().map(|v| v.to_f64()).collect(),
            RowFormat::Int8 => self.codes[row].iter().map(|&v| f64::from(v) * f64::from(self.scales[t])).collect(),
            RowFormat::Binary => self.floats[row].iter().map(|&v| if v >= 0.0 { 1.0 } else { -1.0 }).collect(),
        }
    }

    fn vectors(&self, i: usize) -> Vec<Vec<f64>> {
        (self.offsets[i]..self.offsets[i + 1]).map(|t| self.vector(t as usize)).collect()
    }
}

/// `[queries, documents]` in f64, and for each score how far float32 sums may be off: with numbers of about 1, an ulp for
/// each addition and a little more.
pub fn oracle(queries: &Items, documents: &Items, cosine: bool) -> Vec<(f64, f64)> {
    let unit = |mut v: Vec<f64>| {
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        v.iter_mut().for_each(|x| *x /= if cosine && length > 0.0 { length } else { 1.0 });
        v
    };
    let all = |items: &Items, i: usize| items.vectors(i).into_iter().map(unit).collect::<Vec<_>>();
    let documents: Vec<_> = (0..documents.items()).map(|d| all(documents, d)).collect();
    let mut scores = Vec::new();
    for query in (0..queries.items()).map(|q| all(queries, q)) {
        for document in &documents {
            let best = |q: &Vec<f64>| {
                let dots = document.iter().map(|d| q.iter().zip(d).map(|(a, b)| a * b).sum::<f64>());
                dots.fold(f64::NEG_INFINITY, f64::max)
            };
            let bound = query.len() as f64 * (2e-6 + 1e-7 * queries.dim as f64);
            scores.push((query.iter().map(best).sum(), bound));
        }
    }
    scores
}

#[track_caller]
pub fn close(got: &[f32], expected: &[(f64, f64)], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (&got, &(expected, bound))) in got.iter().zip(expected).enumerate() {
        let got = f64::from(got);
        assert!(got == expected || (got - expected).abs() <= bound, "{what}: score {i} is {got}, expected {expected}");
    }
}

/// Every form over the edges of both families' tiles: documents of none, one, 4, 16 and 64 tokens and one less or more;
/// queries likewise around 8 and 32; dimensions around 4 and 32.
pub async fn edges(backend: &Backend, scorer: &Scorer, forms: &[RowFormat], dims: &[usize]) {
    let lengths = [0, 1, 3, 4, 5, 0, 0, 15, 16, 17, 63, 64, 65, 1, 1, 1, 127, 128, 129, 0];
    for &form in forms {
        for &dim in dims {
            let queries = Items::random(RowFormat::Float32, dim, &[1, 7, 8, 9, 31, 32, 33, 65], 1);
            let documents = Items::random(form, dim, &lengths, 2);
            let got =
                scorer.score(backend, queries.tokens(), documents.tokens(), Options::default(), &()).await.unwrap();
            close(&got, &oracle(&queries, &documents, false), &format!("{form:?}, {dim} dimensions"));
        }
    }
}

/// Scores and rankings of the fixture, to `1e-4` a query token.
pub async fn scores_equal_sentence_transformers(backend: &Backend, scorer: &Scorer, file: &[u8]) {
    let file = SafeTensors::deserialize(file).unwrap();
    for form in FORMS {
        let name = match form {
            RowFormat::Float32 => "f32",
            RowFormat::Float16 => "f16",
            RowFormat::Int8 => "i8",
            RowFormat::Binary => "b1",
        };
        let tensor = |field: &str| file.tensor(&format!("{name}.{field}")).unwrap();
        let offsets = |side: &str| {
            let ends: Vec<i64> = bytemuck::pod_collect_to_vec(tensor(&format!("{side}.offsets")).data());
            ends.into_iter().map(|o| o as u64).collect::<Vec<_>>()
        };
        let (query_ends, document_ends) = (offsets("queries"), offsets("documents"));
        let (queries, stored) = (tensor("queries.data"), tensor("documents.data"));
        let dim = queries.shape()[1];
        let queries: Vec<f32> = bytemuck::pod_collect_to_vec(queries.data());
        let floats: Vec<f32> =
            if form == RowFormat::Float32 { bytemuck::pod_collect_to_vec(stored.data()) } else { Vec::new() };
        let halves: Vec<f16> =
            if form == RowFormat::Float16 { bytemuck::pod_collect_to_vec(stored.data()) } else { Vec::new() };
        let scales: Vec<f32> = match file.tensor("i8.documents.scales") {
            Ok(scales) => bytemuck::pod_collect_to_vec(scales.data()),
            Err(_) => panic!("no scales"),
        };
        let data = match form {
            RowFormat::Float32 => RowData::Float32(&floats),
            RowFormat::Float16 => RowData::Float16(&halves),
            RowFormat::Int8 => RowData::Int8 { codes: bytemuck::cast_slice(stored.data()), scales: Some(&scales) },
            RowFormat::Binary => RowData::Binary(stored.data()),
        };
        let queries = TokenVectors { data: RowData::Float32(&queries), offsets: &query_ends, dim };
        let documents = TokenVectors { data, offsets: &document_ends, dim };

        let expected: Vec<f32> = bytemuck::pod_collect_to_vec(tensor("scores").data());
        let got = scorer.score(backend, queries, documents, Options::default(), &()).await.unwrap();
        assert_eq!(got.len(), expected.len());
        let rank = |row: &[f32]| {
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            order
        };
        let items = documents.items();
        for (q, (got, expected)) in got.chunks(items).zip(expected.chunks(items)).enumerate() {
            let rows = (query_ends[q + 1] - query_ends[q]) as f32;
            for (d, (got, expected)) in got.iter().zip(expected).enumerate() {
                assert!((got - expected).abs() <= 1e-4 * rows, "{name} query {q} document {d}: {got}, not {expected}");
            }
            assert_eq!(rank(got), rank(expected), "{name} query {q}");
        }
        assert!(
            form != RowFormat::Float32 || expected[items - 1] < -1.0,
            "the last document is far from the first query"
        );

        let pairs: Vec<i64> = bytemuck::pod_collect_to_vec(tensor("pairs").data());
        let pairs: Vec<(u32, u32)> = pairs.chunks(2).map(|p| (p[0] as u32, p[1] as u32)).collect();
        let expected: Vec<f32> = bytemuck::pod_collect_to_vec(tensor("pair_scores").data());
        let options = Options { pairs: Some(&pairs), ..Options::default() };
        let got = scorer.score(backend, queries, documents, options, &()).await.unwrap();
        assert_eq!(got.len(), expected.len());
        for ((got, expected), (q, d)) in got.iter().zip(&expected).zip(&pairs) {
            let rows = (query_ends[*q as usize + 1] - query_ends[*q as usize]) as f32;
            assert!((got - expected).abs() <= 1e-4 * rows, "{name} pair {q}, {d}: {got}, not {expected}");
        }
    }
}
