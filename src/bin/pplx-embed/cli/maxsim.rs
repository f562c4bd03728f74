//! `pplx-embed maxsim`

use std::io::{BufWriter, Write};
use std::path::Path;

use pplx_embed::checkpoint::Header;
use pplx_embed::hub::{Cursor, Folder, Reader, Source};
use pplx_embed::maxsim::{Match, Options, Scorer, TokenVectors};
use pplx_embed::numbers::RowBuf;
use pplx_embed::{Error, Result};

use super::arguments::Maxsim;
use super::output;
use super::progress::Console;

/// Scores the token vectors of one file against those of another.
pub(crate) fn run(command: &Maxsim) -> Result<()> {
    if let Some(path) = &command.output {
        output::check_npy(path)?;
    }
    let queries = TokenFile::read("--queries", &command.queries)?;
    let documents = TokenFile::read("--documents", &command.documents)?;
    let pairs = command.pairs.as_deref().map(pairs).transpose()?;
    // Bits alone do not tell where a row ends within its last byte.
    let known = [&queries, &documents].into_iter().find(|v| !v.is_bits()).map(|v| v.dim);
    let [queries, documents] = [&queries, &documents].map(|v| v.tokens(known));
    let console = Console::new(command.quiet);
    let (backend, _) = pollster::block_on(command.drivers.open(command.device, command.threads, &console))?;
    let scorer = Scorer::new();
    if let [query, document] = command.explain[..] {
        let (both, pair) = ([queries, documents], (query, document));
        let matches = pollster::block_on(scorer.explain(&backend, both, pair, command.normalize, &console))?;
        console.done();
        return print_matches(&matches);
    }
    let options = Options { pairs: pairs.as_deref(), normalize: command.normalize };
    let scores = pollster::block_on(scorer.score(&backend, queries, documents, options, &console))?;
    console.done();
    let items = documents.items();
    match (&command.output, &pairs) {
        (Some(path), None) => output::numbers(path, &[queries.items() as u64, items as u64], &scores),
        (Some(path), Some(_)) => output::numbers(path, &[scores.len() as u64], &scores),
        (None, Some(pairs)) => print_scores(pairs.iter().copied().zip(scores)),
        (None, None) => print_scores(
            (0..).zip(scores).map(|(i, score): (usize, _)| (((i / items) as u32, (i % items) as u32), score)),
        ),
    }
}

#[derive(serde::Serialize)]
struct PairScore {
    query: u32,
    document: u32,
    /// `null` for an empty document: JSON has no infinity.
    score: f32,
}

fn print_scores(scores: impl Iterator<Item = ((u32, u32), f32)>) -> Result<()> {
    print_lines(scores.map(|((query, document), score)| PairScore { query, document, score }))
}

#[derive(serde::Serialize)]
struct TokenMatch {
    query_token: usize,
    document_token: u32,
    similarity: f32,
}

fn print_matches(matches: &[Match]) -> Result<()> {
    let line = |(query_token, m): (usize, &Match)| TokenMatch {
        query_token,
        document_token: m.token,
        similarity: m.similarity,
    };
    print_lines(matches.iter().enumerate().map(line))
}

fn print_lines(lines: impl Iterator<Item = impl serde::Serialize>) -> Result<()> {
    let io = |e: std::io::Error| Error::Io { file: "standard output".into(), message: e.to_string() };
    let mut out = BufWriter::new(std::io::stdout());
    for line in lines {
        serde_json::to_writer(&mut out, &line).map_err(|e| io(e.into()))?;
        writeln!(out).map_err(io)?;
    }
    out.flush().map_err(io)
}

/// A line for each pair: `[query, document]`.
fn pairs(path: &Path) -> Result<Vec<(u32, u32)>> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| Error::Io { file: file.clone(), message: e.to_string() })?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let pair = |(number, line): (usize, &str)| {
        let wrong = |_| Error::Io { file: file.clone(), message: format!("line {number}: not [query, document]") };
        serde_json::from_str(line).map_err(wrong)
    };
    lines.map(pair).collect()
}

