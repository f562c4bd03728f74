//! Which files a set has, in the layouts that the Hub's retrieval sets come in.
//!
//! A set has three parts: `corpus`, `queries` and `qrels`, or with a subset `{subset}-corpus` and so on. A part is a file
//! (`corpus.jsonl.gz`) or a folder of files, whose names begin with the split they are of (`test.tsv`,
//! `test-00000-of-00001.parquet`), or lie in a folder with its name (`test/0000.parquet`).

use std::path::{Path, PathBuf};

use pplx_embed::{Error, Result};

use super::lines::failed;

/// Most files of a part.
const MAX_FILES: usize = 10_000;
/// Where judgements are, the first of these that is there.
const QRELS: [&str; 3] = ["qrels", "default", "data"];

/// How a file is written. Of several ways the last is the one that is read: it says most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FileKind {
    /// Columns of text, judgements only.
    Columns,
    /// A JSON object on each line.
    Jsonl,
    Parquet,
}

/// A file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetFile {
    pub(super) path: PathBuf,
    pub(super) kind: FileKind,
    /// The split that its name says it is of.
    split: String,
}

impl SetFile {
    /// A file by its name; `None` if it is of no known kind. `split` is that of its folder.
    fn of(path: PathBuf, split: Option<&str>) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let plain = name.strip_suffix(".gz").unwrap_or(name);
        let (stem, extension) = plain.rsplit_once('.')?;
        let kind = match extension {
            "jsonl" | "ndjson" => FileKind::Jsonl,
            "tsv" | "txt" | "qrels" | "qrel" | "trec" => FileKind::Columns,
            "parquet" if plain == name => FileKind::Parquet,
            _ => return None,
        };
        let split = split.unwrap_or_else(|| split_of(stem)).to_owned();
        (!name.starts_with('.')).then_some(Self { path, kind, split })
    }
}

/// The files of a set's three parts, in the order of their names.
pub(super) struct SetLayout {
    pub(super) split: String,
    pub(super) corpus: Vec<SetFile>,
    pub(super) queries: Vec<SetFile>,
    pub(super) qrels: Vec<SetFile>,
}

impl SetLayout {
    /// The files in `folder`, of `subset` if that is given. Of the splits of its judgements the one that was asked for, or
    /// else `test`, or else the only one; of the other parts' splits the same, or all where that is not among them.
    ///
    /// # Errors
    /// [`Error::NotFound`] naming a part that is not there, [`Error::InvalidArgument`] naming the splits or subsets that
    /// are; [`Error::Io`].
    pub(super) fn find(folder: &Path, subset: Option<&str>, asked: Option<&str>) -> Result<Self> {
        let named = |part: &str| subset.map_or_else(|| part.to_owned(), |subset| format!("{subset}-{part}"));
        let texts = |part: &str| -> Result<Vec<SetFile>> {
            let mut files = files(folder, &named(part))?;
            files.retain(|file| file.kind != FileKind::Columns);
            match files.is_empty() {
                true => Err(missing(folder, &named(part), subset)?),
                false => Ok(files),
            }
        };
        let (mut corpus, mut queries) = (texts("corpus")?, texts("queries")?);
        let mut qrels = Vec::new();
        for part in QRELS {
            // What is called "default" or "data" may also be something else, where the other parts have no such name.
            if qrels.is_empty() {
                qrels = files(folder, &named(part))?;
            }
        }
        if qrels.is_empty() {
            return Err(missing(folder, &named("qrels"), subset)?);
        }
        let split = split(&qrels, folder, asked)?;
        qrels.retain(|file| file.split == split);
        for part in [&mut corpus, &mut queries] {
            if part.iter().any(|file| file.split == split) {
                part.retain(|file| file.split == split);
            }
        }
        Ok(Self { split, corpus, queries, qrels })
    }
}

/// The split in the name of a file: what comes before `-00000-of-00001`.
fn split_of(stem: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let shard = stem.rsplit_once("-of-").filter(|(_, total)| digits(total)).and_then(|(rest, _)| rest.rsplit_once('-'));
    shard.filter(|(_, number)| digits(number)).map_or(stem, |(split, _)| split)
}

