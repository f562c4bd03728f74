//! Texts in and texts asked for, through a model.

use std::ops::Range;

use super::encode::float32;
use super::{AddMode, Hit, Index, IndexKind, IndexOptions, Item, SearchOptions};
use crate::error::{Error, Result};
use crate::maxsim::TokenVectors;
use crate::model::late::{EncodeOptions, Role};
use crate::model::{self, ContextOptions, Data, EmbedOptions, Embeddings, LongDocuments, Model, Prompt, Usage};
use crate::numbers::{Dtype, RowBuf, RowData, RowFormat};
use crate::progress::Watch;

/// The text of an item.
#[derive(Clone, Copy, Debug)]
pub enum ItemText<'a> {
    /// One text.
    One(&'a str),
    /// Its chunks, a row each: dense only. A context model reads them together, and those of a document beyond its limit
    /// in overlapping windows; others read each by itself.
    Chunks(&'a [&'a str]),
}

impl<'a> ItemText<'a> {
    /// The text, where it has to be one; it is the `i`th.
    fn whole(&self, i: usize) -> Result<&'a str> {
        match *self {
            Self::One(text) => Ok(text),
            Self::Chunks(_) => {
                Err(Error::argument(format!("texts[{i}]"), "is given as chunks, allowed in a late index is one text"))
            }
        }
    }
}

