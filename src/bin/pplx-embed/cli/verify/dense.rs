//! Models with one vector a text: ids, vectors alone and in batches, cosines; and ids of texts for every model.

use pplx_embed::model::{Data, EmbedOptions, Model};
use pplx_embed::numbers::Dtype;
use pplx_embed::{Error, Result, Watch};

use super::check::{Check, Label, cosine};
use super::goldens::{PublishedBatch, PublishedCosines, PublishedModel, PublishedText, PublishedVector};

/// The ids of texts alone.
pub(super) fn tokens(model: &Model, published: &PublishedModel) -> Result<Vec<Check>> {
    let check = |PublishedText { source, text, ids }: &PublishedText| {
        let name = quoted(text);
        let ours = model.tokenizer().encode(text)?.ids;
        Ok(Label { name: &name, what: "token ids", source }.equal(ids, &ours))
    };
    published.texts.iter().map(check).collect()
}

/// The start of a text, on one line.
fn quoted(text: &str) -> String {
    const MOST: usize = 24;
    let start: String = text.chars().take(MOST).collect();
    format!("{start:?}{}", if start.len() < text.len() { "..." } else { "" })
}

/// Vectors alone, in batches, and their cosines.
pub(super) async fn vectors(model: &Model, published: &PublishedModel, watch: &dyn Watch) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for vector in &published.vectors {
        let (codes, _) = int8(model, &[&vector.text], watch).await?;
        checks.extend(compared(&vector.name, &vector.source, vector, &codes));
    }
    for PublishedBatch { name, source, rows } in &published.batches {
        let rows: Vec<&PublishedVector> = rows.iter().filter_map(|row| published.vector(row)).collect();
        let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
        let (codes, dimensions) = int8(model, &texts, watch).await?;
        for (i, (row, codes)) in rows.iter().zip(codes.chunks_exact(dimensions)).enumerate() {
            checks.extend(compared(&format!("{name}[{i}]"), source, row, codes));
        }
    }
    for PublishedCosines { name, source, query, documents, cosines, atol, rtol } in &published.similarities {
        let texts: Vec<&str> = std::iter::once(query).chain(documents).map(String::as_str).collect();
        let (codes, dimensions) = int8(model, &texts, watch).await?;
        let (query, documents) = codes.split_at(dimensions);
        for (i, (document, published)) in documents.chunks_exact(dimensions).zip(cosines).enumerate() {
            let label = Label { name: &format!("{name}[{i}]"), what: "cosine of texts", source };
            checks.push(label.near(*published, cosine(query, document), [*atol, *rtol]));
        }
    }
    Ok(checks)
}

/// The codes of `texts`, row after row, and D.
async fn int8(model: &Model, texts: &[&str], watch: &dyn Watch) -> Result<(Vec<i8>, usize)> {
    let options = EmbedOptions { dtype: Some(Dtype::Int8), ..EmbedOptions::default() };
    let embeddings = model.embed(texts, options, watch).await?;
    match embeddings.data {
        Data::Int8(codes) => Ok((codes, embeddings.dimensions)),
        _ => Err(Error::Unsupported {
            what: "another form than was asked for".into(),
            message: "allowed is int8".into(),
        }),
    }
}

fn compared(name: &str, source: &str, vector: &PublishedVector, ours: &[i8]) -> [Check; 2] {
    let label = |what| Label { name, what, source };
    [
        label("int8 codes").codes(&vector.int8, ours, vector.code_difference_max),
        label("cosine of codes").cosine(&vector.int8, ours, vector.cosine_min),
    ]
}
