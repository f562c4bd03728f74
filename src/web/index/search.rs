//! Searching an index, and explaining hits.

use js_sys::{Float32Array, Uint8Array, Uint32Array};
use wasm_bindgen::JsValue;

use super::{LiveIndex, array};
use crate::error::{Error, Result};
use crate::index::{Hit, SearchOptions};
use crate::maxsim::{Match, TokenVectors};
use crate::model::late::{EncodeOptions, Role, TokenEmbeddings};
use crate::web::convert::{object, object_of, option, string, whole, whole_numbers};
use crate::web::page::Page;
use crate::web::text::{Utf16, strings, text};
use crate::web::vectors::WebVectors;

pub(super) async fn search(live: &LiveIndex, request: &JsValue) -> Result<Vec<Vec<Hit>>> {
    let page = Page::of(request)?;
    let default = SearchOptions::default();
    let mask: Option<Uint8Array> = object(request, "mask", "a Uint8Array")?;
    let mask = mask.map(|mask| mask.to_vec());
    let passes = mask.map(|mask| move |at: usize| mask.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1));
    let options = SearchOptions {
        k: whole(request, "k")?.map_or(default.k, |k| k as usize),
        filter: passes.as_ref().map(|passes| passes as &dyn Fn(usize) -> bool),
        rescore: whole(request, "rescore")?.unwrap_or(default.rescore),
        candidates: whole(request, "candidates")?.unwrap_or(default.candidates),
    };
    let index = live.index.lock().await;
    if option(request, "texts")?.is_some() {
        let texts = strings("queries", &array(request, "texts")?)?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        return index.search_texts(&*live.model()?, &texts, options, &page).await;
    }
    index.search(WebVectors::of(request, "vectors")?.tokens(), options, &page).await
}

pub(super) fn give_hits(hits: &[Vec<Hit>]) -> Result<JsValue, JsValue> {
    let mut offsets = vec![0];
    offsets.extend(hits.iter().scan(0, |end, hits| {
        *end += hits.len();
        Some(*end)
    }));
    let all: Vec<Hit> = hits.concat();
    let positions: Vec<usize> = all.iter().map(|hit| hit.position).collect();
    let scores: Vec<f32> = all.iter().map(|hit| hit.score).collect();
    let chunks: Vec<u32> = all.iter().map(|hit| hit.chunk).collect();
    object_of(&[
        ("offsets", whole_numbers(&offsets)),
        ("positions", whole_numbers(&positions)),
        ("scores", Float32Array::from(scores.as_slice()).into()),
        ("chunks", Uint32Array::from(chunks.as_slice()).into()),
    ])
}

/// The matches of an item, and what is needed to say where they are.
pub(super) struct Explanation {
    matches: Vec<Match>,
    /// A start and an end for each match, in UTF-16 code units of the item's text.
    ranges: Option<Vec<usize>>,
    /// The text of the query and its tokens, if it was a text.
    query: Option<(String, TokenEmbeddings)>,
}

pub(super) async fn explain(live: &LiveIndex, request: &JsValue) -> Result<Explanation> {
    let page = Page::of(request)?;
    let id = string(request, "id")?.ok_or_else(|| Error::argument("id", "is missing"))?;
    let item = option(request, "text")?.map(|value| text(|| "text".into(), value)).transpose()?;
    let index = live.index.lock().await;
    let (matches, query) = if option(request, "texts")?.is_some() {
        let asked = text(|| "query".into(), array(request, "texts")?.get(0))?;
        let encoded = live.model()?.encode(Role::Query, &[&asked], EncodeOptions::default(), &page).await?;
        let offsets = [0, encoded.tokens.ids.len() as u64];
        let query = TokenVectors { data: encoded.data.as_data(), offsets: &offsets, dim: encoded.tokens.dim };
        (index.explain(query, &id, &page).await?, Some((asked, encoded)))
    } else {
        (index.explain(WebVectors::of(request, "vectors")?.tokens(), &id, &page).await?, None)
    };
    let ranges = match (item, index.ranges(&id)) {
        (Some(text), Some(ranges)) => Some(places(&matches, ranges, &text)?),
        _ => None,
    };
    Ok(Explanation { matches, ranges, query })
}

/// Where the tokens of `matches` are in `text`, in UTF-16 code units. `ranges` has the bytes of each of its tokens.
fn places(matches: &[Match], ranges: &[(u32, u32)], text: &str) -> Result<Vec<usize>> {
    let last = ranges.iter().map(|range| range.1 as usize).max().unwrap_or(0);
    if last > text.len() {
        let message = format!("has {} bytes as UTF-8, allowed is the text of the item, of {last} or more", text.len());
        return Err(Error::argument("text", message));
    }
    let units = Utf16::of(text);
    let of = |m: &Match| ranges.get(m.token as usize).map_or([0, 0], |&(start, end)| [start as usize, end as usize]);
    Ok(matches.iter().flat_map(of).map(|byte| units.at(byte)).collect())
}

pub(super) fn give_matches(Explanation { matches, ranges, query }: Explanation) -> Result<JsValue, JsValue> {
    let tokens: Vec<u32> = matches.iter().map(|m| m.token).collect();
    let similarities: Vec<f32> = matches.iter().map(|m| m.similarity).collect();
    let (mut query_ids, mut query_ranges) = (JsValue::UNDEFINED, JsValue::UNDEFINED);
    if let Some((text, encoded)) = query {
        let units = Utf16::of(&text);
        let of = |range: &Option<(usize, usize)>| range.map_or([0, 0], |(start, end)| [start, end]);
        let places: Vec<usize> = encoded.tokens.ranges.iter().flat_map(of).map(|byte| units.at(byte)).collect();
        query_ids = Uint32Array::from(encoded.tokens.ids.as_slice()).into();
        query_ranges = whole_numbers(&places);
    }
    object_of(&[
        ("tokens", Uint32Array::from(tokens.as_slice()).into()),
        ("similarities", Float32Array::from(similarities.as_slice()).into()),
        ("ranges", ranges.map_or(JsValue::UNDEFINED, |ranges| whole_numbers(&ranges))),
        ("queryIds", query_ids),
        ("queryRanges", query_ranges),
    ])
}
