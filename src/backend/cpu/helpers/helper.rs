//! The other side: a helper keeps its share of each weight, and computes when it is told to.

use std::collections::HashMap;
use std::sync::Arc;

use super::message::Message;
use crate::backend::Precision;
use crate::backend::cpu::buffer::floats_mut;
use crate::backend::cpu::{Cpu, CpuBuffer, CpuRun, CpuWeight, MatmulStore, RunMemory};
use crate::backend::ops::{Heads, Tile};
use crate::error::{Error, Result};

/// A thread with memory of its own.
pub struct Helper {
    cpu: Arc<Cpu>,
    weights: HashMap<u32, CpuWeight>,
    /// Kept from one message to the next.
    memory: RunMemory,
    /// The outputs, as many as ever were.
    y: CpuBuffer,
    /// What went wrong since the last answer.
    fault: Option<Error>,
}

/// What becomes of a message that was obeyed.
enum Done {
    /// It wants no answer.
    Quietly,
    /// So many of the outputs are the answer.
    Outputs(usize),
}

impl Helper {
    /// A helper without weights.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new() -> Result<Self> {
        let cpu = Cpu::new(Some(1)).shared();
        let y = CpuBuffer::zeros("outputs", 0)?;
        Ok(Self { cpu, weights: HashMap::new(), memory: RunMemory::default(), y, fault: None })
    }

    /// Does what a message says. If it wants an answer, `answer` is called once: with the bytes of float32 outputs, or with
    /// why there are none.
    pub fn receive(&mut self, message: &[u8], answer: impl FnOnce(Result<&[u8], &str>)) {
        match (self.obey(message), self.fault.take()) {
            (Ok(Done::Quietly), fault) => self.fault = fault,
            (Ok(Done::Outputs(_)), Some(error)) => answer(Err(&error.to_string())),
            (Ok(Done::Outputs(count)), None) => answer(Ok(&bytemuck::cast_slice(&self.y.words())[..count * 4])),
            (Err(error), fault) => {
                let error = fault.unwrap_or(error);
                // What wants no answer fails the next thing that does.
                match Message::decode(message) {
                    Ok(message) if message.asks() => answer(Err(&error.to_string())),
                    Ok(_) | Err(_) => self.fault = Some(error),
                }
            }
        }
    }

    fn obey(&mut self, message: &[u8]) -> Result<Done> {
        match Message::decode(message)? {
            Message::Weight { id, shape, format, precision } => {
                if precision == Precision::Fast && self.cpu.int8(format, precision).is_none() {
                    let message = "a helper has no kernels of 8-bit activations, which others have".into();
                    return Err(Error::Gpu { message });
                }
                self.weights.insert(id, CpuWeight::zeros(&self.cpu, "a helper's share", shape, format, precision)?);
            }
            Message::Rows { id, matrix, row, values } => weight(&self.weights, id)?.write(matrix as usize, row, values),
            Message::Groups { id, matrix, row, groups } => {
                let groups = &bytemuck::pod_collect_to_vec::<u8, [f32; 2]>(groups);
                weight(&self.weights, id)?.write_groups(matrix as usize, row, groups);
            }
            Message::Free { id } => drop(self.weights.remove(&id)),
            Message::Products { ids, rows, x } => {
                let weights = ids.iter().map(|&id| weight(&self.weights, id)).collect::<Result<Vec<_>>>()?;
                let Some(&first) = weights.first() else { return Ok(Done::Outputs(0)) };
                let outputs = weights.iter().map(|weight| rows as usize * weight.shape()[1]).sum();
                grow(&mut self.y, outputs)?;
                run(&self.cpu, &mut self.memory, |run| {
                    run.take(x, first, rows)?;
                    let (mut y, mut at) = (self.y.words_mut(), 0);
                    for weight in weights {
                        let [pair, n, _] = weight.shape();
                        let store = if pair == 2 { MatmulStore::Swiglu } else { MatmulStore::At(0) };
                        run.own_products(weight, &mut floats_mut(&mut y)[at..], rows, store)?;
                        at += rows as usize * n;
                    }
                    Ok(())
                })?;
                return Ok(Done::Outputs(outputs));
            }
            Message::Attention { tiles, rows, keys, heads, data } => {
                let Heads { query, key, dim, .. } = heads;
                let floats = |a: u32, b: u32| a as usize * b as usize * dim as usize * 4;
                let sizes =
                    [tiles as usize * size_of::<Tile>(), floats(rows, query), floats(keys, key), floats(keys, key)];
                if data.len() != sizes.iter().sum::<usize>() {
                    return Err(Error::Gpu { message: format!("attention over {} bytes", data.len()) });
                }
                let (tiles, data) = data.split_at(sizes[0]);
                let (q, data) = data.split_at(sizes[1]);
                let (k, v) = data.split_at(sizes[2]);
                grow(&mut self.y, sizes[1] / 4)?;
                let buffers = [&filled(q)?, &filled(k)?, &filled(v)?, &self.y];
                let tiles: Vec<Tile> = bytemuck::pod_collect_to_vec(tiles);
                let all = 0..key as usize;
                run(&self.cpu, &mut self.memory, |run| run.own_attention(&tiles, buffers, heads, all))?;
                return Ok(Done::Outputs(sizes[1] / 4));
            }
            Message::Sync => return Ok(Done::Outputs(0)),
        }
        Ok(Done::Quietly)
    }
}

/// An operation with memory that is kept.
fn run(cpu: &Arc<Cpu>, memory: &mut RunMemory, work: impl FnOnce(&mut CpuRun<'_>) -> Result<()>) -> Result<()> {
    let mut run = CpuRun { memory: std::mem::take(memory), ..CpuRun::new(cpu, &()) };
    let done = work(&mut run);
    *memory = run.memory;
    done
}

fn weight(weights: &HashMap<u32, CpuWeight>, id: u32) -> Result<&CpuWeight> {
    weights.get(&id).ok_or_else(|| Error::Gpu { message: format!("a helper has no weight {id}") })
}

fn filled(bytes: &[u8]) -> Result<CpuBuffer> {
    let buffer = CpuBuffer::zeros("a helper's input", bytes.len() as u64)?;
    buffer.write(0, bytes);
    Ok(buffer)
}

/// Makes room for so many outputs.
fn grow(y: &mut CpuBuffer, floats: usize) -> Result<()> {
    if y.size() < floats as u64 * 4 {
        *y = CpuBuffer::zeros("outputs", floats as u64 * 4)?;
    }
    Ok(())
}
