//! Queries, keys and values in one, with the norms before and after and the rotation.

use super::linear::{Rows, fill, same_bits};
use super::{Probe, floats, values};
use crate::backend::ops::{HeadProducts, Operation};
use crate::backend::{Backend, Buffer, Kernels, Weight};
use crate::error::{Error, Result};
use crate::numbers::{MatrixFormat, Rope, RopeScaling};
use crate::reference;

const DIM: u32 = HeadProducts::DIM;
/// Rows of the table of rotations.
const TABLE: usize = 600;
/// Keys and values begin here in their buffers.
const FIRST: u32 = 3;

/// What `heads` reads and writes, filled at random.
struct Layer {
    weights: [Weight; 3],
    /// The numbers in them, one matrix below the other.
    held: Vec<f32>,
    /// Rows, and what is multiplied of them.
    rows: Rows,
    /// Of queries and of keys.
    norms: [Vec<f32>; 2],
    norm_buffers: [Buffer; 3],
    table: Vec<f32>,
    positions: Vec<u32>,
    places: [Buffer; 2],
    heads: [u32; 2],
}

impl Layer {
    fn new(probe: &Probe<'_>, format: MatrixFormat, [rows, k]: [u32; 2], [query, key]: [u32; 2]) -> Result<Self> {
        let ns = [query, key, key].map(|heads| heads * DIM);
        let weights = probe.backend.head_weights(probe.kernels, "probe", (ns, k), format)?;
        let none = || Error::Gpu { message: format!("these kernels do not make heads of {}", format.name()) };
        let weights = weights.ok_or_else(none)?;
        let halves = probe.backend.takes_halves(probe.kernels, Operation::Heads(format));
        let held =
            weights.iter().zip(&ns).zip(30..).flat_map(|((w, &n), seed)| fill(w, 0, [n, k], seed, halves)).collect();
        let x = probe.rows(Operation::Heads(format), [rows, k], 43, 1.0, true);
        let norms = [41, 42].map(|seed| values(seed, DIM as usize));
        let norm_buffers = probe.backend.buffers("probe", [k, DIM, DIM].map(|count| u64::from(count) * 4))?;
        let each = std::iter::once(&x.norm).chain(&norms).zip(&norm_buffers);
        each.for_each(|(norm, buffer)| buffer.write(0, norm));
        let table = Rope { theta: 1e6, scaling: RopeScaling::None }.table(TABLE, DIM as usize);
        let positions: Vec<u32> = (0..rows + FIRST).map(|i| i * 7919 % TABLE as u32).collect();
        let bytes = [size_of_val(&table[..]) as u64, size_of_val(&positions[..]) as u64];
        let places = probe.backend.buffers("probe", bytes)?;
        places[0].write(0, &table);
        places[1].write(0, &positions);
        Ok(Self { weights, held, rows: x, norms, norm_buffers, table, positions, places, heads: [query, key] })
    }

    /// `q`, and `k` and `v` from their first row on, of the first `rows` rows of `x`, in dispatches of these heads.
    async fn run(&self, probe: &Probe<'_>, x: &Buffer, rows: u32, cuts: &[u32]) -> Result<[Vec<f32>; 3]> {
        let [query, key] = self.heads;
        let outputs = [
            probe.room(rows * query * DIM)?,
            probe.room((rows + FIRST) * key * DIM)?,
            probe.room((rows + FIRST) * key * DIM)?,
        ];
        let mut run = probe.backend.run(probe.kernels, &())?;
        for cut in cuts.windows(2) {
            let products = HeadProducts { rows, first_row: FIRST, query, key, heads: cut[0]..cut[1], eps: 1e-6 };
            let (norms, places) = (self.norm_buffers.each_ref(), self.places.each_ref());
            run.heads(x, self.weights.each_ref(), norms, places, outputs.each_ref(), products)?;
        }
        run.finish().await?;
        let before = FIRST * key * DIM;
        let [q, k, v] = &outputs;
        let mut read = [Vec::new(), Vec::new(), Vec::new()];
        read[0] = floats(q, rows * query * DIM).await?;
        for (into, buffer) in read[1..].iter_mut().zip([k, v]) {
            *into = floats(buffer, before + rows * key * DIM).await?.split_off(before as usize);
        }
        Ok(read)
    }
}

/// Heads of `rows` tokens of K numbers, all of them at once, and, to other buffers, queries and the others one after the other.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn heads(probe: &Probe<'_>, format: MatrixFormat, [rows, k]: [u32; 2], [query, key]: [u32; 2]) -> Result<()> {
    let layer = Layer::new(probe, format, [rows, k], [query, key])?;
    let x_buffer = probe.buffer(&layer.rows.x)?;
    let all = query + 2 * key;
    let made = layer.run(probe, &x_buffer, rows, &[0, all]).await?;

    let [queries, keys] = &layer.norms;
    let products = reference::matmul(&layer.rows.met, &layer.held, k as usize);
    let columns = |first: u32, count: u32| -> Vec<f32> {
        let of = |row: &[f32]| row[(first * DIM) as usize..][..(count * DIM) as usize].to_vec();
        products.chunks_exact((all * DIM) as usize).flat_map(of).collect()
    };
    let places = &layer.positions[FIRST as usize..];
    let turned = |x: &[f32], w: &[f32]| reference::head_norm_rope(x, w, &layer.table, places, 1e-6);
    let expected = [turned(&columns(0, query), queries), turned(&columns(query, key), keys), columns(query + key, key)];
    for (name, (made, expected)) in ["queries", "keys", "values"].into_iter().zip(made.iter().zip(&expected)) {
        probe.compare(&format!("heads {}, {name}", format.name()), made, expected)?;
    }

    let apart = layer.run(probe, &x_buffer, rows, &[0, query, all]).await?;
    for (whole, part) in made.into_iter().zip(apart) {
        same_bits("heads in two dispatches", rows, part, &mut { whole })?;
    }
    Ok(())
}

/// Whether the heads of a token have the same bits whatever other rows there are, as `rows_alike` asks of other products.
///
/// # Errors
/// [`Error::WrongKernel`], or a fault of the device.
pub async fn heads_alike(probe: &Probe<'_>, format: MatrixFormat) -> Result<()> {
    const ROWS: [u32; 3] = [3, 40, 1025];
    const K: u32 = 1096;
    let layer = Layer::new(probe, format, [ROWS[2], K], [2, 1])?;
    let x = probe.buffer(&layer.rows.x)?;
    let mut longest = [Vec::new(), Vec::new(), Vec::new()];
    for rows in ROWS.into_iter().rev() {
        let made = layer.run(probe, &x, rows, &[0, 4]).await?;
        for (made, longest) in made.into_iter().zip(&mut longest) {
            same_bits(&format!("heads {}", format.name()), rows, made, longest)?;
        }
    }
    Ok(())
}

/// Heads of ordinary size, to be timed.
///
/// # Errors
/// A fault of the device.
pub(super) async fn exercise(backend: &Backend, kernels: &Kernels, format: MatrixFormat) -> Result<()> {
    const SHAPE: [u32; 2] = [512, 1024];
    let probe = Probe { backend, kernels, tolerance: 0.0 };
    let [rows, k] = SHAPE;
    let layer = Layer::new(&probe, format, SHAPE, [4, 2])?;
    let x = probe.room(rows * k)?;
    layer.run(&probe, &x, rows, &[0, 8]).await.map(drop)
}
