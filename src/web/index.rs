//! Search indexes.

use std::rc::Rc;
use std::sync::Arc;

use async_lock::Mutex;
use js_sys::{Array, Float32Array, Promise, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::future_to_promise;

use super::late::Utf16;
use super::maxsim::{Vectors, adapter};
use super::{
    Page, WebModel, boolean, object, object_of, option, plain, string, strings, text, thrown, typed, whole,
    whole_numbers,
};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::hub::LocalFile;
use crate::hub::cache::settled;
use crate::index::{
    Hit, Index, IndexBytes, IndexOptions, Item, Kind, Mode, OpenOptions, RowType, SearchOptions, Sink, Text,
};
use crate::maxsim::{Match, TokenData, Tokens};
use crate::model::late::{self, EncodeOptions, Role, TokenEmbeddings};
use crate::model::{Model, Usage};

#[wasm_bindgen]
extern "C" {
    /// What of `Writing` of `js/hosts/files.ts` a saved index is written with.
    type Appending;
    #[wasm_bindgen(method, catch)]
    fn append(this: &Appending, bytes: &[u8]) -> Result<JsValue, JsValue>;
}

impl Sink for Appending {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        settled("index", self.append(bytes)).await.map(drop)
    }
}

/// A search index in this thread. Freeing it while a call runs takes effect when that ends.
#[wasm_bindgen]
pub struct WebIndex(Rc<Held>);

struct Held {
    /// What makes vectors of texts.
    model: Option<Rc<Model>>,
    device: &'static str,
    index: Mutex<Index>,
}

/// Makes an index of vectors, on the CPU where there is no GPU. Options: `kind`, `dtype`, `dimensions`, and optionally
/// `memory` and `firstPass`.
#[wasm_bindgen(js_name = createIndex)]
pub async fn create_index(options: JsValue) -> Result<WebIndex, JsValue> {
    create(None, &options).await.map_err(thrown)
}

/// Opens a saved index of vectors, on the CPU where there is no GPU. `file` is a `Reading` of `js/hosts/files.ts`.
/// Options: `memory`, `recover`, `signal`, `onProgress`.
#[wasm_bindgen(js_name = openIndex)]
pub async fn open_index(file: JsValue, options: JsValue) -> Result<WebIndex, JsValue> {
    open(None, file, &options).await.map_err(thrown)
}

#[wasm_bindgen]
impl WebModel {
    /// [`create_index`], on the model's device and for its texts.
    #[wasm_bindgen(js_name = createIndex)]
    pub fn create_index(&self, options: JsValue) -> Promise {
        let model = Rc::clone(&self.0);
        future_to_promise(async move { create(Some(model), &options).await.map(JsValue::from).map_err(thrown) })
    }

    /// [`open_index`], on the model's device and for its texts.
    #[wasm_bindgen(js_name = openIndex)]
    pub fn open_index(&self, file: JsValue, options: JsValue) -> Promise {
        let model = Rc::clone(&self.0);
        future_to_promise(async move { open(Some(model), file, &options).await.map(JsValue::from).map_err(thrown) })
    }
}

async fn create(model: Option<Rc<Model>>, options: &JsValue) -> Result<WebIndex> {
    let missing = |name: &str| Error::argument(name, "is missing");
    let kind: Kind = string(options, "kind")?.ok_or_else(|| missing("kind"))?.parse()?;
    let rows: RowType = string(options, "dtype")?.ok_or_else(|| missing("dtype"))?.parse()?;
    let dim = whole(options, "dimensions")?.ok_or_else(|| missing("dimensions"))? as usize;
    let index = IndexOptions {
        rows,
        memory: memory(options)?,
        model: model.as_ref().map(|model| model.info().id),
        first_pass: boolean(options, "firstPass")?.unwrap_or(false),
        ..IndexOptions::new(kind, dim)
    };
    let gpu = device(model.as_deref()).await?;
    Ok(WebIndex::of(model, gpu.is_some(), Index::new(gpu, index)?))
}

