//! Texts in and texts asked for, through a model.

use std::ops::Range;

use super::encode::float32;
use super::rows::Form;
use super::{Hit, Index, IndexOptions, Item, Kind, Mode, SearchOptions};
use crate::error::{Error, Result};
use crate::maxsim::{self, Tokens};
use crate::model::late::{EncodeOptions, Role};
use crate::model::{self, ContextOptions, Data, Dtype, EmbedOptions, Embeddings, LongDocuments, Model, Usage};
use crate::watch::Watch;

/// The text of an item.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// One text.
    One(&'a str),
    /// Its chunks, a row each: dense only. A context model reads them together, and those of a document beyond its limit
    /// in overlapping windows; others read each by itself.
    Chunks(&'a [&'a str]),
}

impl<'a> Text<'a> {
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
        texts: &[Text<'_>],
        mode: Mode,
        watch: &dyn Watch,
    ) -> Result<Usage> {
        self.check_model(model)?;
        self.check_items(items, mode)?;
        if texts.len() != items.len() {
            let message = format!("are {}, allowed is {}, as there are items", texts.len(), items.len());
            return Err(Error::argument("texts", message));
        }
        if self.options.kind == Kind::Dense {
            let Vectors { numbers, offsets, usage } = self.vectors(model, texts, watch).await?;
            self.add(items, numbers.tokens(&offsets, self.options.dim), None, mode, watch).await?;
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
        if self.options.kind == Kind::Dense {
            let texts: Vec<Text<'_>> = texts.iter().map(|text| Text::One(text)).collect();
            let Vectors { numbers, offsets, .. } = self.vectors(model, &texts, watch).await?;
            return self.search(numbers.tokens(&offsets, self.options.dim), options, watch).await;
        }
        let encoded = model.encode(Role::Query, texts, EncodeOptions::default(), watch).await?;
        let offsets: Vec<u64> = encoded.offsets.iter().map(|&o| o as u64).collect();
        let queries =
            Tokens { data: maxsim::TokenData::Float32(float32(&encoded)?), offsets: &offsets, dim: encoded.dim };
        self.search(queries, options, watch).await
    }

    /// The vectors of texts, each one's together.
    async fn vectors(&self, model: &Model, texts: &[Text<'_>], watch: &dyn Watch) -> Result<Vectors> {
        let info = model.info();
        let int8 = info.default_dtype == Dtype::Int8 && self.store.layout.rows.form == Form::I8;
        let embed = EmbedOptions {
            dtype: Some(if int8 { Dtype::Int8 } else { Dtype::Float32 }),
            dimensions: u32::try_from(self.options.dim).ok(),
            normalize: (!int8).then_some(false),
        };
        // A context model reads chunks together; to others each is a text.
        let mut plain: Vec<(usize, &str)> = Vec::new();
        let mut documents: Vec<(usize, &[&str])> = Vec::new();
        for (item, text) in texts.iter().enumerate() {
            match text {
                Text::One(text) => plain.push((item, text)),
                Text::Chunks(chunks) if info.kind == model::Kind::Context => documents.push((item, chunks)),
                Text::Chunks(chunks) => plain.extend(chunks.iter().map(|chunk| (item, *chunk))),
            }
        }
        let slices: Vec<&str> = plain.iter().map(|(_, text)| *text).collect();
        let of_plain = model.embed(&slices, embed, watch).await?;
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

        let mut numbers = if int8 { Numbers::Int8(Vec::new()) } else { Numbers::Float32(Vec::new()) };
        let (mut offsets, mut rows) = (vec![0], 0);
        let (mut plain, mut documents) = ((0..).zip(plain).peekable(), documents.iter().zip(&of_documents).peekable());
        for item in 0..texts.len() {
            while let Some((row, _)) = plain.next_if(|(_, (of, _))| *of == item) {
                numbers.extend(&of_plain, row..row + 1);
                rows += 1;
            }
            if let Some((_, embeddings)) = documents.next_if(|((of, _), _)| *of == item) {
                numbers.extend(embeddings, 0..embeddings.rows);
                rows += embeddings.rows as u64;
            }
            offsets.push(rows);
        }
        Ok(Vectors { numbers, offsets, usage })
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
        let (late, dimensions) = (info.kind == model::Kind::Late, info.dimensions as usize);
        if late != (*kind == Kind::Late) {
            let name = |late: bool| if late { "a late interaction model" } else { "a model with one vector a text" };
            return refuse(name(late).into(), name(!late).into());
        }
        if dimensions < *dim || late && dimensions != *dim {
            return refuse(format!("one of {dimensions} dimensions"), format!("one of {dim}"));
        }
        Ok(())
    }
}

/// Vectors of texts.
struct Vectors {
    numbers: Numbers,
    offsets: Vec<u64>,
    usage: Usage,
}

enum Numbers {
    Int8(Vec<i8>),
    Float32(Vec<f32>),
}

impl Numbers {
    fn extend(&mut self, from: &Embeddings, rows: Range<usize>) {
        let numbers = rows.start * from.row_len()..rows.end * from.row_len();
        match (self, &from.data) {
            (Self::Int8(to), Data::Int8(from)) => to.extend_from_slice(&from[numbers]),
            (Self::Float32(to), Data::Float32(from)) => to.extend_from_slice(&from[numbers]),
            _ => {}
        }
    }

    fn tokens<'a>(&'a self, offsets: &'a [u64], dim: usize) -> Tokens<'a> {
        let data = match self {
            Self::Int8(codes) => maxsim::TokenData::Int8 { codes, scales: None },
            Self::Float32(numbers) => maxsim::TokenData::Float32(numbers),
        };
        Tokens { data, offsets, dim }
    }
}
