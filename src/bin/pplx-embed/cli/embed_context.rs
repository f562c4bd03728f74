//! `pplx-embed embed-context`

use pplx_embed::Result;
use pplx_embed::model::{ContextOptions, Data, Embeddings, LongDocuments, Prompt};

use super::arguments::EmbedContext;
use super::progress::Console;
use super::safetensors::{self, OutputTensor};
use super::{info, input, output};

/// Embeds the chunks of the documents of a file.
pub(crate) fn run(command: &EmbedContext) -> Result<()> {
    safetensors::check_path(command.output.as_deref())?;
    let documents = input::chunked(&command.input)?;
    let console = Console::new(command.common.origin.quiet);
    let model = command.common.load(&console)?;
    let embed = command.vectors.embed_options(Prompt::Default);
    let long_documents = if command.windows { LongDocuments::Window } else { LongDocuments::Error };
    let options = ContextOptions { embed, long_documents };
    let embeddings = pollster::block_on(model.embed_context(&documents, options, &console))?;
    console.done();
    let Some(path) = &command.output else { return print(&embeddings) };

    let rows: usize = embeddings.iter().map(|e| e.rows).sum();
    let tokens: usize = embeddings.iter().map(|e| e.usage.tokens).sum();
    let offsets = embeddings.iter().scan(0, |end, e| {
        *end += e.rows;
        Some(*end)
    });
    let mut tensors = vec![OutputTensor::counts("offsets", std::iter::once(0).chain(offsets))];
    let dtype = embeddings.first().map(Embeddings::dtype);
    // Without documents nobody knows the form, and there is nothing to be in it.
    let (dtype_name, columns) = embeddings.first().map_or(("F32", 0), |e| (dtype_of(&e.data), e.row_len()));
    let bytes = embeddings.iter().flat_map(|e| bytes_of(&e.data)).copied().collect();
    tensors.push(OutputTensor { name: "data", dtype: dtype_name, shape: vec![rows, columns], bytes });
    safetensors::write(path, tensors)?;
    if command.common.origin.json {
        let summary = serde_json::json!({
            "output": path, "documents": embeddings.len(), "shape": [rows, columns], "dtype": dtype,
            "usage": {"tokens": tokens},
        });
        return info::print(&summary.to_string());
    }
    let name = path.display();
    console.note(&format!("{name}: {rows} x {columns}, of {} documents, {tokens} tokens", embeddings.len()));
    Ok(())
}

fn dtype_of(data: &Data) -> &'static str {
    match data {
        Data::Float32(_) => "F32",
        Data::Int8(_) | Data::Binary(_) => "I8",
        Data::Ubinary(_) => "U8",
    }
}

fn bytes_of(data: &Data) -> &[u8] {
    match data {
        Data::Float32(data) => bytemuck::cast_slice(data),
        Data::Int8(data) | Data::Binary(data) => bytemuck::cast_slice(data),
        Data::Ubinary(data) => data,
    }
}

/// A line for each document: `{"index", "embeddings"}`.
fn print(embeddings: &[Embeddings]) -> Result<()> {
    output::json_lines(embeddings.iter().enumerate().map(|(index, e)| {
        let rows: Vec<_> = (0..e.rows).map(|row| output::row(e, row)).collect();
        serde_json::json!({"index": index, "embeddings": rows})
    }))
}