/// The token vectors of a file.
struct TokenFile {
    numbers: RowBuf,
    offsets: Vec<u64>,
    /// RowBuf in a row; for bits, eight a byte.
    dim: usize,
}

impl TokenFile {
    /// Of a safetensors file: `data` `[N, D]` of F32, F16, I8 (with `scales` F32 `[N]`) or U8 (bits), and `offsets` I64
    /// `[n + 1]`. Other tensors are passed over.
    fn read(argument: &str, path: &Path) -> Result<Self> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
            let message = format!("{}, allowed is a safetensors file", path.display());
            return Err(Error::InvalidArgument { argument: argument.into(), message });
        };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        pollster::block_on(Self::parse(&Folder::new(folder), name))
    }

    async fn parse(folder: &Folder, file: &str) -> Result<Self> {
        let wrong = |message: String| Error::InvalidCheckpoint { file: file.into(), message };
        let mut cursor = Cursor::Stream(Reader::new(file, folder.open(file).await?));
        let header = Header::read(&mut cursor).await?;
        let mut next = header.data_start;
        let (mut data, mut offsets, mut scales) = (None, None, None);
        for tensor in header.tensors {
            let at = next;
            next += tensor.bytes;
            let axes = if tensor.name == "data" { 2 } else { 1 };
            let allowed: &[&str] = match tensor.name.as_str() {
                "data" => &["F32", "F16", "I8", "U8"],
                "offsets" => &["I64"],
                "scales" => &["F32"],
                _ => continue,
            };
            if tensor.shape.len() != axes || !allowed.contains(&tensor.dtype.as_str()) {
                let came = format!("{} {:?}", tensor.dtype, tensor.shape);
                return Err(wrong(format!("tensor {}: {came}, allowed are {axes} axes of {allowed:?}", tensor.name)));
            }
            cursor.seek(at).await?;
            let bytes = cursor.exact(tensor.bytes).await?;
            match tensor.name.as_str() {
                "data" => data = Some((tensor, bytes)),
                "offsets" => offsets = Some(bytemuck::pod_collect_to_vec::<u8, i64>(&bytes)),
                _ => scales = Some(bytemuck::pod_collect_to_vec(&bytes)),
            }
        }
        let (tensor, bytes) = data.ok_or_else(|| wrong("has no tensor data".into()))?;
        let offsets = offsets.ok_or_else(|| wrong("has no tensor offsets".into()))?;
        let offsets = offsets.into_iter().map(|o| u64::try_from(o).map_err(|_| wrong(format!("offsets hold {o}"))));
        let numbers = match tensor.dtype.as_str() {
            "F32" => RowBuf::Float32(bytemuck::pod_collect_to_vec(&bytes)),
            "F16" => RowBuf::Float16(bytemuck::pod_collect_to_vec(&bytes)),
            "I8" => RowBuf::Int8 { codes: bytemuck::pod_collect_to_vec(&bytes), scales },
            _ => RowBuf::Binary(bytes),
        };
        let width = usize::try_from(tensor.shape[1]).unwrap_or(usize::MAX);
        let dim = if matches!(numbers, RowBuf::Binary(_)) { width.saturating_mul(8) } else { width };
        Ok(Self { numbers, offsets: offsets.collect::<Result<_>>()?, dim })
    }

    fn is_bits(&self) -> bool {
        matches!(self.numbers, RowBuf::Binary(_))
    }

    /// Their view; bits have `known` dimensions if their rows can be that long.
    fn tokens(&self, known: Option<usize>) -> TokenVectors<'_> {
        let known = known.filter(|known| self.is_bits() && known.div_ceil(8) * 8 == self.dim);
        TokenVectors { data: self.numbers.as_data(), offsets: &self.offsets, dim: known.unwrap_or(self.dim) }
    }
}
