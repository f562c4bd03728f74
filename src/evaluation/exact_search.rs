//! Exact search over dense vectors: every query is compared with every row, in several forms and at several sizes in
//! one pass. Cosine of float32 and int8, Hamming distance of signs.

use std::ops::Range;

use crate::error::Result;
use crate::model::Model;
use crate::top_k::TopK;

/// The form in which vectors are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorForm {
    /// The float32 vectors of the model: cosine, or MaxSim of a late interaction model.
    Float,
    /// Int8 codes: cosine, or MaxSim with a scale for each vector.
    Int8,
    /// Signs: Hamming distance, or MaxSim of the query's float32 vectors with +1 and -1.
    Binary,
}

impl VectorForm {
    /// Every form and its name.
    pub const NAMES: [(&'static str, Self); 3] =
        [("float", Self::Float), ("int8", Self::Int8), ("binary", Self::Binary)];

    /// Its name in [`VectorForm::NAMES`].
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, form)| *form == self).map_or("", |(name, _)| name)
    }
}

/// An exact search in each of `forms` at each of `sizes`, numbers of leading dimensions in rising order. Each form at
/// each size gives every query a ranking of its own.
#[derive(Clone, Debug)]
pub struct ExactSearch {
    /// The forms of vectors.
    pub forms: Vec<VectorForm>,
    /// The sizes.
    pub sizes: Vec<usize>,
}

impl ExactSearch {
    /// The number of rankings of one query; they are ordered by form, then by size.
    pub fn rankings(&self) -> usize {
        self.forms.len() * self.sizes.len()
    }

    /// The dimensions that each size adds to the one before.
    fn steps(&self) -> impl Iterator<Item = Range<usize>> {
        self.sizes.iter().scan(0, |from, &to| Some(std::mem::replace(from, to)..to))
    }

    /// The float32 `vectors` `[n, dim]` in every form. `model` makes the int8 codes.
    ///
    /// # Errors
    /// As [`Model::int8_codes`].
    pub fn rows(&self, model: &Model, vectors: Vec<f32>, dim: usize) -> Result<SearchRows> {
        let mut numbers = Vec::with_capacity(self.forms.len());
        for form in &self.forms {
            numbers.push(match form {
                VectorForm::Float => RowValues::Float(vectors.clone()),
                VectorForm::Int8 => RowValues::Int8(pollster::block_on(model.int8_codes(&vectors, &()))?),
                VectorForm::Binary => RowValues::Binary(self.bits(&vectors, dim)),
            });
        }
        let rows = vectors.len() / dim;
        let squares = numbers.iter().map(|numbers| self.squares(numbers, rows, dim)).collect();
        Ok(SearchRows { numbers, squares, dim, words: self.words() })
    }

    /// 64-bit words in a row of signs. Each step starts a new word.
    fn words(&self) -> usize {
        self.steps().map(|step| step.len().div_ceil(64)).sum()
    }

    /// The signs `x >= 0`, 64 to a word.
    fn bits(&self, vectors: &[f32], dim: usize) -> Vec<u64> {
        let word = |part: &[f32]| part.iter().fold(0u64, |word, &x| word << 1 | u64::from(x >= 0.0));
        let rows = vectors.chunks_exact(dim);
        rows.flat_map(|row| self.steps().flat_map(move |step| row[step].chunks(64).map(word))).collect()
    }

    /// The squared lengths `[n, sizes]`; empty for signs.
    fn squares(&self, numbers: &RowValues, rows: usize, dim: usize) -> Vec<f64> {
        let mut squares = Vec::new();
        for row in 0..rows {
            let mut sum = 0.0;
            for step in self.steps() {
                let own = row * dim + step.start..row * dim + step.end;
                sum += match numbers {
                    RowValues::Float(x) => dot(&x[own.clone()], &x[own]),
                    RowValues::Int8(x) => dot_codes(&x[own.clone()], &x[own]),
                    RowValues::Binary(_) => continue,
                };
                squares.push(sum);
            }
        }
        squares
    }

