//! The weight files: their headers first, then each from the place where it is quickest to read.

use std::collections::BTreeMap;
use std::future::Ready;
use std::sync::Arc;

use super::fill::{Fill, Tee, Unheard};
use super::plan::Plan;
#[cfg(not(target_arch = "wasm32"))]
use crate::checkpoint::ApartMatrix;
use crate::checkpoint::{
    Files, Header, Rewrite, Scheme, StoredMatrix, Tensor, WantedMatrix, WeightPass, plain_name, rewritten,
};
use crate::collect::inserted;
use crate::error::{Error, Result};
use crate::hub::{ByteStream, Cursor, DerivedFile as _, LocalFile, NoStream, Reader, Source};
use crate::numbers::{Float, MatrixFormat};

/// Bytes of unfinished matrices that reading a file in order may hold back; beyond that it is read matrix by matrix.
const MAX_HELD: u64 = 40 << 20;
/// What a file's header is kept as, once the file itself is not.
const HEADER: &str = "header";
/// Longest header kept, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// A checkpoint's weight files.
pub(super) struct WeightFiles<S> {
    files: Files,
    list: Vec<WeightFile<S>>,
}

/// One of them.
struct WeightFile<S> {
    path: String,
    header: Header,
    /// The file itself, behind its header, where there is only this one: it need not be asked for twice.
    opened: Option<Cursor<S>>,
    /// The header of what is kept on this machine in the form that the file is to be held in.
    ready: Option<Header>,
    /// That, or else the file itself, if it is on this machine.
    local: Option<Arc<LocalFile>>,
}

impl<S> WeightFile<S> {
    /// The header of what will be read.
    fn header(&self) -> &Header {
        self.ready.as_ref().unwrap_or(&self.header)
    }
}

impl<S: ByteStream> WeightFiles<S> {
    /// Reads the headers of all weight files of `source`.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`], or what kept a file from being read.
    pub(super) async fn open(source: &impl Source<ByteStream = S>) -> Result<Self> {
        let files = Files::find(source).await?;
        let mut list = Vec::new();
        for path in files.paths() {
            let (header, opened) = match source.derived_file(path, HEADER).await? {
                Some(kept) if kept.size() <= MAX_HEADER => {
                    (Header::parse(path, &kept.read_at(0, kept.size() as usize).await?)?, None)
                }
                _ => {
                    let single = matches!(files, Files::Single);
                    let stream = if single { source.open(path).await? } else { source.peek(path).await? };
                    let mut cursor = Cursor::Stream(Reader::new(path, stream));
                    let header = Header::read(&mut cursor).await?;
                    (header, single.then_some(cursor))
                }
            };
            if let Files::Sharded(index) = &files {
                index.check(path, &header)?;
            }
            list.push(WeightFile { path: path.into(), header, opened, ready: None, local: None });
        }
        Ok(Self { files, list })
    }

    /// Finds what will be read: files that are kept ready in the form called `name`, if there is one, where there are such,
    /// and else the files themselves.
    ///
    /// # Errors
    /// What kept one from being read.
    pub(super) async fn look(&mut self, source: &impl Source, name: Option<&str>) -> Result<()> {
        for shard in &mut self.list {
            let kept = match name {
                Some(name) => source.derived_file(&shard.path, name).await?,
                None => None,
            };
            let Some(file) = kept else {
                shard.ready = None;
                shard.local = source.local(&shard.path).await?.map(Arc::new);
                continue;
            };
            let file = Arc::new(file);
            shard.ready = Some(Header::read(&mut Cursor::<NoStream>::local(&shard.path, Arc::clone(&file))).await?);
            shard.local = Some(file);
            // What of the original has come for its header will not be completed.
            if shard.opened.take().is_some() {
                source.discard_original(&shard.path).await?;
            }
        }
        Ok(())
    }