impl Index {
    /// Adds `items` with the vectors that `model` makes of `texts`, one for each item. The vectors of late items do not
    /// leave the device. All or nothing. [`Usage::truncated`] has indices of items.
    ///
    /// # Errors
    /// [`crate::Error::InvalidArgument`] for a model of another name, kind or number of dimensions than the index's, and
    /// for chunks in a late index; as [`Index::add`], [`Model::embed`] and [`Model::encode`].
    pub async fn add_texts(
        &mut self,
        model: &Model,
        items: &[Item<'_>],
        texts: &[ItemText<'_>],
        mode: AddMode,
        watch: &dyn Watch,
    ) -> Result<Usage> {
        self.check_model(model)?;
        self.check_items(items, mode)?;
        if texts.len() != items.len() {
            let message = format!("are {}, allowed is {}, as there are items", texts.len(), items.len());
            return Err(Error::argument("texts", message));
        }
        if self.options.kind == IndexKind::Dense {
            let TextVectors { numbers, offsets, usage } = self.vectors(model, texts, Prompt::Document, watch).await?;
            self.add(
                items,
                TokenVectors { data: numbers.as_data(), offsets: &offsets, dim: self.options.dim },
                None,
                mode,
                watch,
            )
            .await?;
            return Ok(usage);
        }
        let texts = texts.iter().enumerate().map(|(i, text)| text.whole(i)).collect::<Result<Vec<_>>>()?;
        self.encode(model, items, &texts, mode, watch).await
    }

    /// [`Index::search`] for texts.
    ///
    /// # Errors
    /// As [`Index::add_texts`] and [`Index::search`].
    pub async fn search_texts(
        &self,
        model: &Model,
        texts: &[&str],
        options: SearchOptions<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Hit>>> {
        self.check_model(model)?;
        if self.options.kind == IndexKind::Dense {
            let texts: Vec<ItemText<'_>> = texts.iter().map(|text| ItemText::One(text)).collect();
            let TextVectors { numbers, offsets, .. } = self.vectors(model, &texts, Prompt::Query, watch).await?;
            return self
                .search(
                    TokenVectors { data: numbers.as_data(), offsets: &offsets, dim: self.options.dim },
                    options,
                    watch,
                )
                .await;
        }
        let encoded = model.encode(Role::Query, texts, EncodeOptions::default(), watch).await?;
        let offsets: Vec<u64> = encoded.tokens.offsets.iter().map(|&o| o as u64).collect();
        let queries =
            TokenVectors { data: RowData::Float32(float32(&encoded)?), offsets: &offsets, dim: encoded.tokens.dim };
        self.search(queries, options, watch).await
    }

    /// The vectors of texts in a role, each one's together.
    async fn vectors(
        &self,
        model: &Model,
        texts: &[ItemText<'_>],
        role: Prompt,
        watch: &dyn Watch,
    ) -> Result<TextVectors> {
        let info = model.info();
        let prompt = if info.kind == model::ModelKind::Context { Prompt::Default } else { role };
        let int8 = info.default_dtype == Dtype::Int8 && self.store.layout.rows.format == RowFormat::Int8;
        let embed = EmbedOptions {
            dtype: Some(if int8 { Dtype::Int8 } else { Dtype::Float32 }),
            dimensions: u32::try_from(self.options.dim).ok(),
            normalize: (!int8).then_some(false),
            prompt,
        };
        // A context model reads chunks together; to others each is a text.
        let mut plain: Vec<(usize, &str)> = Vec::new();
        let mut documents: Vec<(usize, &[&str])> = Vec::new();
        for (item, text) in texts.iter().enumerate() {
            match text {
                ItemText::One(text) => plain.push((item, text)),
                ItemText::Chunks(chunks) if info.kind == model::ModelKind::Context => documents.push((item, chunks)),
                ItemText::Chunks(chunks) => plain.extend(chunks.iter().map(|chunk| (item, *chunk))),
            }
        }
        let slices: Vec<&str> = plain.iter().map(|(_, text)| *text).collect();
        let of_plain = model.embed(&slices, embed.clone(), watch).await?;
        let chunks: Vec<&[&str]> = documents.iter().map(|(_, chunks)| *chunks).collect();
        let mut of_documents = Vec::new();
        if !chunks.is_empty() {
            let options = ContextOptions { embed, long_documents: LongDocuments::Window };
            of_documents = model.embed_context(&chunks, options, watch).await?;
        }
        let mut usage = Usage { tokens: of_plain.usage.tokens, truncated: Vec::new() };
        usage.tokens += of_documents.iter().map(|e| e.usage.tokens).sum::<usize>();
        usage.truncated.extend(of_plain.usage.truncated.iter().map(|&i| plain[i].0));
        usage.truncated.dedup();

        let mut numbers = RowBuf::new(if int8 { RowFormat::Int8 } else { RowFormat::Float32 }, false);
        let (mut offsets, mut rows) = (vec![0], 0);
        let (mut plain, mut documents) = ((0..).zip(plain).peekable(), documents.iter().zip(&of_documents).peekable());
        for item in 0..texts.len() {
            while let Some((row, _)) = plain.next_if(|(_, (of, _))| *of == item) {
                append(&mut numbers, &of_plain, row..row + 1);
                rows += 1;
            }
            if let Some((_, embeddings)) = documents.next_if(|((of, _), _)| *of == item) {
                append(&mut numbers, embeddings, 0..embeddings.rows);
                rows += embeddings.rows as u64;
            }
            offsets.push(rows);
        }
        Ok(TextVectors { numbers, offsets, usage })
    }

    fn check_model(&self, model: &Model) -> Result<()> {
        let info = model.info();
        let refuse = |came: String, allowed: String| {
            Err(Error::argument("model", format!("{came}, allowed is {allowed}, as the index was made for")))
        };
        let IndexOptions { kind, dim, model: name, .. } = &self.options;
        if let Some(name) = name.as_ref().filter(|name| **name != info.id) {
            return refuse(format!("{:?}", info.id), format!("{name:?}"));
        }
        let (late, dimensions) = (info.kind == model::ModelKind::Late, info.dimensions as usize);
        if late != (*kind == IndexKind::Late) {
            let name = |late: bool| if late { "a late interaction model" } else { "a model with one vector a text" };
            return refuse(name(late).into(), name(!late).into());
        }
        if dimensions < *dim || late && dimensions != *dim {
            return refuse(format!("one of {dimensions} dimensions"), format!("one of {dim}"));
        }
        Ok(())
    }
}

/// TextVectors of texts.
struct TextVectors {
    numbers: RowBuf,
    offsets: Vec<u64>,
    usage: Usage,
}

/// Appends the rows `range` of embeddings that were asked for in the format of `numbers`.
fn append(numbers: &mut RowBuf, from: &Embeddings, range: Range<usize>) {
    let dim = from.dimensions;
    match &from.data {
        Data::Int8(codes) => numbers.extend(RowData::Int8 { codes, scales: None }, range, dim),
        Data::Float32(floats) => numbers.extend(RowData::Float32(floats), range, dim),
        Data::Binary(_) | Data::Ubinary(_) => {}
    }
}
