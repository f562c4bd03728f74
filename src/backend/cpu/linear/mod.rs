//! Linear layers: `matmul` and `swiglu`.
//!
//! Weights that are codes meet activations rounded to 16 bits (or 8, if [`Precision::Fast`] is asked for), with a scale for
//! each token and block of inputs, in exact sums of integers (see docs/cpu.md); plain weights meet them in f32.

mod exchange;
mod input;
mod panels;

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use super::buffer::{CpuBuffer, resize};
use super::helpers::{Message, shares};
use super::simd::{BytePanel, CodePanel, LEVELS, ROWS};
use super::{Cpu, CpuRun};
use crate::backend::Precision;
use crate::error::{Error, Result};
use crate::numbers::{Float, MatrixFormat};
use input::{Input, pack, round};
use panels::{Layout, room};

/// One weight matrix `[N, K]` or two alike, in panels. Helpers have some of its outputs.
pub struct CpuWeight {
    cpu: Arc<Cpu>,
    matrices: usize,
    n: usize,
    /// Of the outputs that are here, the first.
    layout: Layout,
    panels: RwLock<Panels>,
    /// Its number with the helpers, and the outputs that each has.
    id: u32,
    shares: Vec<Range<usize>>,
}

struct Panels {
    /// `[matrices, panels]` of [`Layout::words`].
    values: Vec<u32>,
    /// `[matrices, panels]` of [`Layout::group_floats`].
    groups: Vec<f32>,
}

/// What becomes of the products of a token with the rows of a weight.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum MatmulStore {
    /// Stored from this row of `y` on.
    At(u32),
    /// Added to `y`.
    Add,
    /// Of a pair: `silu(first) * second`.
    Swiglu,
}

impl MatmulStore {
    /// The row of `y` that the first row of products goes to.
    fn first_row(self) -> usize {
        match self {
            Self::At(row) => row as usize,
            Self::Add | Self::Swiglu => 0,
        }
    }
}

/// The products of some rows with a weight, and where they go.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    /// The weight.
    pub w: &'a CpuWeight,
    /// Where they go,
    pub y: &'a CpuBuffer,
    /// and how.
    pub store: MatmulStore,
}

/// Memory of a thread that multiplies.
#[derive(Default)]
struct Scratch {
    codes: Vec<i16>,
    floats: Vec<f32>,
    second: Vec<f32>,
}

impl CpuWeight {
    /// See [`crate::backend::Backend::weight`].
    pub(in crate::backend) fn zeros(
        cpu: &Arc<Cpu>,
        label: &str,
        [matrices, n, k]: [u32; 3],
        format: MatrixFormat,
        precision: Precision,
    ) -> Result<Self> {
        let whole = format.group() != Some(0) && k.is_multiple_of(32 / format.bits());
        if !whole {
            let what = format!("{label} with K = {k} as {}", format.name());
            return Err(Error::unsupported(what, "rows are whole words, in groups of one or more"));
        }
        let (id, width, int8) = (cpu.helpers.weight(), cpu.simd.width(), cpu.int8(format, precision));
        // What is computed here, helpers compute in the same way or not at all.
        let precision = if int8.is_some() { Precision::Fast } else { Precision::Exact };
        let mut shares = shares(n as usize, width, cpu.helpers.count() + 1);
        let own = shares.remove(0).end;
        for (helper, share) in shares.iter().enumerate().filter(|(_, share)| !share.is_empty()) {
            let shape = [matrices, share.len() as u32, k];
            cpu.helpers.send(helper, &Message::Weight { id, shape, format, precision });
        }
        let layout = Layout::new(width, [own, k as usize], format, int8);
        let panels = u64::from(matrices) * layout.panels() as u64;
        let values = room(label, panels * layout.words() as u64)?;
        let groups = room(label, panels * layout.group_floats() as u64)?;
        let panels = RwLock::new(Panels { values, groups });
        let (matrices, n) = (matrices as usize, n as usize);
        Ok(Self { cpu: Arc::clone(cpu), matrices, n, layout, panels, id, shares })
    }

    /// Matrices, N and K.
    pub(super) fn shape(&self) -> [usize; 3] {
        [self.matrices, self.n, self.layout.k]
    }

    /// Calls `send` with each helper that has some of the outputs `rows`, the first of them there, and where among `rows`
    /// they are.
    fn share_out(&self, rows: Range<usize>, send: impl Fn(usize, u32, Range<usize>)) {
        for (helper, share) in self.shares.iter().enumerate() {
            let (from, to) = (rows.start.max(share.start), rows.end.min(share.end));
            if from < to {
                send(helper, (from - share.start) as u32, from - rows.start..to - rows.start);
            }
        }
    }

    /// Whether it takes rows in the same form as another.
    fn takes_as(&self, other: &Self) -> bool {
        self.layout.k == other.layout.k && self.format() == other.format() && self.layout.int8 == other.layout.int8
    }