    /// Compares every query with every document, and divides the queries among the CPU's threads.
    ///
    /// `spans` are ranges of rows of `documents`, each with the item that the rows belong to. An item's score is the
    /// score of its best row. `ranks` has a key for each item; of equal scores the greater key is better. `skip` has,
    /// for each query, the item to leave out. `tops` are `[queries, rankings]` and collect the keys.
    pub fn score(
        &self,
        queries: &SearchRows,
        documents: &SearchRows,
        spans: &[(Range<usize>, u32)],
        ranks: &[u32],
        skip: &[Option<u32>],
        tops: &mut [TopK<u32>],
    ) {
        let width = self.rankings();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = skip.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            for (part, (tops, skip)) in tops.chunks_mut(share * width).zip(skip.chunks(share)).enumerate() {
                scope.spawn(move || {
                    for (i, (tops, skip)) in tops.chunks_exact_mut(width).zip(skip).enumerate() {
                        self.query([queries, documents], part * share + i, spans, ranks, *skip, tops);
                    }
                });
            }
        });
    }

    fn query(
        &self,
        [queries, documents]: [&SearchRows; 2],
        query: usize,
        spans: &[(Range<usize>, u32)],
        ranks: &[u32],
        skip: Option<u32>,
        tops: &mut [TopK<u32>],
    ) {
        let mut best = vec![f32::NEG_INFINITY; tops.len()];
        for (rows, item) in spans.iter().filter(|(_, item)| skip != Some(*item)) {
            best.fill(f32::NEG_INFINITY);
            for row in rows.clone() {
                for (form, best) in best.chunks_exact_mut(self.sizes.len()).enumerate() {
                    self.compare([queries, documents], form, [query, row], |size, score| {
                        best[size] = best[size].max(score);
                    });
                }
            }
            // An item without rows keeps minus infinity: it cannot be found.
            let found = tops.iter_mut().zip(&best).filter(|(_, score)| **score > f32::NEG_INFINITY);
            found.for_each(|(top, &score)| top.push(score, ranks[*item as usize]));
        }
    }

    /// Gives `take` the score of two rows at each size. A zero vector has cosine 0 with every other, as in an index.
    fn compare(&self, [a, b]: [&SearchRows; 2], form: usize, [i, j]: [usize; 2], mut take: impl FnMut(usize, f32)) {
        let sizes = self.sizes.len();
        let at = |row: usize, step: &Range<usize>| row * a.dim + step.start..row * a.dim + step.end;
        let mut cosine = |size: usize, dot: f64| {
            let squares = a.squares[form][i * sizes + size] * b.squares[form][j * sizes + size];
            take(size, if squares > 0.0 { (dot / squares.sqrt()) as f32 } else { 0.0 });
        };
        match (&a.numbers[form], &b.numbers[form]) {
            (RowValues::Float(x), RowValues::Float(y)) => {
                let mut sum = 0.0;
                for (size, step) in self.steps().enumerate() {
                    sum += dot(&x[at(i, &step)], &y[at(j, &step)]);
                    cosine(size, sum);
                }
            }
            (RowValues::Int8(x), RowValues::Int8(y)) => {
                let mut sum = 0.0;
                for (size, step) in self.steps().enumerate() {
                    sum += dot_codes(&x[at(i, &step)], &y[at(j, &step)]);
                    cosine(size, sum);
                }
            }
            (RowValues::Binary(x), RowValues::Binary(y)) => {
                let (mut from, mut distance) = (0, 0);
                for (size, step) in self.steps().enumerate() {
                    let to = from + step.len().div_ceil(64);
                    let row = |row: usize| row * a.words + from..row * a.words + to;
                    distance += x[row(i)].iter().zip(&y[row(j)]).map(|(x, y)| (x ^ y).count_ones()).sum::<u32>();
                    take(size, -(distance as f32));
                    from = to;
                }
            }
            // Both were made by the same search, so the forms agree.
            _ => {}
        }
    }
}

/// Vectors in every form of an [`ExactSearch`].
pub struct SearchRows {
    numbers: Vec<RowValues>,
    /// Squared lengths `[n, sizes]` for each form.
    squares: Vec<Vec<f64>>,
    dim: usize,
    /// 64-bit words in a row of signs.
    words: usize,
}

enum RowValues {
    Float(Vec<f32>),
    Int8(Vec<i8>),
    Binary(Vec<u64>),
}

/// In f64. Eight separate sums let the compiler use vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (&a, &b))| *sum += f64::from(a) * f64::from(b));
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
}

/// The exact dot product of int8 codes.
fn dot_codes(a: &[i8], b: &[i8]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| i64::from(i32::from(a) * i32::from(b))).sum::<i64>() as f64
}
