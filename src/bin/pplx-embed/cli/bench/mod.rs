//! `pplx-embed bench`

mod machine;
pub(crate) mod search;
mod texts;
mod times;

use std::path::Path;
use std::time::Instant;

use pplx_embed::model::late::{EncodeOptions, Role};
use pplx_embed::model::{EmbedOptions, Model, ModelKind, Usage};
use pplx_embed::{Error, Result};
use serde_json::{Value, json};

use super::arguments::Bench;
use super::info::print;
use super::input;
use super::progress::Console;

/// Texts of the ragged batch, in tokens: padded to the longest they would be 1,024 tokens instead of 416.
const MIXED: [usize; 8] = [8, 16, 24, 32, 48, 64, 96, 128];
/// Most texts of a case.
const MOST_TEXTS: usize = 1024;

/// What goes through the model in one call.
struct Case {
    name: String,
    texts: Vec<String>,
    /// Tokens of each text, without those that the model's prompt adds.
    lengths: Vec<usize>,
}

/// Times a model on this machine.
pub(crate) fn run(command: &Bench) -> Result<()> {
    times::check(command.seconds)?;
    let wanted = command.cases.iter().map(|name| parse(name)).collect::<Result<Vec<_>>>()?;
    let console = Console::new(command.common.origin.quiet);
    let own = command
        .input
        .iter()
        .map(|path| Ok((name_of(path), input::texts(path, None, &console)?.texts)))
        .collect::<Result<Vec<_>>>()?;

    let start = Instant::now();
    let model = command.common.load(&console)?;
    let open = start.elapsed().as_secs_f64();
    console.done();
    let cases = match own.is_empty() {
        true => made(&model, wanted, &console)?,
        false => own.into_iter().map(|(name, texts)| given(&model, name, texts)).collect::<Result<_>>()?,
    };
    let Some(shortest) = cases.first() else {
        let message = format!("this model reads {} tokens at most", model.info().max_tokens);
        return Err(Error::InvalidArgument { argument: "--cases".into(), message });
    };
    let start = Instant::now();
    embed(&model, &shortest.texts[..1])?;
    let first = start.elapsed().as_secs_f64();

    let human = !command.common.origin.json;
    if human {
        print(&heading(&model, open, first))?;
    }
    let mut measured = Vec::new();
    for case in &cases {
        let Some(line) = measure(&model, case, command.seconds, &console)? else { continue };
        if human {
            print(&row(&line))?;
        }
        measured.push(line);
    }
    let peak = machine::peak_memory();
    if human {
        let mib = peak.map_or("unknown".into(), |bytes| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)));
        return print(&format!("peak of memory: {mib}"));
    }
    print(
        &json!({
            "schema": 1,
            "version": env!("CARGO_PKG_VERSION"),
            "machine": machine::describe(),
            "info": model.info(),
            "load": { "openSeconds": open, "firstVectorSeconds": first },
            "cases": measured,
            "memory": { "peakBytes": peak },
        })
        .to_string(),
    )
}

/// The lengths, in tokens, of a case called `name`.
fn parse(name: &str) -> Result<(String, Vec<usize>)> {
    let (count, tokens) = name.split_once('x').unwrap_or(("1", name));
    let lengths = match (count.parse::<usize>(), tokens.parse::<usize>()) {
        _ if name == "mixed" => MIXED.to_vec(),
        (Ok(count), Ok(tokens)) if (1..=MOST_TEXTS).contains(&count) && tokens > 0 => vec![tokens; count],
        _ => {
            let message =
                format!("{name:?}, allowed are numbers of tokens, of up to {MOST_TEXTS} texts as in 32x128, and mixed");
            return Err(Error::InvalidArgument { argument: "--cases".into(), message });
        }
    };
    Ok((name.into(), lengths))
}

/// Cases of made-up texts; those that are too long for the model are left out.
fn made(model: &Model, wanted: Vec<(String, Vec<usize>)>, console: &Console) -> Result<Vec<Case>> {
    let limit = model.info().max_tokens as usize;
    let mut cases = Vec::new();
    for (name, lengths) in wanted {
        if lengths.iter().any(|&tokens| tokens > limit) {
            console.note(&format!("note: {name} is left out: the model reads {limit} tokens at most"));
            continue;
        }
        let texts =
            lengths.iter().enumerate().map(|(i, &n)| texts::of(model.tokenizer(), n, i)).collect::<Result<_>>()?;
        cases.push(Case { name, texts, lengths });
    }
    Ok(cases)
}

