//! The weight files: their headers first, then each from the place where it is quickest to read.

use std::collections::BTreeMap;

use super::fill::Fill;
use super::form::Form;
use super::plan::Plan;
use crate::checkpoint::{Files, Header, Matrix, Pass, Scheme, Tensor, plain_name};
use crate::error::{Error, Result};
use crate::hub::{Cursor, Reader, Source};

/// Bytes of unfinished matrices that reading a file in order may hold back; beyond that it is read matrix by matrix.
const MOST_HELD: u64 = 40 << 20;

/// A checkpoint's weight files.
pub(super) struct Shards {
    list: Vec<Shard>,
    /// The file that is named where a tensor is missing.
    index: String,
}

/// One of them.
pub(super) struct Shard {
    path: String,
    header: Header,
}

impl Shards {
    /// Reads the headers of all weight files of `source`.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`], or what kept a file from being read.
    pub(super) async fn open(source: &impl Source) -> Result<Self> {
        let files = Files::find(source).await?;
        let mut list = Vec::new();
        for path in files.paths() {
            let mut reader = Reader::new(path, source.open(path).await?);
            list.push(Shard { path: path.into(), header: Header::read(&mut reader).await? });
        }
        Ok(Self { index: files.index().into(), list })
    }

    pub(super) fn list(&self) -> &[Shard] {
        &self.list
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.list.iter().map(|shard| shard.header.file_bytes()).sum()
    }

    /// How each matrix of the plan is stored; every norm is there too.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] naming a tensor that is missing, twice there or of the wrong shape,
    /// [`Error::Unsupported`] naming one whose format this does not read.
    pub(super) fn locate(&self, plan: &Plan, scheme: &Scheme) -> Result<Vec<Matrix>> {
        let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
        let mut metadata = BTreeMap::new();
        for Shard { path, header } in &self.list {
            metadata.extend(header.metadata.clone());
            for tensor in &header.tensors {
                let name = plain_name(&tensor.name);
                if tensors.insert(name.into(), tensor.clone()).is_some() {
                    return Err(Error::checkpoint(path, format!("tensor {name} is there twice")));
                }
            }
        }
        for (name, _, length) in &plan.norms {
            let Some(tensor) = tensors.get(name) else {
                return Err(Error::checkpoint(&self.index, format!("tensor {name} is missing")));
            };
            if tensor.shape != [*length] {
                let came = format!("tensor {name} has shape {:?}, config.json asks for [{length}]", tensor.shape);
                return Err(Error::checkpoint(&self.index, came));
            }
            if crate::checkpoint::Number::parse(&tensor.dtype).is_none() {
                let what = format!("dtype {} of tensor {name}", tensor.dtype);
                return Err(Error::unsupported(what, "allowed for norms are F32, F16 and BF16"));
            }
        }
        plan.matrices.iter().map(|m| scheme.find(&m.name, m.shape, &tensors, &metadata)).collect()
    }
}

impl Shard {
    /// Reads the file into `fill`.
    ///
    /// # Errors
    /// What kept it from being read.
    pub(super) async fn read(
        &self,
        source: &impl Source,
        _form: Form,
        pass: &mut Pass,
        fill: &mut Fill<'_>,
    ) -> Result<()> {
        let scattered = pass.most_held(&self.header) > MOST_HELD;
        let local = if scattered { source.local(&self.path).await? } else { None };
        let by_matrix = local.is_some();
        let mut cursor = match local {
            Some(file) => Cursor::local(&self.path, file),
            None => Cursor::Stream(Reader::new(&self.path, source.open(&self.path).await?)),
        };
        fill.meter.begin(&self.path, cursor.size(), by_matrix);
        pass.file(&mut cursor, &self.header, by_matrix, fill).await
    }
}