async fn open(model: Option<Rc<Model>>, file: JsValue, options: &JsValue) -> Result<WebIndex> {
    let file = LocalFile::new("index", file);
    let page = Page::of(options)?;
    let recover = boolean(options, "recover")?.unwrap_or(false);
    let open = OpenOptions { memory: memory(options)?, recover, ..OpenOptions::default() };
    let gpu = device(model.as_deref()).await?;
    Ok(WebIndex::of(model, gpu.is_some(), Index::open(gpu, &file, open, &page).await?))
}

async fn device(model: Option<&Model>) -> Result<Option<Arc<Gpu>>> {
    match model {
        Some(model) => Ok(Some(Arc::clone(model.gpu()))),
        None => adapter().await,
    }
}

fn memory(options: &JsValue) -> Result<Option<u64>> {
    let fits = |n: &f64| n.fract() == 0.0 && (0.0..=9e15).contains(n);
    typed(options, "memory", "a whole number of bytes", |v| v.as_f64().filter(fits).map(|n| n as u64))
}

impl WebIndex {
    fn of(model: Option<Rc<Model>>, gpu: bool, index: Index) -> Self {
        let device = if gpu { "webgpu" } else { "cpu" };
        Self(Rc::new(Held { model, device, index: Mutex::new(index) }))
    }
}

#[wasm_bindgen]
impl WebIndex {
    /// What is known of it: `kind`, `dtype`, `dimensions`, `model`, `firstPass`, `device`, `bytes`.
    pub fn info(&self) -> Promise {
        let held = Rc::clone(&self.0);
        future_to_promise(async move { info(&held, &*held.index.lock().await) })
    }

    /// `ids`, and as JSON the `data`, of the items in their order.
    pub fn entries(&self) -> Promise {
        let held = Rc::clone(&self.0);
        future_to_promise(async move { entries(&*held.index.lock().await) })
    }

    /// Adds items. Of `request`: `ids`, `data` (JSON or undefined for each), either `texts` (strings or arrays of
    /// strings) or `vectors` (as for `WebScorer`, an item each), `upsert`, `signal`, `onProgress`. Gives `tokens`,
    /// `truncated`, `bytes`.
    pub fn add(&self, request: JsValue) -> Promise {
        let held = Rc::clone(&self.0);
        future_to_promise(async move {
            let (usage, bytes) = add(&held, &request).await.map_err(thrown)?;
            let tokens = (usage.tokens as f64).into();
            object_of(&[("tokens", tokens), ("truncated", whole_numbers(&usage.truncated)), ("bytes", plain(&bytes)?)])
        })
    }

    /// Takes out the items of an array of ids. Gives `bytes`.
    pub fn remove(&self, ids: Array) -> Promise {
        let held = Rc::clone(&self.0);
        future_to_promise(async move {
            let bytes = remove(&held, &ids).await.map_err(thrown)?;
            object_of(&[("bytes", plain(&bytes)?)])
        })
    }

    /// Searches. Of `request`: either `texts` or `vectors`, and optionally `k`, `rescore`, `candidates`, `mask` (a bit for
    /// each position, the first in the lowest), `signal`, `onProgress`. Gives `offsets` of each query's hits, and their
    /// `positions`, `scores` and `chunks`.
    pub fn search(&self, request: JsValue) -> Promise {
        let held = Rc::clone(&self.0);
        future_to_promise(async move { give_hits(&search(&held, &request).await.map_err(thrown)?) })
    }

    /// Explains the score of an item. Of `request`: `id`, either `texts` or `vectors` of one query, and optionally the
    /// item's `text`, `signal`, `onProgress`. Gives `tokens`, `similarities`, with a text the `ranges` of those tokens
    /// in it, and of a query that was a text `queryIds` and `queryRanges`.
    pub fn explain(&self, request: JsValue) -> Promise {
        let held = Rc::clone(&self.0);
        future_to_promise(async move { give_matches(explain(&held, &request).await.map_err(thrown)?) })
    }