    /// `matrix`, if it can be read for itself: it lies on this machine in the form it is to be held in, and, if `rewritten`, in a file
    /// that is kept so.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn apart(&self, matrix: &StoredMatrix, to: MatrixFormat, rewritten: bool) -> Option<ApartMatrix> {
        let has = |shard: &&WeightFile<S>| {
            shard.header().tensors.iter().any(|tensor| matrix.tensors().iter().any(|t| t == plain_name(&tensor.name)))
        };
        let mut places = self.list.iter().filter(has);
        let (Some(shard), None) = (places.next(), places.next()) else { return None };
        if matrix.format() != to || (rewritten && shard.ready.is_none()) {
            return None;
        }
        ApartMatrix::find(&shard.path, shard.local.as_ref()?, shard.header(), matrix)
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.list.iter().map(|shard| shard.header().file_bytes()).sum()
    }

    /// How each matrix of the plan is stored; every norm is there too.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] naming a tensor that is missing, twice there or of the wrong shape,
    /// [`Error::Unsupported`] naming one whose format this does not read.
    pub(super) fn locate(&self, plan: &Plan, scheme: &Scheme) -> Result<Vec<StoredMatrix>> {
        let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
        let mut metadata = BTreeMap::new();
        for shard in &self.list {
            metadata.extend(shard.header().metadata.clone());
            for tensor in &shard.header().tensors {
                let name = plain_name(&tensor.name);
                // A shard's tensor that the index does not list is none of the model's. (What is kept ready has others.)
                if let (Files::Sharded(index), None) = (&self.files, &shard.ready)
                    && index.file(&tensor.name) != Some(&shard.path)
                {
                    continue;
                }
                if tensors.insert(name.into(), tensor.clone()).is_some() {
                    return Err(Error::checkpoint(&shard.path, format!("tensor {name} is there twice")));
                }
            }
        }
        for (name, _, length) in &plan.vectors {
            let Some(tensor) = tensors.get(name) else {
                return Err(Error::checkpoint(self.files.index(), format!("tensor {name} is missing")));
            };
            if tensor.shape != [*length] {
                let message = format!("tensor {name} has shape {:?}, config.json asks for [{length}]", tensor.shape);
                return Err(Error::checkpoint(&*tensor.file, message));
            }
            if Float::parse(&tensor.dtype).is_none() {
                let what = format!("dtype {} of tensor {name} in {}", tensor.dtype, tensor.file);
                return Err(Error::unsupported(what, "allowed are F32, F16 and BF16"));
            }
        }
        // What is read for itself, such as the biases of projections, is no part of a matrix.
        tensors.retain(|tensor, _| plan.vectors.iter().all(|(name, ..)| name != tensor));
        plan.matrices.iter().map(|m| scheme.find(&m.name, m.shape, &tensors, &metadata)).collect()
    }

    /// Tensors that are no part of the model that `plan` describes, nor one of those that an encoder may come with: the head
    /// of a language model, and tables that transformers once stored.
    pub(super) fn unknown(&self, plan: &Plan) -> Vec<&str> {
        let owned = |name: &str| {
            let vector = plan.vectors.iter().any(|(vector, ..)| vector == name);
            let part =
                plan.matrices.iter().any(|m| name.strip_prefix(m.name.as_str()).is_some_and(|n| n.starts_with('.')));
            vector || part || name.starts_with("lm_head.") || name.ends_with("rotary_emb.inv_freq")
        };
        let names = self.list.iter().flat_map(|shard| &shard.header.tensors).map(|tensor| plain_name(&tensor.name));
        names.filter(|name| !owned(name)).collect()
    }

    /// Reads all files into `fill`, which gets the matrices of `plan`, stored as `stored`, as `formats`; without the first of
    /// them, the embedding table, if that is read `apart`. What is changed on the way is kept by the source under `name`, if
    /// there is one and the source can.
    ///
    /// # Errors
    /// What kept a file from being read, or its weights from being written.
    pub(super) async fn read(
        self,
        source: &impl Source<ByteStream = S>,
        plan: &Plan,
        stored: Vec<StoredMatrix>,
        formats: &[MatrixFormat],
        (name, apart): (Option<&str>, bool),
        fill: &mut Fill<'_>,
    ) -> Result<()> {
        let forms: BTreeMap<String, MatrixFormat> =
            inserted(plan.matrices.iter().map(|m| m.name.clone()).zip(formats.iter().copied()));
        let wanted = plan.matrices.iter().zip(stored).zip(formats);
        let wanted = wanted
            .skip(usize::from(apart))
            .map(|((m, matrix), &to)| WantedMatrix { name: m.name.clone(), matrix, to })
            .collect();
        let mut pass = WeightPass::new(wanted, plan.vectors.iter().map(|(name, _, _)| name.clone()));
        for shard in self.list {
            match name.filter(|_| shard.ready.is_none()) {
                Some(name) => shard.read_and_keep(source, name, &forms, &mut pass, fill).await?,
                None => {
                    let mut shard = shard;
                    shard.read(source, &mut pass, &mut Tee::<Nothing>::without(fill)).await?
                }
            }
        }
        Ok(())
    }
}

