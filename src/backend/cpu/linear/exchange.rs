//! What this thread and its helpers exchange for linear layers.

use std::ops::Range;
use std::sync::Arc;

use super::{CpuWeight, Product, put};
use crate::backend::cpu::CpuRun;
use crate::backend::cpu::buffer::{CpuBuffer, floats, floats_mut};
use crate::backend::cpu::helpers::{MOST_PRODUCTS, Message};
use crate::backend::cpu::simd::ROWS;
use crate::error::{Error, Result};

/// What a helper was asked for: products, and which outputs of each are its.
type Asked<'a> = (usize, Vec<(Product<'a>, Range<usize>)>);

impl CpuRun<'_> {
    /// See [`crate::backend::Run::matmul`], [`crate::backend::Run::matmul_add`] and [`crate::backend::Run::swiglu`]; or
    /// several such products of the same rows. Helpers are asked for all of those whose weights want the rows in one form,
    /// and are sent them once, in that form.
    pub async fn matmul(&mut self, x: &CpuBuffer, products: &[Product<'_>], rows: u32) -> Result<()> {
        let forms = products.chunk_by(|a, b| a.w.takes_as(b.w)).flat_map(|alike| alike.chunks(MOST_PRODUCTS));
        let mut asked = Vec::new();
        let own = forms.clone().filter(|_| rows > 0).try_for_each(|alike| self.ask(x, alike, rows, &mut asked));
        // Every answer is taken, whatever happens, so that the next one belongs to the next question.
        let mut answers = Vec::new();
        for (helper, parts) in asked {
            answers.push((parts, self.cpu.helpers.receive(helper).await));
        }
        own?;
        for (parts, outputs) in answers {
            let outputs = outputs?;
            let mut rest = outputs.as_slice();
            for (Product { w, y, store }, share) in parts {
                let own;
                (own, rest) = rest.split_at((rows as usize * share.len()).min(rest.len()));
                let mut y = y.words_mut();
                let y = floats_mut(&mut y)[store.first_row() * w.n..].chunks_exact_mut(w.n);
                for (y, products) in y.zip(own.chunks_exact(share.len())) {
                    put(&mut y[share.clone()], products, store);
                }
            }
        }
        Ok(())
    }

    /// Asks helpers for their share of some products of the same rows, taken in the same form, and does this thread's.
    fn ask<'b>(
        &mut self,
        x: &CpuBuffer,
        products: &[Product<'b>],
        rows: u32,
        asked: &mut Vec<Asked<'b>>,
    ) -> Result<()> {
        let Some(Product { w: first, .. }) = products.first() else { return Ok(()) };
        let words = x.words();
        let x = &floats(&words)[..rows as usize * first.layout.k];
        self.prepare(x, first)?;
        let cpu = Arc::clone(&self.cpu);
        let helpers = cpu.helpers.count();
        if helpers > 0 {
            let rounded = first.layout.format.group().is_some();
            if rounded {
                self.memory.sent.clear();
                self.memory.codes.tiles.iter().for_each(|tile| {
                    self.memory.sent.extend_from_slice(bytemuck::cast_slice(&tile.codes));
                    self.memory.sent.extend_from_slice(bytemuck::cast_slice(&tile.scales));
                });
            }
            let x = if rounded { &self.memory.sent } else { bytemuck::cast_slice(x) };
            for helper in 0..helpers {
                let share = |product: &Product<'b>| {
                    product
                        .w
                        .shares
                        .get(helper)
                        .filter(|share| !share.is_empty())
                        .map(|share| (*product, share.clone()))
                };
                let parts: Vec<_> = products.iter().filter_map(share).collect();
                if !parts.is_empty() {
                    let ids = parts.iter().map(|(product, _)| product.w.id).collect();
                    cpu.helpers.send(helper, &Message::Products { ids, rows, x });
                    asked.push((helper, parts));
                }
            }
        }
        products.iter().try_for_each(|Product { w, y, store }| {
            self.own_products(w, &mut floats_mut(&mut y.words_mut())[store.first_row() * w.n..], rows, *store)
        })
    }

    /// The same with rows as [`Message::Products`] has them.
    pub(in crate::backend::cpu) fn take(&mut self, x: &[u8], w: &CpuWeight, rows: u32) -> Result<()> {
        let (layout, rows) = (&w.layout, rows as usize);
        let wrong = || Error::Gpu { message: format!("{rows} rows of {} have {} bytes", layout.k, x.len()) };
        if layout.format.group().is_none() {
            if x.len() != rows * layout.k * 4 {
                return Err(wrong());
            }
            return match bytemuck::try_cast_slice(x) {
                Ok(x) => self.prepare(x, w),
                Err(_) => self.prepare(&bytemuck::pod_collect_to_vec::<u8, f32>(x), w),
            };
        }
        let (codes, blocks) = (layout.blocks.len() * layout.block / layout.side(), layout.blocks.len());
        let [of_codes, of_blocks] = [codes * size_of::<[i32; ROWS]>(), blocks * size_of::<[[f32; ROWS]; 2]>()];
        let tiles = &mut self.memory.codes.tiles;
        tiles.resize_with(rows.div_ceil(ROWS), Default::default);
        if x.len() != tiles.len() * (of_codes + of_blocks) {
            return Err(wrong());
        }
        for (tile, x) in tiles.iter_mut().zip(x.chunks_exact((of_codes + of_blocks).max(1))) {
            let (own_codes, own_scales) = x.split_at(of_codes);
            tile.codes.resize(codes, [0; ROWS]);
            bytemuck::cast_slice_mut(&mut tile.codes).copy_from_slice(own_codes);
            tile.scales.resize(blocks, [[0.0; ROWS]; 2]);
            bytemuck::cast_slice_mut(&mut tile.scales).copy_from_slice(own_scales);
        }
        Ok(())
    }
}
