//! `pplx-embed encode`

use std::path::Path;

use pplx_embed::Result;
use pplx_embed::model::late::{EncodeOptions, MarkerPosition, TokenEmbeddings};
use pplx_embed::numbers::RowBuf;

use super::arguments::Encode;
use super::output::TextFields;
use super::progress::Console;
use super::safetensors::{self, OutputTensor};
use super::{info, input, output};

/// Encodes the texts of a file for late interaction.
pub(crate) fn run(command: &Encode) -> Result<()> {
    safetensors::check_path(command.output.as_deref())?;
    let options = EncodeOptions {
        dtype: command.dtype,
        marker_position: MarkerPosition::try_from(command.marker_position)?,
        pool_factor: command.pool_factor,
    };
    let console = Console::new(command.common.origin.quiet);
    let input = input::texts(&command.input, command.text.format, &console)?;
    let model = command.common.load(&console)?;
    let slices: Vec<&str> = input.texts.iter().map(String::as_str).collect();
    let embeddings = pollster::block_on(model.encode(command.role, &slices, options, &console))?;
    console.done();
    for &index in &embeddings.tokens.usage.truncated {
        console.note(&format!("note: text {} was cut to the length the model reads", input.name(index)));
    }
    let Some(path) = &command.output else {
        return print(output::text_fields(&input, command.text.no_text, &console), &embeddings);
    };
    write(path, &embeddings)?;
    let shape = [embeddings.tokens.ids.len(), embeddings.data.format().row_len(embeddings.tokens.dim)];
    if command.common.origin.json {
        let mut summary = serde_json::json!({
            "output": path, "texts": embeddings.tokens.texts(), "shape": shape, "dtype": embeddings.data.format(),
            "dimensions": embeddings.tokens.dim, "usage": embeddings.tokens.usage,
        });
        if let Some(ids) = &input.ids {
            summary["ids"] = serde_json::json!(ids);
        }
        return info::print(&summary.to_string());
    }
    let (name, [rows, columns]) = (path.display(), shape);
    console.note(&format!("{name}: {rows} x {columns}, of {} texts", embeddings.tokens.texts()));
    Ok(())
}

/// `data` `[N, D]` (bits `[N, ceil(D/8)]`), `offsets` I64 `[n + 1]`, `ids` I64 `[N]`, of codes `scales` F32 `[N]`, and
/// `ranges` I64 `[N, 2]`: bytes of the text, both 0 for what stands for none.
fn write(path: &Path, embeddings: &TokenEmbeddings) -> Result<()> {
    let shape = [embeddings.tokens.ids.len(), embeddings.data.format().row_len(embeddings.tokens.dim)];
    let ranges = embeddings.tokens.ranges.iter().flat_map(|r| r.map_or([0, 0], |(from, to)| [from, to]));
    let mut ranges = OutputTensor::counts("ranges", ranges);
    ranges.shape = vec![shape[0], 2];
    let mut tensors = vec![
        OutputTensor::counts("offsets", embeddings.tokens.offsets.iter().copied()),
        OutputTensor::counts("ids", embeddings.tokens.ids.iter().map(|&id| id as usize)),
        ranges,
    ];
    if let RowBuf::Int8 { scales: Some(scales), .. } = &embeddings.data {
        tensors.push(OutputTensor::new("scales", "F32", &shape[..1], scales));
    }
    tensors.push(match &embeddings.data {
        RowBuf::Float32(data) => OutputTensor::new("data", "F32", &shape, data),
        RowBuf::Float16(data) => OutputTensor::new("data", "F16", &shape, data),
        RowBuf::Int8 { codes, .. } => OutputTensor::new("data", "I8", &shape, codes),
        RowBuf::Binary(data) => OutputTensor::new("data", "U8", &shape, data),
    });
    safetensors::write(path, tensors)
}

/// A line of [`print()`].
#[derive(serde::Serialize)]
struct TokensLine<'a> {
    #[serde(flatten)]
    text: TextFields<'a>,
    tokens: &'a [u32],
    embeddings: Vec<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scales: Option<&'a [f32]>,
}

/// A line for each text: `{"index", "id", "text", "textCut", "tokens", "embeddings"}`, and `"scales"` of codes.
fn print(texts: Vec<TextFields<'_>>, embeddings: &TokenEmbeddings) -> Result<()> {
    let columns = embeddings.data.format().row_len(embeddings.tokens.dim);
    output::json_lines(texts.into_iter().enumerate().map(|(index, text)| {
        let rows = embeddings.tokens.rows(index);
        let row = |row: usize| {
            let own = row * columns..(row + 1) * columns;
            match &embeddings.data {
                RowBuf::Float32(data) => serde_json::json!(data[own]),
                RowBuf::Float16(data) => {
                    serde_json::json!(data[own].iter().map(|v| v.to_f32()).collect::<Vec<_>>())
                }
                RowBuf::Int8 { codes, .. } => serde_json::json!(codes[own]),
                RowBuf::Binary(data) => serde_json::json!(data[own]),
            }
        };
        let scales = match &embeddings.data {
            RowBuf::Int8 { scales: Some(scales), .. } => Some(&scales[rows.clone()]),
            _ => None,
        };
        let vectors = rows.clone().map(row).collect();
        TokensLine { text, tokens: &embeddings.tokens.ids[rows], embeddings: vectors, scales }
    }))
}
