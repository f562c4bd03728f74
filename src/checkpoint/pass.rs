//! One pass over the weight files of a checkpoint: bytes in, rows of matrices out, in the form they are to be held in.
//!
//! A matrix stored as one tensor is passed on in blocks as its bytes arrive. Of one stored as several (codes, scales,
//! zero points) the codes are, if they need no change; the rest is held until it is all there, and so are codes in
//! another order or of another width: writers that sort tensors by their type put all codes of a model before all
//! scales. [`WeightPass::max_held`] says from the headers alone how much that would be, so that a caller who
//! can read anywhere in the file may ask for it matrix by matrix instead.

use std::collections::{BTreeMap, BTreeSet};

use super::{Header, Loss, MatrixRows, Recode, StoredMatrix, Tensor};
use crate::collect::inserted;
use crate::error::{Error, Result};
use crate::hub::{ByteStream, Cursor};
use crate::numbers::{Float, MatrixFormat};

/// Bytes of a matrix read, recast and handed on at a time.
pub(super) const STEP: u64 = 4 << 20;

/// Where the weights of a pass go.
#[expect(async_fn_in_trait, reason = "used generically inside this crate; browser futures are not Send")]
pub trait WeightSink {
    /// A tensor that is no matrix, whole. `name` has no `model.` prefix, here and below.
    async fn plain(&mut self, name: &str, tensor: &Tensor, bytes: &[u8]) -> Result<()>;

    /// Rows `first..` of the matrix `name`, in order from its row 0. Values may come without their groups, and groups,
    /// in order as well, without their values.
    async fn rows(&mut self, name: &str, first: u64, rows: &MatrixRows) -> Result<()>;

    /// The matrix `name` is complete, in `form`; `loss` is what that form lost.
    async fn complete(&mut self, name: &str, form: MatrixFormat, loss: Loss) -> Result<()>;

    /// Called now and then with the bytes of the file that were read. An error, such as [`Error::Aborted`], ends the
    /// pass.
    fn at(&mut self, position: u64) -> Result<()>;
}

/// A matrix that is wanted, and the form it is to have.
pub struct WantedMatrix {
    /// Its name without the `model.` prefix and `.weight`, such as `layers.0.mlp.up_proj`.
    pub name: String,
    /// How it is stored.
    pub matrix: StoredMatrix,
    /// How it is to be handed on.
    pub to: MatrixFormat,
}

/// What is wanted of a checkpoint, and what of it was read but is not yet complete.
pub struct WeightPass {
    wanted: Vec<WantedMatrix>,
    /// The matrix each tensor belongs to.
    owner: BTreeMap<String, usize>,
    plain: BTreeSet<String>,
    held: BTreeMap<String, Vec<u8>>,
    seen: BTreeSet<String>,
}

/// A tensor's name without the prefix that some writers put before all of them.
pub fn plain_name(name: &str) -> &str {
    name.strip_prefix("model.").unwrap_or(name)
}

impl WeightPass {
    /// A pass for the matrices `wanted` and the tensors `plain`.
    pub fn new(wanted: Vec<WantedMatrix>, plain: impl IntoIterator<Item = String>) -> Self {
        let owner = wanted.iter().enumerate().flat_map(|(i, w)| w.matrix.tensors().iter().map(move |t| (t.clone(), i)));
        let owner = inserted(owner);
        Self { wanted, owner, plain: inserted(plain), held: BTreeMap::new(), seen: BTreeSet::new() }
    }

    /// Whether `tensor` is wanted for itself.
    pub fn is_plain(&self, tensor: &str) -> bool {
        self.plain.contains(tensor)
    }

    /// Most bytes that reading `header`'s file from start to end would hold back at once.
    pub fn max_held(&self, header: &Header) -> u64 {
        let mut waiting: BTreeMap<usize, (usize, u64)> = BTreeMap::new();
        let (mut held, mut most) = (0, 0);
        for tensor in &header.tensors {
            let Some(&owner) = self.owner.get(plain_name(&tensor.name)) else { continue };
            let matrix = &self.wanted[owner].matrix;
            if matrix.is_plain() {
                continue;
            }
            let parts = matrix.tensors().len();
            let name = plain_name(&tensor.name);
            let kept_back = if self.wanted[owner].flows(name) { 0 } else { tensor.bytes };
            let (count, bytes) = waiting.entry(owner).or_default();
            *count += 1;
            *bytes += kept_back;
            held += kept_back;
            most = most.max(held);
            if *count == parts {
                held -= *bytes;
            }
        }
        most
    }