/// What writes nothing.
type Nothing = fn(&[u8]) -> Ready<Result<()>>;

impl<S: ByteStream> WeightFile<S> {
    /// Reads the file into `fill`, and what it becomes into the source's keeping, where it has room for it.
    async fn read_and_keep(
        mut self,
        source: &impl Source<ByteStream = S>,
        name: &str,
        forms: &BTreeMap<String, MatrixFormat>,
        pass: &mut WeightPass,
        fill: &mut Fill<'_>,
    ) -> Result<()> {
        let Some(mut form) = source.begin_derived_file(&self.path, name).await? else {
            return self.read(source, pass, &mut Tee::<Nothing>::without(fill)).await;
        };
        let planned = rewritten(&self.path, &self.header, forms, |tensor| pass.is_plain(tensor))?;
        let append = async |bytes: &[u8]| form.append(bytes).await;
        let rewrite = Rewrite::begin(&self.path, &planned, append, (|_| Ok(())) as Unheard).await;
        let mut tee = Tee::with(fill, rewrite);
        self.read(source, pass, &mut tee).await?;
        let mut kept = tee.finish();
        if kept.is_ok() {
            kept = self.publish(source, form).await;
        }
        if let Err(error) = kept {
            let message = format!("the {name} form of {} is not kept: {error}", self.path);
            fill.meter.notice(message);
        }
        Ok(())
    }

    /// The file's new form is complete: the file itself will not be needed again.
    async fn publish<O: Source>(&self, source: &O, form: O::DerivedFile<'_>) -> Result<()> {
        form.finish().await?;
        if let Some(mut header) = source.begin_derived_file(&self.path, HEADER).await? {
            header.append(&self.header.json).await?;
            header.finish().await?;
            source.discard_original(&self.path).await?;
        }
        Ok(())
    }

    /// Reads the file into `sink`.
    async fn read<A: AsyncFnMut(&[u8]) -> Result<()>>(
        &mut self,
        source: &impl Source<ByteStream = S>,
        pass: &mut WeightPass,
        sink: &mut Tee<'_, '_, A>,
    ) -> Result<()> {
        let by_matrix = pass.max_held(self.header()) > MAX_HELD;
        if by_matrix {
            self.opened = None;
        }
        let local = match self.local.take() {
            None if by_matrix => source.fetch(&self.path).await?.map(Arc::new),
            local => local,
        };
        let cached = local.is_some();
        let mut cursor = match (local, self.opened.take()) {
            (Some(file), _) => Cursor::local(&self.path, file),
            (None, Some(opened)) if !by_matrix => opened,
            (None, _) => Cursor::Stream(Reader::new(&self.path, source.open(&self.path).await?)),
        };
        // What was planned for is what comes: the file may have changed since.
        if cursor.position() == 0 && Header::read(&mut cursor).await? != *self.header() {
            return Err(Error::checkpoint(&self.path, "has changed while the model was being loaded"));
        }
        sink.begin(&self.path, cursor.size(), cached);
        pass.file(&mut cursor, self.header(), by_matrix && cached, sink).await
    }
}