/// The files called `part` in `folder`: one of the kinds that are read, or those of a folder of that name.
fn files(folder: &Path, part: &str) -> Result<Vec<SetFile>> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        let file = SetFile::of(path, None).filter(|file| file.split == part && file.path.is_file());
        // A single file is of the usual split.
        found.extend(file.map(|file| SetFile { split: "test".into(), ..file }));
    }
    let folder = folder.join(part);
    if found.is_empty() && folder.is_dir() {
        for path in entries(&folder)? {
            if path.is_dir() {
                let split = path.file_name().map(|name| name.to_string_lossy().into_owned());
                found.extend(entries(&path)?.into_iter().filter_map(|path| SetFile::of(path, split.as_deref())));
            } else {
                found.extend(SetFile::of(path, None));
            }
        }
    }
    once(&mut found);
    match found.len() > MAX_FILES {
        true => {
            let message = format!("has {} files, allowed are {MAX_FILES}", found.len());
            Err(Error::Io { file: folder.display().to_string(), message })
        }
        false => Ok(found),
    }
}

/// Leaves out what is there twice: a split in several forms, a file packed as well as unpacked.
fn once(files: &mut Vec<SetFile>) {
    let all = files.clone();
    files.retain(|file| all.iter().all(|other| other.split != file.split || other.kind <= file.kind));
    let plain: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
    files.retain(|file| {
        let unpacked = file.path.extension().is_some_and(|e| e == "gz").then(|| file.path.with_extension(""));
        unpacked.is_none_or(|unpacked| !plain.contains(&unpacked))
    });
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| failed(folder, &e))? {
        paths.push(entry.map_err(|e| failed(folder, &e))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The error for a part that is not there; it names the subsets, if there are such.
fn missing(folder: &Path, part: &str, subset: Option<&str>) -> Result<Error> {
    let names = entries(folder)?;
    let names = names.iter().filter_map(|path| path.file_name()?.to_str());
    let subsets: Vec<String> =
        names.filter_map(|name| Some(name.split('.').next()?.strip_suffix("-corpus")?.to_owned())).collect();
    if !subsets.is_empty() && subset.is_none_or(|subset| !subsets.iter().any(|other| other == subset)) {
        let came = subset.map_or("is not given".into(), |subset| format!("{subset:?}"));
        let message = format!("{came}, {} has {}", folder.display(), subsets.join(", "));
        return Ok(Error::InvalidArgument { argument: "--subset".into(), message });
    }
    let (file, forms) = match part.ends_with("qrels") {
        true => (part.to_owned(), "a folder, .tsv, .txt, .jsonl or .parquet"),
        false => (format!("{part}.jsonl"), "nor as .jsonl.gz, .parquet or a folder of such"),
    };
    let place = format!("{} ({forms})", folder.display());
    Ok(Error::NotFound { file, place })
}

/// The split that was asked for, or else `test`, or else the only one.
fn split(qrels: &[SetFile], folder: &Path, asked: Option<&str>) -> Result<String> {
    let mut names: Vec<&str> = qrels.iter().map(|file| file.split.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let there = |name: &str| names.contains(&name);
    match (asked, &names[..]) {
        (Some(name), _) if there(name) => Ok(name.into()),
        (None, _) if there("test") => Ok("test".into()),
        (None, [only]) => Ok((*only).into()),
        (asked, _) => {
            let came = asked.map_or("is not given".into(), |name| format!("{name:?}"));
            let message = format!("{came}, {} has {}", folder.join("qrels").display(), names.join(", "));
            Err(Error::InvalidArgument { argument: "--split".into(), message })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split_of;

    #[test]
    fn names_of_files_say_their_split() {
        for (stem, split) in [
            ("test", "test"),
            ("test-00000-of-00001", "test"),
            ("my-dev-00000-of-00012", "my-dev"),
            ("corpus-00000-of-x", "corpus-00000-of-x"),
            ("0000", "0000"),
        ] {
            assert_eq!(split_of(stem), split);
        }
    }
}
