//! `pplx-embed verify`

mod check;
mod context;
mod dense;
mod goldens;
mod late;

use check::Check;
use goldens::Goldens;
use pplx_embed::Result;
use pplx_embed::model::ModelInfo;
use serde_json::json;

use super::arguments::Verify;
use super::progress::Console;
use super::{info, output};

/// Checks a model against what is published of it, and prints what came out. Gives whether all of it holds.
pub(crate) fn run(command: &Verify) -> Result<bool> {
    let goldens = Goldens::open(command.goldens.as_deref())?;
    let (id, argument) = match &command.known_as {
        Some(id) => (id, "--as"),
        None => (&command.common.origin.model, "--model"),
    };
    let published = goldens.of(id, argument)?;
    let console = Console::new(command.common.origin.quiet);
    // The values are of float32 weights; others are checked if they are asked for.
    let model = command.common.load_as("f32", &console)?;
    let info = model.info();
    if let (Some(theirs), Some(ours)) = (&published.revision, &info.revision)
        && theirs != ours
    {
        console.note(&format!("note: the values are of revision {theirs}, this is {ours}"));
    }
    let mut checks = dense::tokens(&model, published)?;
    pollster::block_on(async {
        checks.extend(dense::vectors(&model, published, &console).await?);
        checks.extend(context::documents(&model, published, &console).await?);
        checks.extend(late::sequences(&model, published, &console).await?);
        Ok::<(), pplx_embed::Error>(())
    })?;
    console.done();
    let failed = checks.iter().filter(|check| !check.holds()).count();
    if command.common.origin.json {
        let source = |check: &Check| goldens.sources.get(&check.source).cloned().unwrap_or_default();
        let summary = json!({
            "model": id, "loaded": info.id, "revision": info.revision, "weights": info.weights,
            "adapter": info.adapter, "checks": checks.len(), "failed": failed,
        });
        output::json_lines(checks.iter().map(|check| check.json(&source(check))).chain([summary]))?;
    } else {
        info::print(&table(id, &info, &checks))?;
    }
    Ok(failed == 0)
}

/// A line for each check, and what they were made with.
fn table(id: &str, info: &ModelInfo, checks: &[Check]) -> String {
    let head = ["name", "compared", "published", "ours", "worst", "allowed", ""].map(String::from);
    let row = |check: &Check| {
        let [published, ours] = [check.published, check.ours].map(|number| number.map_or("-".into(), short));
        // Of many numbers those at the worst place.
        let place = if check.count > 1 { format!(" [{}]", check.at) } else { String::new() };
        let verdict = if check.holds() { "ok" } else { "FAIL" };
        [
            check.name.clone(),
            if check.count > 1 { format!("{} {}", check.count, check.what) } else { check.what.into() },
            format!("{published}{place}"),
            ours,
            short(check.worst),
            short(check.allowed),
            verdict.into(),
        ]
    };
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(checks.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut lines: Vec<String> = Vec::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        lines.push(cells.collect::<Vec<_>>().join("  ").trim_end().to_owned());
    }
    let failed = checks.iter().filter(|check| !check.holds()).count();
    let held = checks.len() - failed;
    let software = if info.adapter.software { ", software" } else { "" };
    lines.push(format!(
        "{held} of {} hold: {id}, weights {}, on {} ({}{software})",
        checks.len(),
        info.weights.name(),
        info.adapter.name,
        info.adapter.backend,
    ));
    lines.join("\n")
}

/// A number in few characters.
fn short(number: f64) -> String {
    match number.abs() {
        _ if number.fract() == 0.0 => format!("{number}"),
        0.001.. => format!("{number:.5}"),
        _ => format!("{number:.1e}"),
    }
}
