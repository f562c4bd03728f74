//! `pplx-embed embed`

use pplx_embed::Result;

use super::arguments::Embed;
use super::progress::Console;
use super::{input, output};

/// Embeds the texts of a file.
pub(crate) fn run(command: &Embed) -> Result<()> {
    // What can be refused without loading gigabytes is refused first.
    if let Some(path) = &command.output {
        output::check_npy(path)?;
    }
    let console = Console::new(command.common.origin.quiet);
    let input = input::texts(&command.input, command.text.format, &console)?;
    let model = command.common.load(&console)?;
    let options = command.vectors.embed_options(command.prompt.prompt()?);
    let slices: Vec<&str> = input.texts.iter().map(String::as_str).collect();
    let embeddings = pollster::block_on(model.embed(&slices, options, &console))?;
    console.done();
    for &index in &embeddings.usage.truncated {
        let limit = model.info().max_tokens;
        let name = input.name(index);
        console.note(&format!("note: text {name} was cut to the model's {limit} tokens"));
    }
    let Some(path) = &command.output else {
        return output::lines(output::text_fields(&input, command.text.no_text, &console), &embeddings);
    };
    output::npy(path, &embeddings)?;
    if command.common.origin.json {
        let mut summary = serde_json::json!({
            "output": path,
            "shape": [embeddings.rows, embeddings.row_len()],
            "dtype": embeddings.dtype(),
            "dimensions": embeddings.dimensions,
            "usage": embeddings.usage,
        });
        if let Some(ids) = &input.ids {
            summary["ids"] = serde_json::json!(ids);
        }
        super::info::print(&summary.to_string())
    } else {
        console.note(&format!(
            "{}: {} x {}, {} tokens",
            path.display(),
            embeddings.rows,
            embeddings.row_len(),
            embeddings.usage.tokens
        ));
        Ok(())
    }
}
