//! Late interaction models: settings, marked sequences, token vectors and scores. The marker stands at place 0.

use pplx_embed::maxsim::{self, Scorer, TokenVectors};
use pplx_embed::model::Model;
use pplx_embed::model::late::{EncodeOptions, LateInfo, Marked, MarkerPosition, Role, TokenEmbeddings};
use pplx_embed::numbers::{RowBuf, RowData};
use pplx_embed::{Error, Result, Watch};

use super::check::{Check, Label};
use super::goldens::{PublishedModel, PublishedScore, PublishedSequence, PublishedSettings, PublishedTokenVector};

/// Everything about queries and documents.
pub(super) async fn sequences(model: &Model, published: &PublishedModel, watch: &dyn Watch) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    if let Some(published) = &published.settings {
        checks.extend(settings(published, model.info().late.as_ref()));
    }
    if published.sequences.is_empty() {
        return Ok(checks);
    }
    let marking = model.marking().ok_or_else(|| {
        let message = "allowed is a late interaction model".into();
        Error::Unsupported { what: "queries and documents of a model with one vector a text".into(), message }
    })?;
    let mut marked = Vec::new();
    for sequence in &published.sequences {
        let PublishedSequence { name, source, role, ids, scored, .. } = sequence;
        let ours = marking.mark(model.tokenizer(), *role, &sequence.text(), MarkerPosition::First)?;
        checks.push(Label { name, what: "token ids", source }.equal(ids, &ours.ids));
        if let Some(scored) = scored {
            checks.push(Label { name, what: "scored positions", source }.equal(scored, &ours.scored));
        }
        marked.push(ours);
    }
    let encoded = Encoded::of(model, published, watch).await?;
    checks.extend(first_vectors(published, &marked, &encoded));
    checks.extend(scores(model, published, &encoded, watch).await?);
    Ok(checks)
}

fn settings(published: &PublishedSettings, ours: Option<&LateInfo>) -> [Check; 4] {
    let label = |what| Label { name: "settings", what, source: &published.source };
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let filling = ours.and_then(|o| o.query_expansion.as_ref()).map(|e| e.token);
    let list = |number: Option<u32>| number.into_iter().collect::<Vec<u32>>();
    [
        label("query length").equal(&[published.query_length], &list(ours.map(|o| length(o.query_length)))),
        label("document length").equal(&[published.document_length], &list(ours.map(|o| length(o.document_length)))),
        label("expansion token").equal(&[published.expansion_token], &list(filling)),
        label("skiplist").equal(&published.document_skiplist, ours.map_or(&[], |o| &o.document_skiplist)),
    ]
}

/// The vectors of every sequence.
struct Encoded {
    queries: TokenEmbeddings,
    documents: TokenEmbeddings,
    /// For each sequence its place among those of its role.
    places: Vec<usize>,
}

impl Encoded {
    async fn of(model: &Model, published: &PublishedModel, watch: &dyn Watch) -> Result<Self> {
        let texts = |role| {
            let own = published.sequences.iter().filter(move |s| s.role == role);
            own.map(PublishedSequence::text).collect::<Vec<String>>()
        };
        let encode = async |role| {
            let texts: Vec<String> = texts(role);
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            model.encode(role, &texts, EncodeOptions::default(), watch).await
        };
        let (mut counts, mut places) = ([0; 2], Vec::new());
        for sequence in &published.sequences {
            let count = &mut counts[usize::from(sequence.role == Role::Document)];
            places.push(*count);
            *count += 1;
        }
        Ok(Self { queries: encode(Role::Query).await?, documents: encode(Role::Document).await?, places })
    }
}

fn first_vectors(published: &PublishedModel, marked: &[Marked], encoded: &Encoded) -> Vec<Check> {
    let check = |PublishedTokenVector { source, sequence, position, float32, cosine_min }: &PublishedTokenVector| {
        let at = published.sequence(sequence)?;
        let vectors = match published.sequences[at].role {
            Role::Query => &encoded.queries,
            Role::Document => &encoded.documents,
        };
        // Of a token that does not count there is no vector, and nothing that could be as published.
        let row = marked[at].scored.iter().position(|p| p == position);
        let row = row.map(|row| vectors.tokens.rows(encoded.places[at]).start + row);
        let ours = match (row, &vectors.data) {
            (Some(row), RowBuf::Float32(data)) => &data[row * vectors.tokens.dim..(row + 1) * vectors.tokens.dim],
            _ => &[],
        };
        Some(Label { name: sequence, what: "vector prefix", source }.prefix(float32, ours, *cosine_min))
    };
    published.first_vectors.iter().filter_map(check).collect()
}

async fn scores(model: &Model, published: &PublishedModel, encoded: &Encoded, watch: &dyn Watch) -> Result<Vec<Check>> {
    if published.scores.is_empty() {
        return Ok(Vec::new());
    }
    let place = |name: &str| published.sequence(name).map_or(0, |at| encoded.places[at] as u32);
    let pairs: Vec<(u32, u32)> = published.scores.iter().map(|s| (place(&s.query), place(&s.document))).collect();
    let offsets = |vectors: &TokenEmbeddings| vectors.tokens.offsets.iter().map(|&o| o as u64).collect::<Vec<u64>>();
    let both = [&encoded.queries, &encoded.documents];
    let [q, d] = both.map(offsets);
    let [queries, documents] = [(&encoded.queries, &q), (&encoded.documents, &d)].map(|(vectors, offsets)| {
        let data = match &vectors.data {
            RowBuf::Float32(data) => data.as_slice(),
            _ => &[],
        };
        TokenVectors { data: RowData::Float32(data), offsets, dim: vectors.tokens.dim }
    });
    let options = maxsim::Options { pairs: Some(&pairs), normalize: false };
    let ours = Scorer::new().score(model.backend(), queries, documents, options, watch).await?;
    let check = |(PublishedScore { source, query, document, score, atol, rtol }, ours): (&PublishedScore, &f32)| {
        let name = format!("{query} / {document}");
        Label { name: &name, what: "maxsim", source }.near(*score, f64::from(*ours), [*atol, *rtol])
    };
    Ok(published.scores.iter().zip(&ours).map(check).collect())
}