    /// Writes the index to `file`, a `Writing` of `js/hosts/files.ts`, which stays open. Options: `signal`, `onProgress`.
    pub fn save(&self, file: JsValue, options: JsValue) -> Promise {
        let held = Rc::clone(&self.0);
        future_to_promise(async move {
            save(&held, file.unchecked_into(), &options).await.map_err(thrown)?;
            Ok(JsValue::UNDEFINED)
        })
    }
}

fn info(held: &Held, index: &Index) -> Result<JsValue, JsValue> {
    let IndexOptions { kind, rows, dim, model, first_pass, .. } = index.options();
    object_of(&[
        ("kind", plain(kind)?),
        ("dtype", plain(rows)?),
        ("dimensions", (*dim as f64).into()),
        ("model", model.as_deref().map_or(JsValue::UNDEFINED, JsValue::from)),
        ("firstPass", (*first_pass).into()),
        ("device", held.device.into()),
        ("bytes", plain(&index.bytes())?),
    ])
}

fn entries(index: &Index) -> Result<JsValue, JsValue> {
    let (ids, data) = (Array::new(), Array::new());
    for position in 0..index.len() {
        ids.push(&index.id(position).map_or(JsValue::UNDEFINED, JsValue::from));
        data.push(&index.data(position).map_or(JsValue::UNDEFINED, JsValue::from));
    }
    object_of(&[("ids", ids.into()), ("data", data.into())])
}

async fn add(held: &Held, request: &JsValue) -> Result<(Usage, IndexBytes)> {
    let page = Page::of(request)?;
    let ids = array(request, "ids")?;
    let ids = ids.iter().enumerate().map(|(i, id)| text(|| format!("items[{i}].id"), id));
    let ids = ids.collect::<Result<Vec<String>>>()?;
    let data: Vec<Option<String>> = array(request, "data")?.iter().map(|json| json.as_string()).collect();
    let items = ids.iter().zip(&data).map(|(id, data)| Item { id, data: data.as_deref() });
    let items: Vec<Item<'_>> = items.collect();
    let mode = if boolean(request, "upsert")?.unwrap_or(false) { Mode::Upsert } else { Mode::Add };
    let usage = if option(request, "texts")?.is_some() {
        let given = array(request, "texts")?;
        let given = given.iter().enumerate().map(|(i, value)| Given::of(i, value)).collect::<Result<Vec<_>>>()?;
        let chunks: Vec<Vec<&str>> = given.iter().map(Given::strings).collect();
        let texts: Vec<Text<'_>> = given.iter().zip(&chunks).map(|(given, chunks)| given.text(chunks)).collect();
        let mut index = held.index.lock().await;
        index.add_texts(held.model()?, &items, &texts, mode, &page).await.map_err(of_items)?
    } else {
        let vectors = Vectors::of(request, "vectors")?;
        let mut index = held.index.lock().await;
        index.add(&items, vectors.tokens(), None, mode, &page).await.map_err(of_items)?;
        Usage::default()
    };
    Ok((usage, held.index.lock().await.bytes()))
}

async fn remove(held: &Held, ids: &Array) -> Result<IndexBytes> {
    let ids = strings("ids", ids)?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut index = held.index.lock().await;
    index.remove(&ids).await?;
    Ok(index.bytes())
}

async fn search(held: &Held, request: &JsValue) -> Result<Vec<Vec<Hit>>> {
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
    let index = held.index.lock().await;
    if option(request, "texts")?.is_some() {
        let texts = strings("queries", &array(request, "texts")?)?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        return index.search_texts(held.model()?, &texts, options, &page).await;
    }
    index.search(Vectors::of(request, "vectors")?.tokens(), options, &page).await
}

