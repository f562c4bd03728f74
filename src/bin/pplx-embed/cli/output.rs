//! Vectors to files and to standard output.

use std::io::{BufWriter, Write};
use std::path::Path;

use npyz::WriterBuilder;
use pplx_embed::model::{Data, Embeddings};
use pplx_embed::{Error, Result};

use super::input::InputTexts;
use super::progress::Console;

/// Refuses a path that is not of a `.npy` file, before there is anything to write.
pub(crate) fn check_npy(path: &Path) -> Result<()> {
    if path.extension().is_some_and(|e| e == "npy") {
        return Ok(());
    }
    let message = format!("{}, allowed is a .npy file", path.display());
    Err(Error::InvalidArgument { argument: "--output".into(), message })
}

/// Writes `[n, D]` (for packed bits `[n, ceil(D/8)]`) to a `.npy` file.
pub(crate) fn npy(path: &Path, embeddings: &Embeddings) -> Result<()> {
    let shape = [embeddings.rows as u64, embeddings.row_len() as u64];
    whole(path, |file| match &embeddings.data {
        Data::Float32(data) => array(file, &shape, data),
        Data::Int8(data) | Data::Binary(data) => array(file, &shape, data),
        Data::Ubinary(data) => array(file, &shape, data),
    })
}

/// Writes numbers of this shape to a `.npy` file.
pub(crate) fn numbers(path: &Path, shape: &[u64], data: &[f32]) -> Result<()> {
    whole(path, |file| array(file, shape, data))
}

/// A file that appears under its name once it is whole.
pub(crate) fn whole(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<std::fs::File>) -> std::io::Result<()>,
) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(std::fs::File::create(&part)?);
        fill(&mut file)?;
        file.into_inner()?.sync_all()?;
        std::fs::rename(&part, path)
    };
    write().map_err(|e| {
        drop(std::fs::remove_file(&part));
        Error::Io { file: path.display().to_string(), message: e.to_string() }
    })
}

fn array<T: npyz::Serialize + npyz::AutoSerialize + Copy>(
    file: impl Write,
    shape: &[u64],
    data: &[T],
) -> std::io::Result<()> {
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(file).begin_nd()?;
    writer.extend(data.iter().copied())?;
    writer.finish()
}

/// Most characters of a text that are printed beside its vectors.
pub(crate) const SHOWN: usize = 1000;

/// The beginning of a text, at most `most` characters, and how many more it has.
pub(crate) fn beginning(text: &str, most: usize) -> (&str, usize) {
    match text.char_indices().nth(most) {
        Some((end, _)) => (&text[..end], text[end..].chars().count()),
        None => (text, 0),
    }
}

/// What is printed of a text.
#[derive(serde::Serialize)]
pub(crate) struct TextFields<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// Characters that are left out of the text.
    #[serde(rename = "textCut", skip_serializing_if = "Option::is_none")]
    cut: Option<usize>,
}

/// What is printed of each text: its id, if it has one, and its beginning, unless there is to be no text. The user hears if
/// any is cut.
pub(crate) fn text_fields<'a>(texts: &'a InputTexts, no_text: bool, console: &Console) -> Vec<TextFields<'a>> {
    let id = |index: usize| texts.ids.as_ref().and_then(|ids| Some(ids.get(index)?.as_str()));
    let fields = texts.texts.iter().enumerate().map(|(index, text)| {
        let (text, cut) = beginning(text, SHOWN);
        TextFields { index, id: id(index), text: (!no_text).then_some(text), cut: (!no_text && cut > 0).then_some(cut) }
    });
    let fields: Vec<TextFields<'a>> = fields.collect();
    let cut = fields.iter().filter(|fields| fields.cut.is_some()).count();
    if cut > 0 {
        console.note(&format!(
            "note: of {cut} texts only the first {SHOWN} characters are printed; --no-text leaves out all"
        ));
    }
    fields
}

#[derive(serde::Serialize)]
struct EmbeddingLine<'a> {
    #[serde(flatten)]
    text: TextFields<'a>,
    embedding: serde_json::Value,
}

/// A line for each text: `{"index", "id", "text", "textCut", "embedding"}`, `id` for documents of a folder.
pub(crate) fn lines(texts: Vec<TextFields<'_>>, embeddings: &Embeddings) -> Result<()> {
    let lines = texts.into_iter().enumerate();
    json_lines(lines.map(|(index, text)| EmbeddingLine { text, embedding: row(embeddings, index) }))
}

/// Row `index`, as JSON.
pub(crate) fn row(embeddings: &Embeddings, index: usize) -> serde_json::Value {
    let row = index * embeddings.row_len()..(index + 1) * embeddings.row_len();
    match &embeddings.data {
        Data::Float32(data) => serde_json::json!(data[row]),
        Data::Int8(data) | Data::Binary(data) => serde_json::json!(data[row]),
        Data::Ubinary(data) => serde_json::json!(data[row]),
    }
}

/// Lines of JSON to standard output; an error if nobody reads them.
pub(crate) fn json_lines(lines: impl Iterator<Item = impl serde::Serialize>) -> Result<()> {
    let io = |e: std::io::Error| Error::Io { file: "standard output".into(), message: e.to_string() };
    let mut out = BufWriter::new(std::io::stdout());
    for line in lines {
        let line = serde_json::to_string(&line).map_err(|e| io(e.into()))?;
        writeln!(out, "{line}").map_err(io)?;
    }
    out.flush().map_err(io)
}
