//! Adding items to an index, and removing them.

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};

use super::{LiveIndex, array};
use crate::error::{Error, Result};
use crate::index::{AddMode, IndexBytes, Item, ItemText};
use crate::model::Usage;
use crate::web::convert::{boolean, option};
use crate::web::page::Page;
use crate::web::text::{strings, text};
use crate::web::vectors::WebVectors;

pub(super) async fn add(live: &LiveIndex, request: &JsValue) -> Result<(Usage, IndexBytes)> {
    let page = Page::of(request)?;
    let ids = array(request, "ids")?;
    let ids = ids.iter().enumerate().map(|(i, id)| text(|| format!("items[{i}].id"), id));
    let ids = ids.collect::<Result<Vec<String>>>()?;
    let data: Vec<Option<String>> = array(request, "data")?.iter().map(|json| json.as_string()).collect();
    let items = ids.iter().zip(&data).map(|(id, data)| Item { id, data: data.as_deref() });
    let items: Vec<Item<'_>> = items.collect();
    let mode = if boolean(request, "upsert")?.unwrap_or(false) { AddMode::Upsert } else { AddMode::Add };
    let usage = if option(request, "texts")?.is_some() {
        let given = array(request, "texts")?;
        let given = given.iter().enumerate().map(|(i, value)| Given::of(i, value)).collect::<Result<Vec<_>>>()?;
        let chunks: Vec<Vec<&str>> = given.iter().map(Given::strings).collect();
        let texts: Vec<ItemText<'_>> = given.iter().zip(&chunks).map(|(given, chunks)| given.text(chunks)).collect();
        let mut index = live.index.lock().await;
        index.add_texts(&*live.model()?, &items, &texts, mode, &page).await.map_err(of_items)?
    } else {
        let vectors = WebVectors::of(request, "vectors")?;
        let mut index = live.index.lock().await;
        index.add(&items, vectors.tokens(), None, mode, &page).await.map_err(of_items)?;
        Usage::default()
    };
    Ok((usage, live.index.lock().await.bytes()))
}

pub(super) async fn remove(live: &LiveIndex, ids: &Array) -> Result<IndexBytes> {
    let ids = strings("ids", ids)?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut index = live.index.lock().await;
    index.remove(&ids).await?;
    Ok(index.bytes())
}

/// The content of an item.
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

    fn text<'a>(&'a self, chunks: &'a [&'a str]) -> ItemText<'a> {
        match self {
            Self::One(text) => ItemText::One(text),
            Self::Chunks(_) => ItemText::Chunks(chunks),
        }
    }
}

/// Names the argument as the page does: `vectors[3]` is `items[3].vector` there.
fn of_items(error: Error) -> Error {
    let Error::InvalidArgument { argument, message } = error else { return error };
    let named = |(list, field): (&str, &str)| {
        let (item, rest) = argument.strip_prefix(list)?.strip_prefix('[')?.split_once(']')?;
        Some(format!("items[{item}].{field}{rest}"))
    };
    let argument = [("vectors", "vector"), ("texts", "text")].into_iter().find_map(named).unwrap_or(argument);
    Error::InvalidArgument { argument, message }
}
