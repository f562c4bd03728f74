//! Documents from files and folders: Markdown, web pages and plain text, each a text of its own.

use std::fs;
use std::path::Path;

use pplx_embed::{Error, Result};

use super::html;
use super::progress::Console;

/// Largest file of a folder that is read, in bytes.
const LARGEST: u64 = 8 << 20;
/// Most files that are read, and how deep folders lie in one another.
const MAX_FILES: usize = 1_000_000;
const MAX_DEPTH: usize = 64;
/// What is text, but none for readers.
const DATA: [&str; 12] = ["json", "csv", "tsv", "xml", "svg", "lock", "map", "css", "yaml", "yml", "toml", "ipynb"];

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A text on each line.
    Lines,
    /// JSON on each line.
    JsonLines,
    /// A text for readers: Markdown, or any other.
    Text,
    /// A web page.
    Html,
}

impl Format {
    /// Their names, for `--format`.
    pub(crate) const NAMES: [(&str, Self); 4] =
        [("lines", Self::Lines), ("jsonl", Self::JsonLines), ("text", Self::Text), ("html", Self::Html)];

    /// By the file's name, in lower case or not; `None` for other kinds.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "txt" => Some(Self::Lines),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "md" | "markdown" | "mdx" | "rst" | "adoc" | "org" => Some(Self::Text),
            "html" | "htm" | "xhtml" => Some(Self::Html),
            _ => None,
        }
    }

    /// What a reader sees of `text`.
    pub(crate) fn readable(self, text: String) -> String {
        if self == Self::Html { html::text(&text) } else { text }
    }
}

/// A file of a folder, with its path there, parts parted by `/`.
pub(crate) struct FolderFile {
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) text: String,
}

/// The files under `folder` that have text, in the order of their names, a folder's own where its name stands. Hidden
/// ones, large ones and those that are no text for readers are left out, and counted for the user. Links to folders are
/// not followed.
///
/// # Errors
/// [`Error::Io`] naming what cannot be read, [`Error::InvalidArgument`] naming `argument` if there is no such file.
pub(crate) fn folder(folder: &Path, argument: &str, console: &Console) -> Result<Vec<FolderFile>> {
    let mut walk = Walk::default();
    walk.folder(folder, "", 0)?;
    let Walk { files, hidden, large, other } = walk;
    let skipped: Vec<String> = [(hidden, "hidden"), (large, "larger than 8 MiB"), (other, "not text for readers")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if files.is_empty() {
        let skipped = if skipped.is_empty() {
            "is empty".into()
        } else {
            format!("has only files that are {}", skipped.join(", "))
        };
        let message = format!("{} {skipped}; Markdown, HTML, plain text and .jsonl are read", folder.display());
        return Err(Error::InvalidArgument { argument: argument.into(), message });
    }
    if !skipped.is_empty() {
        console.note(&format!("note: {} files are read; skipped: {}", files.len(), skipped.join(", ")));
    }
    Ok(files)
}

#[derive(Default)]
struct Walk {
    files: Vec<FolderFile>,
    hidden: usize,
    large: usize,
    other: usize,
}

impl Walk {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<()> {
        let failed = |e: std::io::Error| Error::Io { file: folder.display().to_string(), message: e.to_string() };
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            entries.push((entry.file_name(), entry.file_type().map_err(failed)?));
        }
        entries.sort_by(|(a, _), (b, _)| a.as_encoded_bytes().cmp(b.as_encoded_bytes()));
        for (name, kind) in entries {
            let path = folder.join(&name);
            // Names that are no Unicode have no id.
            let Some(name) = name.to_str() else {
                self.other += 1;
                continue;
            };
            if name.starts_with('.') {
                self.hidden += 1;
            } else if kind.is_dir() && depth < MAX_DEPTH {
                self.folder(&path, &format!("{prefix}{name}/"), depth + 1)?;
            } else {
                self.file(&path, format!("{prefix}{name}"))?;
            }
            if self.files.len() > MAX_FILES {
                let message = format!("has more than {MAX_FILES} files, which is as many as are read");
                return Err(Error::Io { file: folder.display().to_string(), message });
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: String) -> Result<()> {
        let failed = |e: std::io::Error| Error::Io { file: path.display().to_string(), message: e.to_string() };
        // What a link leads to, if to anything.
        let about = match fs::metadata(path) {
            Ok(about) if about.is_file() => about,
            _ => {
                self.other += 1;
                return Ok(());
            }
        };
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        if extension.is_some_and(|extension| DATA.contains(&extension.as_str())) {
            self.other += 1;
        } else if about.len() > LARGEST {
            self.large += 1;
        } else {
            let bytes = fs::read(path).map_err(failed)?;
            match String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')) {
                Some(text) => {
                    // A text file among documents is one; its lines are texts where it is given by itself.
                    let format = Format::of(path).filter(|format| *format != Format::Lines).unwrap_or(Format::Text);
                    let text = text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text);
                    self.files.push(FolderFile { name, format, text: format.readable(text) });
                }
                None => self.other += 1,
            }
        }
        Ok(())
    }
}