fn give_hits(hits: &[Vec<Hit>]) -> Result<JsValue, JsValue> {
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

/// What an explanation is made of.
struct Explanation {
    matches: Vec<Match>,
    /// A start and an end for each match, in code units of the item's text.
    ranges: Option<Vec<usize>>,
    /// The query that was a text, and its tokens.
    query: Option<(String, TokenEmbeddings)>,
}

async fn explain(held: &Held, request: &JsValue) -> Result<Explanation> {
    let page = Page::of(request)?;
    let id = string(request, "id")?.ok_or_else(|| Error::argument("id", "is missing"))?;
    let item = option(request, "text")?.map(|value| text(|| "text".into(), value)).transpose()?;
    let index = held.index.lock().await;
    let (matches, query) = if option(request, "texts")?.is_some() {
        let asked = text(|| "query".into(), array(request, "texts")?.get(0))?;
        let encoded = held.model()?.encode(Role::Query, &[&asked], EncodeOptions::default(), &page).await?;
        let late::TokenData::Float32(numbers) = &encoded.data else {
            return Err(Error::unsupported("this form of token vectors", "allowed is float32"));
        };
        let offsets = [0, encoded.ids.len() as u64];
        let query = Tokens { data: TokenData::Float32(numbers), offsets: &offsets, dim: encoded.dim };
        (index.explain(query, &id, &page).await?, Some((asked, encoded)))
    } else {
        (index.explain(Vectors::of(request, "vectors")?.tokens(), &id, &page).await?, None)
    };
    let ranges = match (item, index.ranges(&id)) {
        (Some(text), Some(ranges)) => Some(places(&matches, ranges, &text)?),
        _ => None,
    };
    Ok(Explanation { matches, ranges, query })
}

/// Where in `text`, in code units, the tokens of `matches` are, whose bytes are `ranges`.
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

fn give_matches(Explanation { matches, ranges, query }: Explanation) -> Result<JsValue, JsValue> {
    let tokens: Vec<u32> = matches.iter().map(|m| m.token).collect();
    let similarities: Vec<f32> = matches.iter().map(|m| m.similarity).collect();
    let (mut query_ids, mut query_ranges) = (JsValue::UNDEFINED, JsValue::UNDEFINED);
    if let Some((text, encoded)) = query {
        let units = Utf16::of(&text);
        let of = |range: &Option<(usize, usize)>| range.map_or([0, 0], |(start, end)| [start, end]);
        let places: Vec<usize> = encoded.ranges.iter().flat_map(of).map(|byte| units.at(byte)).collect();
        query_ids = Uint32Array::from(encoded.ids.as_slice()).into();
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

async fn save(held: &Held, mut file: Appending, options: &JsValue) -> Result<()> {
    let page = Page::of(options)?;
    held.index.lock().await.save(&mut file, &page).await
}

impl Held {
    fn model(&self) -> Result<&Model> {
        let missing = || Error::argument("texts", "are given, and the index has no model; allowed are vectors");
        self.model.as_deref().ok_or_else(missing)
    }
}

/// What an item is made of.
enum Given {
    One(String),
    Chunks(Vec<String>),
}

impl Given {
    fn of(i: usize, value: JsValue) -> Result<Self> {
        match value.dyn_into::<Array>() {
            Ok(chunks) => strings(&format!("items[{i}].chunks"), &chunks).map(Self::Chunks),
            Err(value) => text(|| format!("items[{i}].text"), value).map(Self::One),
        }
    }

    fn strings(&self) -> Vec<&str> {
        match self {
            Self::One(_) => Vec::new(),
            Self::Chunks(chunks) => chunks.iter().map(String::as_str).collect(),
        }
    }

    fn text<'a>(&'a self, chunks: &'a [&'a str]) -> Text<'a> {
        match self {
            Self::One(text) => Text::One(text),
            Self::Chunks(_) => Text::Chunks(chunks),
        }
    }
}

/// An error by the name that the page has for the argument: `vectors[3]` came as `items[3].vector`.
fn of_items(error: Error) -> Error {
    let Error::InvalidArgument { argument, message } = error else { return error };
    let named = |(list, field): (&str, &str)| {
        let (item, rest) = argument.strip_prefix(list)?.strip_prefix('[')?.split_once(']')?;
        Some(format!("items[{item}].{field}{rest}"))
    };
    let argument = [("vectors", "vector"), ("texts", "text")].into_iter().find_map(named).unwrap_or(argument);
    Error::InvalidArgument { argument, message }
}

fn array(request: &JsValue, name: &str) -> Result<Array> {
    object(request, name, "an array")?.ok_or_else(|| Error::argument(name, "is missing"))
}
