//! Scores of dense vectors: cosines of float32 and int8, Hamming distances of signs, at several sizes at once.

use std::ops::Range;

use pplx_embed::Result;
use pplx_embed::model::Model;

use super::arguments::Form;
use super::top::{Ids, Top};

/// What is compared: `forms` at `sizes`, which rise.
pub(super) struct Plan {
    pub(super) forms: Vec<Form>,
    pub(super) sizes: Vec<usize>,
}

impl Plan {
    /// Rankings of one query: by form, then by size.
    pub(super) fn rankings(&self) -> usize {
        self.forms.len() * self.sizes.len()
    }

    /// The dimensions that each size has more than the one before.
    fn steps(&self) -> impl Iterator<Item = Range<usize>> {
        self.sizes.iter().scan(0, |from, &to| Some(std::mem::replace(from, to)..to))
    }

    /// Vectors `[n, D]` in every form.
    ///
    /// # Errors
    /// As [`Model::int8_codes`].
    pub(super) fn rows(&self, model: &Model, vectors: Vec<f32>, dim: usize) -> Result<Rows> {
        let mut numbers = Vec::with_capacity(self.forms.len());
        for form in &self.forms {
            numbers.push(match form {
                Form::Float => Numbers::Float(vectors.clone()),
                Form::Int8 => Numbers::Int8(pollster::block_on(model.int8_codes(&vectors, &()))?),
                Form::Binary => Numbers::Binary(self.bits(&vectors, dim)),
            });
        }
        let rows = vectors.len() / dim;
        let squares = numbers.iter().map(|numbers| self.squares(numbers, rows, dim)).collect();
        Ok(Rows { numbers, squares, dim, words: self.words() })
    }

    /// 64-bit words of a row of signs: whole ones for each step.
    fn words(&self) -> usize {
        self.steps().map(|step| step.len().div_ceil(64)).sum()
    }

    /// The signs `x >= 0`, 64 in a word.
    fn bits(&self, vectors: &[f32], dim: usize) -> Vec<u64> {
        let word = |part: &[f32]| part.iter().fold(0u64, |word, &x| word << 1 | u64::from(x >= 0.0));
        let rows = vectors.chunks_exact(dim);
        rows.flat_map(|row| self.steps().flat_map(move |step| row[step].chunks(64).map(word))).collect()
    }

    /// The squared lengths `[n, sizes]`; none of signs.
    fn squares(&self, numbers: &Numbers, rows: usize, dim: usize) -> Vec<f64> {
        let mut squares = Vec::new();
        for row in 0..rows {
            let mut sum = 0.0;
            for step in self.steps() {
                let own = row * dim + step.start..row * dim + step.end;
                sum += match numbers {
                    Numbers::Float(x) => dot(&x[own.clone()], &x[own]),
                    Numbers::Int8(x) => dot_codes(&x[own.clone()], &x[own]),
                    Numbers::Binary(_) => continue,
                };
                squares.push(sum);
            }
        }
        squares
    }

    /// Holds every query against documents. `spans` are ranges of rows with the item that they are of; an item's score
    /// is that of the best of its rows. `tops` are `[queries, rankings]`; `skip` has for each query the item that is no
    /// hit of it.
    pub(super) fn score(
        &self,
        queries: &Rows,
        documents: &Rows,
        spans: &[(Range<usize>, u32)],
        ids: &Ids,
        skip: &[Option<u32>],
        tops: &mut [Top],
    ) {
        let width = self.rankings();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = skip.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            for (part, (tops, skip)) in tops.chunks_mut(share * width).zip(skip.chunks(share)).enumerate() {
                scope.spawn(move || {
                    for (i, (tops, skip)) in tops.chunks_exact_mut(width).zip(skip).enumerate() {
                        self.query([queries, documents], part * share + i, spans, ids, *skip, tops);
                    }
                });
            }
        });
    }

    fn query(
        &self,
        [queries, documents]: [&Rows; 2],
        query: usize,
        spans: &[(Range<usize>, u32)],
        ids: &Ids,
        skip: Option<u32>,
        tops: &mut [Top],
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
            tops.iter_mut().zip(&best).for_each(|(top, &score)| top.push(score, ids.rank(*item)));
        }
    }

    /// The score of two rows at each size. A vector of zeros has cosine 0 with all, as in an index.
    fn compare(&self, [a, b]: [&Rows; 2], form: usize, [i, j]: [usize; 2], mut take: impl FnMut(usize, f32)) {
        let sizes = self.sizes.len();
        let at = |row: usize, step: &Range<usize>| row * a.dim + step.start..row * a.dim + step.end;
        let mut cosine = |size: usize, dot: f64| {
            let squares = a.squares[form][i * sizes + size] * b.squares[form][j * sizes + size];
            take(size, if squares > 0.0 { (dot / squares.sqrt()) as f32 } else { 0.0 });
        };
        match (&a.numbers[form], &b.numbers[form]) {
            (Numbers::Float(x), Numbers::Float(y)) => {
                let mut sum = 0.0;
                for (size, step) in self.steps().enumerate() {
                    sum += dot(&x[at(i, &step)], &y[at(j, &step)]);
                    cosine(size, sum);
                }
            }
            (Numbers::Int8(x), Numbers::Int8(y)) => {
                let mut sum = 0.0;
                for (size, step) in self.steps().enumerate() {
                    sum += dot_codes(&x[at(i, &step)], &y[at(j, &step)]);
                    cosine(size, sum);
                }
            }
            (Numbers::Binary(x), Numbers::Binary(y)) => {
                let (mut from, mut distance) = (0, 0);
                for (size, step) in self.steps().enumerate() {
                    let to = from + step.len().div_ceil(64);
                    let row = |row: usize| row * a.words + from..row * a.words + to;
                    distance += x[row(i)].iter().zip(&y[row(j)]).map(|(x, y)| (x ^ y).count_ones()).sum::<u32>();
                    take(size, -(distance as f32));
                    from = to;
                }
            }
            // Both have the forms of one plan.
            _ => {}
        }
    }
}

/// Vectors in the forms of a plan.
pub(super) struct Rows {
    numbers: Vec<Numbers>,
    /// For each form `[n, sizes]`.
    squares: Vec<Vec<f64>>,
    dim: usize,
    /// Words of a row of signs.
    words: usize,
}

enum Numbers {
    Float(Vec<f32>),
    Int8(Vec<i8>),
    Binary(Vec<u64>),
}

/// In f64, in eight sums, which a CPU makes at a time.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (&a, &b))| *sum += f64::from(a) * f64::from(b));
    }
    sums.iter().sum::<f64>() + pplx_embed::cpu::dot(a_rest, b_rest)
}

/// Exact.
fn dot_codes(a: &[i8], b: &[i8]) -> f64 {
    pplx_embed::cpu::dot_codes(a, b) as f64
}
