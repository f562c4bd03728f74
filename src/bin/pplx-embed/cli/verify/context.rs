//! Context models: the ids of documents, which of them are each chunk's, and chunks' vectors in every form.

use std::collections::BTreeMap;

use pplx_embed::model::{ContextOptions, Data, EmbedOptions, Embeddings, Model};
use pplx_embed::numbers::Dtype;
use pplx_embed::{Error, Result, Watch};

use super::check::{Check, Label};
use super::goldens::{PublishedChunk, PublishedDocument, PublishedModel};

/// Everything about documents.
pub(super) async fn documents(model: &Model, published: &PublishedModel, watch: &dyn Watch) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for PublishedDocument { name, source, chunks, ids, spans } in &published.documents {
        let label = |what| Label { name, what, source };
        let (ours, own) = model.tokenizer().join(chunks)?;
        checks.push(label("token ids").equal(ids, &ours));
        let spans: Vec<u32> = spans.iter().flat_map(|&(from, to)| [from, to]).collect();
        let own: Vec<u32> = own.iter().flat_map(|span| [span.start, span.end]).collect();
        checks.push(label("chunk spans").equal(&spans, &own));
    }
    let mut known = BTreeMap::new();
    for pooled in &published.pooled {
        let Some(document) = published.documents.iter().find(|d| d.name == pooled.document) else { continue };
        if !known.contains_key(&pooled.document) {
            known.insert(&pooled.document, forms(model, document, watch).await?);
        }
        checks.extend(known.get(&pooled.document).into_iter().flat_map(|forms| compared(pooled, forms)));
    }
    Ok(checks)
}

/// A document's vectors in the three forms.
async fn forms(model: &Model, document: &PublishedDocument, watch: &dyn Watch) -> Result<[Embeddings; 3]> {
    let form = async |dtype| {
        let embed = EmbedOptions { dtype: Some(dtype), ..EmbedOptions::default() };
        let options = ContextOptions { embed, ..ContextOptions::default() };
        let mut embeddings = model.embed_context(&[&document.chunks], options, watch).await?;
        Ok::<Embeddings, Error>(embeddings.swap_remove(0))
    };
    Ok([form(Dtype::Float32).await?, form(Dtype::Int8).await?, form(Dtype::Binary).await?])
}

fn compared(pooled: &PublishedChunk, [float32, int8, binary]: &[Embeddings; 3]) -> Vec<Check> {
    let label = |what| Label { name: &pooled.name, what, source: &pooled.source };
    let row = pooled.chunk * float32.dimensions..(pooled.chunk + 1) * float32.dimensions;
    let mut checks = Vec::new();
    for form in [float32, int8, binary] {
        checks.push(match &form.data {
            Data::Float32(ours) => {
                label("float32 prefix").prefix(&pooled.float32, &ours[row.clone()], pooled.cosine_min)
            }
            Data::Int8(ours) => {
                label("int8 prefix").codes(&pooled.int8, &ours[row.clone()], pooled.code_difference_max)
            }
            Data::Binary(ours) => {
                label("binary prefix").signs(&pooled.binary, &ours[row.clone()], &pooled.float32, pooled.binary_zone)
            }
            Data::Ubinary(_) => continue,
        });
    }
    checks
}