/// A case is called as its file is.
fn name_of(path: &Path) -> String {
    path.file_stem().map_or("input".into(), |name| name.to_string_lossy().into_owned())
}

/// The case of a file's texts.
fn given(model: &Model, name: String, texts: Vec<String>) -> Result<Case> {
    if texts.is_empty() {
        let message = format!("{name} has no texts");
        return Err(Error::InvalidArgument { argument: "--input".into(), message });
    }
    let lengths = texts.iter().map(|text| Ok(model.tokenizer().encode(text)?.ids.len())).collect::<Result<_>>()?;
    Ok(Case { name, texts, lengths })
}

/// One call, in the form that the model gives by default.
fn embed<T: AsRef<str>>(model: &Model, texts: &[T]) -> Result<Usage> {
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    pollster::block_on(async {
        // Nobody watches: showing progress would take time from what is measured.
        if model.info().kind == ModelKind::Late {
            Ok(model.encode(Role::Document, &texts, EncodeOptions::default(), &()).await?.tokens.usage)
        } else {
            Ok(model.embed(&texts, EmbedOptions::default(), &()).await?.usage)
        }
    })
}

/// Runs a case until `seconds` are over; nothing if the model would cut one of its texts.
fn measure(model: &Model, case: &Case, seconds: f64, console: &Console) -> Result<Option<Value>> {
    let (times, usage) = times::time(&case.name, seconds, console, || embed(model, &case.texts))?;
    if !usage.truncated.is_empty() {
        console.note(&format!("note: {} is left out: the model would cut its texts", case.name));
        return Ok(None);
    }
    // A prompt adds as many tokens to each text.
    let added = (usage.tokens - case.lengths.iter().sum::<usize>()) / case.texts.len();
    let operations: u64 = case.lengths.iter().map(|&n| model.config().matmul_operations((n + added) as u64)).sum();
    Ok(Some(json!({
        "name": case.name,
        "texts": case.texts.len(),
        "tokens": usage.tokens,
        "runs": times.runs(),
        "tokensPerSecond": usage.tokens as f64 / times.median,
        "gflops": operations as f64 / times.median / 1e9,
        "seconds": times,
    })))
}

fn heading(model: &Model, open: f64, first: f64) -> String {
    let info = json!(model.info());
    // Engines differ in what they tell of themselves.
    let threads = info.get("threads").map_or(String::new(), |n| format!(", {n} threads"));
    let kernels: Vec<&str> = info["kernels"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    format!(
        "model     {}, {} layers, weights {}\n\
         device    {}: {}{threads}\n\
         machine   {}\n\
         kernels   {}\n\
         opening   {open:.2} s, then the first vector {first:.3} s\n\
         \n\
         {:>8} {:>6} {:>7} {:>5} {:>10} {:>10} {:>18} {:>8}",
        info["id"].as_str().unwrap_or_default(),
        info["layers"],
        info["weights"].as_str().unwrap_or_default(),
        info["device"].as_str().unwrap_or_default(),
        info["adapter"]["name"].as_str().unwrap_or_default(),
        machine::name(),
        kernels.join(", "),
        "case",
        "texts",
        "tokens",
        "runs",
        "median, ms",
        "tokens/s",
        "from - to",
        "GFLOP/s",
    )
}

fn row(line: &Value) -> String {
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let (tokens, seconds) = (number(&line["tokens"]), &line["seconds"]);
    let rate = |time: &Value| tokens / number(time);
    format!(
        "{:>8} {:>6} {:>7} {:>5} {:>10.1} {:>10.0} {:>18} {:>8.1}",
        line["name"].as_str().unwrap_or_default(),
        line["texts"].to_string(),
        line["tokens"].to_string(),
        line["runs"].to_string(),
        1000.0 * number(&seconds["median"]),
        number(&line["tokensPerSecond"]),
        format!("{:.0} - {:.0}", rate(&seconds["most"]), rate(&seconds["least"])),
        number(&line["gflops"]),
    )
}
