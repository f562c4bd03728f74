//! What this thread and its helpers exchange for linear layers.

use std::ops::Range;

use super::{CpuWeight, Product, put};
use crate::backend::cpu::CpuRun;
use crate::backend::cpu::buffer::{CpuBuffer, floats, floats_mut};
use crate::backend::cpu::helpers::{MOST_PRODUCTS, Message};
use crate::error::{Error, Result};

/// What a helper was asked for: products, and which outputs of each are its.
type Asked<'a> = (usize, Vec<(Product<'a>, Range<usize>)>);

impl CpuRun<'_> {
    /// See [`crate::backend::Run::matmul`], [`crate::backend::Run::matmul_add`] and [`crate::backend::Run::swiglu`]; or
    /// several such products of the same rows. Helpers are sent the rows once for all of those whose weights want them in one
    /// form.
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
        for helper in 0..self.cpu.helpers.count() {
            let share = |product: &Product<'b>| {
                let share = product.w.shares.get(helper).filter(|share| !share.is_empty());
                share.map(|share| (*product, share.clone()))
            };
            let parts: Vec<_> = products.iter().filter_map(share).collect();
            if !parts.is_empty() {
                let ids = parts.iter().map(|(product, _)| product.w.id).collect();
                self.cpu.helpers.send(helper, &Message::Products { ids, rows, x: bytemuck::cast_slice(x) });
                asked.push((helper, parts));
            }
        }
        self.prepare(x, first)?;
        products.iter().try_for_each(|Product { w, y, store }| {
            self.own_products(w, &mut floats_mut(&mut y.words_mut())[store.first_row() * w.n..], rows, *store)
        })
    }

    /// The same as [`CpuRun::prepare`] with rows as [`Message::Products`] has them.
    pub(in crate::backend::cpu) fn take(&mut self, x: &[u8], w: &CpuWeight, rows: u32) -> Result<()> {
        if x.len() != rows as usize * w.layout.k * 4 {
            return Err(Error::Gpu { message: format!("{rows} rows of {} have {} bytes", w.layout.k, x.len()) });
        }
        match bytemuck::try_cast_slice(x) {
            Ok(x) => self.prepare(x, w),
            Err(_) => self.prepare(&bytemuck::pod_collect_to_vec::<u8, f32>(x), w),
        }
    }
}
