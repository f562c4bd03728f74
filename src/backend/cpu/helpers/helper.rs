//! The other side: a helper keeps its share of each weight, and computes when it is told to.

use std::collections::HashMap;
use std::sync::Arc;

use super::message::Message;
use crate::backend::cpu::{Cpu, CpuBuffer, CpuRun, CpuWeight, MatmulStore};
use crate::backend::ops::{Heads, Tile};
use crate::error::{Error, Result};

/// A thread with memory of its own.
pub struct Helper {
    cpu: Arc<Cpu>,
    weights: HashMap<u32, CpuWeight>,
    /// What went wrong since the last answer.
    fault: Option<Error>,
}

impl Default for Helper {
    fn default() -> Self {
        Self { cpu: Cpu::new(Some(1)).shared(), weights: HashMap::new(), fault: None }
    }
}

impl Helper {
    /// Does what a message says. If it wants an answer, that is a zero and the result, or a one and why there is none.
    pub fn receive(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        match self.obey(message) {
            Ok(None) => None,
            Ok(Some(answer)) => Some(match self.fault.take() {
                None => answer,
                Some(error) => refusal(&error),
            }),
            Err(error) => {
                // What wants no answer fails the next thing that does.
                let wants = matches!(Message::decode(message), Ok(Message::Product { .. } | Message::Attention { .. }));
                if wants {
                    return Some(refusal(&self.fault.take().unwrap_or(error)));
                }
                self.fault.get_or_insert(error);
                None
            }
        }
    }

    fn obey(&mut self, message: &[u8]) -> Result<Option<Vec<u8>>> {
        match Message::decode(message)? {
            Message::Weight { id, shape, format } => {
                self.weights.insert(id, CpuWeight::zeros(&self.cpu, "a helper's share", shape, format)?);
            }
            Message::Rows { id, matrix, row, values } => self.weight(id)?.write(matrix as usize, row, values),
            Message::Groups { id, matrix, row, groups } => {
                self.weight(id)?.write_groups(matrix as usize, row, &bytemuck::pod_collect_to_vec(groups));
            }
            Message::Free { id } => drop(self.weights.remove(&id)),
            Message::Product { id, rows, x } => {
                let weight = self.weight(id)?;
                let [pair, n, k] = weight.shape();
                if x.len() as u64 != u64::from(rows) * k as u64 * 4 {
                    return Err(Error::Gpu { message: format!("{rows} rows of {k} have {} bytes", x.len()) });
                }
                let store = if pair == 2 { MatmulStore::Swiglu } else { MatmulStore::At(0) };
                let (input, y) = (filled(x)?, CpuBuffer::zeros("products", u64::from(rows) * n as u64 * 4)?);
                CpuRun::new(&self.cpu, &()).own_products(&input, weight, &y, rows, store)?;
                return Ok(Some(answer(&y, rows as usize * n)));
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
                let y = CpuBuffer::zeros("attention", sizes[1] as u64)?;
                let buffers = [&filled(q)?, &filled(k)?, &filled(v)?, &y];
                let tiles: Vec<Tile> = bytemuck::pod_collect_to_vec(tiles);
                CpuRun::new(&self.cpu, &()).own_attention(&tiles, buffers, heads, 0..key as usize)?;
                return Ok(Some(answer(&y, sizes[1] / 4)));
            }
            Message::Sync => return Ok(Some(vec![0; 4])),
        }
        Ok(None)
    }

    fn weight(&self, id: u32) -> Result<&CpuWeight> {
        self.weights.get(&id).ok_or_else(|| Error::Gpu { message: format!("a helper has no weight {id}") })
    }
}

fn filled(bytes: &[u8]) -> Result<CpuBuffer> {
    let buffer = CpuBuffer::zeros("a helper's input", bytes.len() as u64)?;
    buffer.write(0, bytes);
    Ok(buffer)
}

fn answer(y: &CpuBuffer, floats: usize) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend_from_slice(&bytemuck::cast_slice(&y.words())[..floats * 4]);
    bytes
}

fn refusal(error: &Error) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0, 0];
    bytes.extend_from_slice(error.to_string().as_bytes());
    bytes
}
