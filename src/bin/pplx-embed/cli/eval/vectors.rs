//! The vectors of texts, as float32 with all dimensions, from whichever kind of model.

use pplx_embed::model::late::{EncodeOptions, Role};
use pplx_embed::model::{ContextOptions, Data, EmbedOptions, Embeddings, LongDocuments, Model, ModelKind, Prompt};
use pplx_embed::numbers::{Dtype, RowBuf};
use pplx_embed::{Error, Progress, Result, Watch};

use super::dataset::{CorpusDocument, Dataset};

/// EmbeddedTexts of texts, end to end.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct EmbeddedTexts {
    /// `[N, D]`
    pub(super) numbers: Vec<f32>,
    /// How many vectors each text has: one, or with a late model one for each token.
    pub(super) counts: Vec<u32>,
}

/// A model that makes them.
pub(super) struct TextEncoder<'a> {
    pub(super) model: &'a Model,
    pub(super) kind: ModelKind,
    pub(super) watch: &'a dyn Watch,
}

/// The texts of some documents or queries, by document.
pub(super) type Texts<'a> = Vec<&'a [String]>;

impl TextEncoder<'_> {
    /// The form in which vectors are made.
    fn full(&self, prompt: Prompt) -> EmbedOptions {
        let dimensions = Some(self.model.info().dimensions);
        EmbedOptions { dtype: Some(Dtype::Float32), dimensions, normalize: Some(false), prompt }
    }
}

impl TextEncoder<'_> {
    /// The vectors of every text of `documents`, of which `before` of `total` came before these. With a context model
    /// the texts of a document are its chunks, embedded with the whole of it in view, in windows where it is too long;
    /// with others each text stands alone. Gives how many were cut, too.
    ///
    /// # Errors
    /// As [`Model::embed`], [`Model::embed_context`] and [`Model::encode`].
    pub(super) fn vectors(
        &self,
        documents: &[&[String]],
        role: Role,
        [before, total]: [usize; 2],
    ) -> Result<(EmbeddedTexts, usize)> {
        let watch = Overall { watch: self.watch, before, total };
        let texts: Vec<&str> = documents.iter().flat_map(|d| d.iter()).map(String::as_str).collect();
        let (vectors, cut) = match self.kind {
            ModelKind::Late => self.tokens(&texts, role, &watch)?,
            ModelKind::Context => self.context(documents, &watch)?,
            _ => self.embed(&texts, role.into(), &watch)?,
        };
        if let Some(at) = vectors.numbers.iter().position(|v| !v.is_finite()) {
            let value = vectors.numbers[at];
            return Err(Error::Gpu { message: format!("the model gives {value}, which is no number to compare") });
        }
        Ok((vectors, cut))
    }

    fn embed(&self, texts: &[&str], prompt: Prompt, watch: &dyn Watch) -> Result<(EmbeddedTexts, usize)> {
        let embeddings = pollster::block_on(self.model.embed(texts, self.full(prompt), watch))?;
        let cut = embeddings.usage.truncated.len();
        Ok((EmbeddedTexts { counts: vec![1; texts.len()], numbers: float32(embeddings)? }, cut))
    }

    fn tokens(&self, texts: &[&str], role: Role, watch: &dyn Watch) -> Result<(EmbeddedTexts, usize)> {
        let encoded = pollster::block_on(self.model.encode(role, texts, EncodeOptions::default(), watch))?;
        let counts = encoded.tokens.offsets.windows(2).map(|ends| (ends[1] - ends[0]) as u32).collect();
        let cut = encoded.tokens.usage.truncated.len();
        match encoded.data {
            RowBuf::Float32(numbers) => Ok((EmbeddedTexts { numbers, counts }, cut)),
            _ => Err(other_form()),
        }
    }

    /// Documents of one chunk are texts, and cut where they are too long; chunks of others are never cut.
    fn context(&self, documents: &[&[String]], watch: &dyn Watch) -> Result<(EmbeddedTexts, usize)> {
        let (single, several): (Vec<_>, Vec<_>) = (0..documents.len()).partition(|&i| documents[i].len() == 1);
        let texts: Vec<&str> = single.iter().map(|&i| documents[i][0].as_str()).collect();
        let (alone, cut) = self.embed(&texts, Prompt::Default, watch)?;
        let chunked: Vec<&[String]> = several.iter().map(|&i| documents[i]).collect();
        let options = ContextOptions { embed: self.full(Prompt::Default), long_documents: LongDocuments::Window };
        let together = pollster::block_on(self.model.embed_context(&chunked, options, watch));
        // The call knows the chunked ones only.
        let together =
            together.map_err(|error| match named(&error).and_then(|(i, why)| Some((several.get(i)?, why))) {
                Some((i, why)) => Error::InvalidArgument { argument: format!("documents[{i}]"), message: why.into() },
                None => error,
            })?;
        let width = self.model.info().dimensions as usize;
        let (mut alone, mut together) = (alone.numbers.chunks_exact(width), together.into_iter());
        let mut vectors = EmbeddedTexts::default();
        for document in documents {
            vectors.counts.extend(document.iter().map(|_| 1));
            match document.len() {
                1 => vectors.numbers.extend(alone.next().unwrap_or_default()),
                _ => vectors.numbers.extend(together.next().map(float32).transpose()?.unwrap_or_default()),
            }
        }
        Ok((vectors, cut))
    }
}

/// Which document an error names, and what it says of it.
fn named(error: &Error) -> Option<(usize, &str)> {
    let Error::InvalidArgument { argument, message } = error else { return None };
    Some((argument.strip_prefix("documents[")?.strip_suffix(']')?.parse().ok()?, message))
}

impl Dataset {
    /// An error that names a document by its place after `first`, with its id.
    pub(super) fn name(&self, error: Error, first: usize) -> Error {
        let document = |(i, message): (usize, &str)| {
            let CorpusDocument { id, .. } = self.documents.get(first + i)?;
            Some(Error::Io { file: "corpus.jsonl".into(), message: format!("document {id:?} {message}") })
        };
        named(&error).and_then(document).unwrap_or(error)
    }
}

fn float32(embeddings: Embeddings) -> Result<Vec<f32>> {
    match embeddings.data {
        Data::Float32(numbers) => Ok(numbers),
        _ => Err(other_form()),
    }
}

fn other_form() -> Error {
    Error::Gpu { message: "vectors of another form than float32, which was asked for".into() }
}

/// Tells of the texts of a block as a part of all.
struct Overall<'a> {
    watch: &'a dyn Watch,
    before: usize,
    total: usize,
}

impl Watch for Overall<'_> {
    fn cancelled(&self) -> bool {
        self.watch.cancelled()
    }

    fn progress(&self, progress: Progress) {
        self.watch.progress(match progress {
            Progress::Embed { texts, .. } => Progress::Index { done: self.before + texts, total: self.total },
            other => other,
        });
    }
}