    /// How the weights are held.
    pub fn format(&self) -> MatrixFormat {
        self.layout.format
    }

    /// How exactly it takes activations, which decides how its codes lie.
    pub fn precision(&self) -> Precision {
        if self.layout.int8.is_some() { Precision::Fast } else { Precision::Exact }
    }

    /// Bytes it takes, without what pads panels.
    pub fn bytes(&self) -> u64 {
        (self.matrices * self.n) as u64 * self.format().row_bytes(self.layout.k as u64)
    }

    /// See [`crate::backend::Weight::write`].
    pub fn write(&self, matrix: usize, row: u32, values: &[u8]) {
        let (layout, row) = (&self.layout, row as usize);
        let bytes = (self.format().value_bytes(layout.k as u64) as usize).max(1);
        let rows = row..row + values.len() / bytes;
        self.share_out(rows.clone(), |helper, row, part| {
            let (values, matrix) = (&values[part.start * bytes..part.end * bytes], matrix as u32);
            self.cpu.helpers.send(helper, &Message::Rows { id: self.id, matrix, row, values });
        });
        let count = rows.len().min(layout.n.saturating_sub(row));
        if count == 0 {
            return;
        }
        let mut held = self.panels.write().unwrap_or_else(PoisonError::into_inner);
        let first = row / layout.width;
        let panels = &mut held.values[(matrix * layout.panels() + first) * layout.words()..];
        let end = (row + count).div_ceil(layout.width) - first;
        self.cpu.threads.each(
            &mut panels[..end * layout.words()],
            layout.words(),
            || (),
            |(), i, panel| {
                let (start, end) = ((first + i) * layout.width, (first + i + 1) * layout.width);
                let (from, to) = (start.max(row), end.min(row + count));
                layout.write(panel, from - start, &values[(from - row) * bytes..(to - row) * bytes]);
            },
        );
    }

    /// See [`crate::backend::Weight::write_groups`].
    pub fn write_groups(&self, matrix: usize, row: u32, groups: &[[f32; 2]]) {
        let layout = &self.layout;
        let width = (layout.format.row_groups(layout.k as u64) as usize).max(1);
        self.share_out(row as usize..row as usize + groups.len() / width, |helper, row, part| {
            let groups = bytemuck::cast_slice(&groups[part.start * width..part.end * width]);
            self.cpu.helpers.send(helper, &Message::Groups { id: self.id, matrix: matrix as u32, row, groups });
        });
        let mut held = self.panels.write().unwrap_or_else(PoisonError::into_inner);
        for (row, groups) in (row as usize..layout.n).zip(groups.chunks_exact(width)) {
            let panel = matrix * layout.panels() + row / layout.width;
            let floats = &mut held.groups[panel * layout.group_floats()..][..layout.group_floats()];
            layout.write_groups(floats, row % layout.width, groups);
        }
    }

    /// See [`crate::backend::Weight::with_held`].
    pub fn with_held<T>(&self, take: impl FnOnce([usize; 3], &[u8], &[u8]) -> T) -> T {
        let held = self.panels.read().unwrap_or_else(PoisonError::into_inner);
        take(self.shape(), bytemuck::cast_slice(&held.values), bytemuck::cast_slice(&held.groups))
    }

    /// See [`crate::backend::Weight::hold`].
    pub fn hold(&self, values: &[u8], groups: &[u8]) -> Result<()> {
        let mut held = self.panels.write().unwrap_or_else(PoisonError::into_inner);
        let Panels { values: own, groups: own_groups } = &mut *held;
        let (own, own_groups): (&mut [u8], &mut [u8]) =
            (bytemuck::cast_slice_mut(own), bytemuck::cast_slice_mut(own_groups));
        if [own.len(), own_groups.len()] != [values.len(), groups.len()] {
            let message = format!("a weight of {} bytes was given {}", own.len(), values.len());
            return Err(Error::Gpu { message });
        }
        own.copy_from_slice(values);
        own_groups.copy_from_slice(groups);
        Ok(())
    }

