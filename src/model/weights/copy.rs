//! Weights that are the same as others, in another thread: what there is to send, and what is made of it.

use super::{Biases, Layer, Table, Weights};
use crate::backend::{Buffer, Weight};
use crate::checkpoint::MatrixRows;
use crate::model::shape::Shape;
use crate::numbers::MatrixFormat;

impl Weights {
    /// The matrices on the device, in the order that [`Weights::of_parts`] takes them in.
    pub(in crate::model) fn matrices(&self) -> impl Iterator<Item = &Weight> {
        self.layers.iter().flat_map(|l| [&l.q, &l.k, &l.v, &l.o, &l.mlp, &l.down])
    }

    /// The norms and biases, in the order that [`Weights::of_parts`] takes them in.
    pub(in crate::model) fn vectors(&self) -> impl Iterator<Item = &Buffer> {
        let layers = self.layers.iter().flat_map(|layer| {
            let biases = layer.biases.iter().flat_map(|b| [&b.q, &b.k, &b.v, &b.o]);
            [&layer.input_norm, &layer.q_norm, &layer.k_norm, &layer.mlp_norm].into_iter().chain(biases)
        });
        layers.chain([&self.norm])
    }

    /// The weights that have these matrices and vectors, and no embedding table; `None` if there are too few.
    pub(in crate::model) fn of_parts(
        shape: &Shape,
        matrices: &mut impl Iterator<Item = Weight>,
        vectors: &mut impl Iterator<Item = Buffer>,
    ) -> Option<Self> {
        let mut layers = Vec::new();
        for _ in 0..shape.layers {
            let [input_norm, q_norm, k_norm, mlp_norm] = next(vectors)?;
            let biases = match shape.attention_bias {
                true => next(vectors).map(|[q, k, v, o]| Some(Biases { q, k, v, o }))?,
                false => None,
            };
            let [q, k, v, o, mlp, down] = next(matrices)?;
            let heads_in_one = false;
            layers.push(Layer { input_norm, biases, q, k, v, heads_in_one, q_norm, k_norm, o, mlp_norm, mlp, down });
        }
        let table = Table::none(shape.hidden);
        Some(Self { table, layers, norm: vectors.next()?, note: None })
    }

    /// Makes `rows` of float32 the embedding table, `[rows, H]`.
    pub(in crate::model) fn set_embedded(&mut self, rows: Vec<u8>, hidden: u32) {
        self.table = Table::of_rows(MatrixRows { values: rows, groups: Vec::new() }, hidden);
    }
}

impl Table {
    /// Without rows.
    pub(super) fn none(hidden: u32) -> Self {
        Self::of_rows(MatrixRows::default(), hidden)
    }

    fn of_rows(rows: MatrixRows, hidden: u32) -> Self {
        Self { format: MatrixFormat::F32, rows, hidden: hidden as usize }
    }
}

/// The next few; `None` if there are fewer.
fn next<T, const N: usize>(from: &mut impl Iterator<Item = T>) -> Option<[T; N]> {
    from.take(N).collect::<Vec<_>>().try_into().ok()
}