    /// Reads a file whose header is `header`: in the order of its bytes, or, if `by_matrix`, one matrix after another.
    /// Ends at the end of the file, so that the file has been verified if the cursor verifies it.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] naming a tensor that is there twice, what kept bytes from being read, or what the
    /// sink gave.
    pub async fn file<S: ByteStream>(
        &mut self,
        cursor: &mut Cursor<S>,
        header: &Header,
        by_matrix: bool,
        sink: &mut impl WeightSink,
    ) -> Result<()> {
        let mut tensors: Vec<(u64, &Tensor)> = Vec::with_capacity(header.tensors.len());
        let mut at = header.data_start;
        for tensor in &header.tensors {
            tensors.push((at, tensor));
            at += tensor.bytes;
        }
        if by_matrix {
            // What belongs to no matrix keeps its place at the front.
            tensors.sort_unstable_by_key(|&(at, t)| (self.owner.get(plain_name(&t.name)), at, &t.name));
        }
        for (at, tensor) in tensors {
            let name = plain_name(&tensor.name).to_owned();
            let owner = self.owner.get(&name).copied();
            if owner.is_none() && !self.plain.contains(&name) {
                continue;
            }
            if !self.seen.insert(name.clone()) {
                return Err(Error::checkpoint(cursor.file(), format!("tensor {name} is there twice")));
            }
            cursor.seek(at).await?;
            match owner {
                None => {
                    let bytes = cursor.exact(tensor.bytes).await?;
                    sink.at(cursor.position())?;
                    let number = Float::parse(&tensor.dtype);
                    if let Some((at, value)) = number.and_then(|number| number.first_not_finite(&bytes)) {
                        let message = format!("tensor {} has {value} at [{at}]", tensor.name);
                        return Err(Error::checkpoint(cursor.file(), message));
                    }
                    sink.plain(&name, tensor, &bytes).await?;
                }
                Some(i) if self.wanted[i].matrix.is_plain() => {
                    let loss = self.stream(i, cursor, tensor, sink).await?;
                    sink.complete(&self.wanted[i].name, self.wanted[i].to, loss).await?;
                }
                Some(i) => {
                    if self.wanted[i].flows(&name) {
                        self.stream(i, cursor, tensor, sink).await?;
                        self.held.insert(name, Vec::new());
                    } else {
                        let bytes = hold(cursor, tensor, sink).await?;
                        self.held.insert(name, bytes);
                    }
                    self.decode(i, tensor, sink).await?;
                    sink.at(cursor.position())?;
                }
            }
        }
        cursor.finish().await?;
        sink.at(cursor.position())
    }

    /// The rows of a matrix that is this tensor, or of its codes, block by block; what they lost by being changed.
    async fn stream<S: ByteStream>(
        &self,
        index: usize,
        cursor: &mut Cursor<S>,
        tensor: &Tensor,
        sink: &mut impl WeightSink,
    ) -> Result<Loss> {
        let WantedMatrix { name, matrix, to } = &self.wanted[index];
        let [rows, columns] = matrix.shape();
        let mut recode = Recode::new(matrix.format(), *to, columns as usize)?;
        let row_bytes = tensor.bytes / rows.max(1);
        let step = (STEP / row_bytes.max(1)).max(1);
        let mut first = 0;
        while first < rows {
            let count = step.min(rows - first);
            let values = cursor.exact(count * row_bytes).await?;
            sink.at(cursor.position())?;
            if matrix.is_plain() {
                check_finite(cursor.file(), tensor, matrix, first, &values)?;
            }
            let block = recode.rows(&tensor.name, MatrixRows { values, groups: Vec::new() })?;
            sink.rows(name, first, &block).await?;
            first += count;
        }
        Ok(recode.loss())
    }

    /// A matrix of several tensors, when the last of them is there; `tensor` is that, for errors.
    async fn decode(&mut self, index: usize, tensor: &Tensor, sink: &mut impl WeightSink) -> Result<()> {
        let wanted = &self.wanted[index];
        let WantedMatrix { name, matrix, to } = wanted;
        if !matrix.tensors().iter().all(|t| self.held.contains_key(t)) {
            return Ok(());
        }
        let owned: Vec<Vec<u8>> = matrix.tensors().iter().filter_map(|t| self.held.remove(t)).collect();
        let parts: Vec<&[u8]> = owned.iter().map(Vec::as_slice).collect();
        let codes_went = matrix.tensors().iter().any(|t| wanted.flows(t));
        let [rows, columns] = matrix.shape();
        let mut recode = Recode::new(matrix.format(), *to, columns as usize)?;
        let step = (STEP / (columns * 4).max(1)).max(1);
        let mut first = 0;
        while first < rows {
            let count = step.min(rows - first);
            let mut block = MatrixRows::default();
            if codes_went {
                matrix.decode_groups(&parts, first..first + count, &mut block)?;
            } else {
                matrix.decode(&parts, first..first + count, &mut block)?;
                check_finite(&tensor.file, tensor, matrix, first, &block.values)?;
                block = recode.rows(&tensor.name, block)?;
            }
            sink.rows(name, first, &block).await?;
            first += count;
        }
        sink.complete(name, *to, recode.loss()).await
    }
}

/// A weight that is not finite would be in every vector. Codes are finite, and so are scales, as `formats` checks.
pub(super) fn check_finite(
    file: &str,
    tensor: &Tensor,
    matrix: &StoredMatrix,
    first: u64,
    values: &[u8],
) -> Result<()> {
    let found = matrix.format().float().and_then(|number| number.first_not_finite(values));
    let Some((at, value)) = found else { return Ok(()) };
    let columns = matrix.shape()[1];
    let (row, column) = (first + at as u64 / columns, at as u64 % columns);
    Err(Error::checkpoint(file, format!("tensor {} has {value} at [{row}, {column}]", tensor.name)))
}

impl WantedMatrix {
    /// Whether `tensor` is handed on as it arrives, although the matrix has others.
    fn flows(&self, tensor: &str) -> bool {
        let codes = self.matrix.codes().filter(|_| self.matrix.format() == self.to);
        codes.is_some_and(|part| self.matrix.tensors()[part] == tensor)
    }
}

/// The whole of a tensor.
async fn hold<S: ByteStream>(cursor: &mut Cursor<S>, tensor: &Tensor, sink: &mut impl WeightSink) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Once the file's size has vouched for the header, room for the whole is asked for at once.
    if cursor.size().is_some() {
        let room = usize::try_from(tensor.bytes).ok().and_then(|n| bytes.try_reserve_exact(n).ok());
        room.ok_or_else(|| Error::OutOfMemory {
            message: format!("{} bytes of host memory for tensor {}", tensor.bytes, tensor.name),
        })?;
    }
    while (bytes.len() as u64) < tensor.bytes {
        bytes.extend(cursor.exact(STEP.min(tensor.bytes - bytes.len() as u64)).await?);
        sink.at(cursor.position())?;
    }
    Ok(bytes)
}