    /// The products of all rows with a panel.
    fn products(&self, panels: &Panels, panel: usize, input: &Input<'_>, scratch: &mut Scratch, out: &mut [f32]) {
        let layout = &self.layout;
        let values = &panels.values[panel * layout.words()..][..layout.words()];
        let simd = self.cpu.simd;
        let groups = &panels.groups[panel * layout.group_floats()..][..layout.group_floats()];
        let four_bits = matches!(layout.format, MatrixFormat::Q4 { .. });
        match (input, layout.int8) {
            (Input::Codes(x), Some(int8)) => {
                let values = &bytemuck::cast_slice(values)[..layout.codes() / if four_bits { 2 } else { 1 }];
                int8.products(&BytePanel { values, four_bits, groups }, x, out);
            }
            (Input::Codes(x), None) => {
                let codes = layout.codes();
                let panel = CodePanel { values: bytemuck::cast_slice(values), four_bits, codes, groups };
                // Codes of four bits come by the 32.
                scratch.codes.resize(codes.next_multiple_of(32), 0);
                simd.products_of_codes(&panel, x, &mut scratch.codes, out);
            }
            (Input::Floats(x), _) => match layout.format.float() {
                Some(float @ (Float::F16 | Float::Bf16)) => {
                    scratch.floats.clear();
                    float.widen(bytemuck::cast_slice(values), &mut scratch.floats);
                    simd.products_of_floats(&scratch.floats, x, out);
                }
                Some(Float::F32) | None => simd.products_of_floats(bytemuck::cast_slice(values), x, out),
            },
        }
    }
}

impl Cpu {
    /// See [`crate::backend::Backend::rounded_blocks`].
    pub(in crate::backend) fn rounded_blocks(
        &self,
        format: MatrixFormat,
        precision: Precision,
        k: u32,
    ) -> Option<(Vec<Range<usize>>, f32)> {
        format.group()?;
        let blocks = panels::blocks(k as usize, format);
        let levels = if self.int8(format, precision).is_some() { LEVELS } else { 32767.0 };
        Some((blocks.iter().map(|block| block.start..block.start + block.count).collect(), levels))
    }
}

impl CpuRun<'_> {
    /// Takes rows `x` `[rows, K]` in the form that a weight wants them in, for [`CpuRun::own_products`].
    fn prepare(&mut self, x: &[f32], w: &CpuWeight) -> Result<()> {
        match (w.layout.k, w.layout.format.group()) {
            (0, _) => Ok(()),
            (_, Some(_)) => {
                round(&mut self.memory.codes, self.cpu.simd, &self.cpu.threads, x, &w.layout);
                Ok(())
            }
            (k, None) => pack(&mut self.memory.tiles, &self.cpu.threads, x, k),
        }
    }

    /// The products of the rows that [`CpuRun::prepare`] or [`CpuRun::take`] took with the outputs that are here. `y` is
    /// `[rows, N]`.
    pub(super) fn own_products(&mut self, w: &CpuWeight, y: &mut [f32], rows: u32, store: MatmulStore) -> Result<()> {
        let matrices = if store == MatmulStore::Swiglu { 2 } else { 1 };
        if w.matrices != matrices {
            let message = format!("{matrices} matrices are read, the weight has {}", w.matrices);
            return Err(Error::Gpu { message });
        }
        let (layout, cpu) = (&w.layout, &self.cpu);
        let (rows, width) = (rows as usize, layout.width);
        if rows == 0 || layout.k == 0 || layout.n == 0 {
            return Ok(());
        }
        let rounded = layout.format.group().is_some();
        let input = if rounded {
            Input::Codes(&self.memory.codes)
        } else {
            Input::Floats(&self.memory.tiles[..rows.div_ceil(ROWS) * layout.k])
        };
        let panels = w.panels.read().unwrap_or_else(PoisonError::into_inner);
        let size = rows.next_multiple_of(ROWS) * width;
        resize(&mut self.memory.products, layout.panels() * size)?;
        cpu.threads.each(&mut self.memory.products, size, Scratch::default, |scratch, panel, out| {
            w.products(&panels, panel, &input, scratch, out);
            if store == MatmulStore::Swiglu {
                let mut second = std::mem::take(&mut scratch.second);
                second.resize(size, 0.0);
                w.products(&panels, layout.panels() + panel, &input, scratch, &mut second);
                cpu.simd.silu_times(out, &second);
                scratch.second = second;
            }
        });
        let products = &self.memory.products;
        cpu.threads.each(
            &mut y[..rows * w.n],
            w.n * ROWS,
            || (),
            |(), tile, y| {
                for (row, y) in (tile * ROWS..).zip(y.chunks_exact_mut(w.n)) {
                    let products = products[row * width..].chunks(size);
                    for (y, products) in y[..layout.n].chunks_mut(width).zip(products) {
                        put(y, &products[..y.len()], store);
                    }
                }
            },
        );
        Ok(())
    }
}

/// Stores or adds products.
fn put(y: &mut [f32], products: &[f32], store: MatmulStore) {
    match store {
        MatmulStore::Add => y.iter_mut().zip(products).for_each(|(y, v)| *y += v),
        MatmulStore::At(_) | MatmulStore::Swiglu => y.copy_from_slice(products),
    }
}

impl Drop for CpuWeight {
    fn drop(&mut self) {
        for helper in (0..self.shares.len()).filter(|&helper| !self.shares[helper].is_empty()) {
            self.cpu.helpers.send(helper, &Message::Free { id: self.id });
        }
    }
}
