//! Vectors to files and to standard output.

use std::io::{BufWriter, Write};
use std::path::Path;

use npyz::WriterBuilder;
use pplx_embed::model::{Data, Embeddings};
use pplx_embed::{Error, Result};

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

#[derive(serde::Serialize)]
struct EmbeddingLine<'a> {
    index: usize,
    text: &'a str,
    embedding: serde_json::Value,
}

/// A line for each text: `{"index", "text", "embedding"}`.
pub(crate) fn lines(texts: &[String], embeddings: &Embeddings) -> Result<()> {
    let texts = texts.iter().enumerate();
    json_lines(texts.map(|(index, text)| EmbeddingLine { index, text, embedding: row(embeddings, index) }))
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
