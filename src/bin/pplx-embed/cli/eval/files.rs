//! The files of a set, line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use pplx_embed::{Error, Result};

/// Longest line, in bytes.
const LONGEST: u64 = 64 << 20;

/// The lines of a file that are not blank.
pub(super) struct Lines<'a> {
    path: &'a Path,
    file: BufReader<File>,
    number: usize,
}

/// One of them.
pub(super) struct TextLine<'a> {
    path: &'a Path,
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) text: String,
}

impl<'a> Lines<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| failed(path, &e))?;
        Ok(Self { path, file: BufReader::with_capacity(1 << 20, file), number: 0 })
    }

    /// The next line, blank or not.
    fn read(&mut self) -> Result<Option<TextLine<'a>>> {
        let mut bytes = Vec::new();
        let count =
            (&mut self.file).take(LONGEST + 1).read_until(b'\n', &mut bytes).map_err(|e| failed(self.path, &e))?;
        if count == 0 {
            return Ok(None);
        }
        self.number += 1;
        let line = |text| TextLine { path: self.path, number: self.number, text };
        if count as u64 > LONGEST {
            return Err(line(String::new()).error(&format!("has more than {LONGEST} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| line(String::new()).error("is not UTF-8"))?;
        let text =
            if self.number == 1 { text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text) } else { text };
        Ok(Some(line(text)))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<TextLine<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read().transpose()? {
                Ok(line) if line.text.trim().is_empty() => {}
                line => return Some(line),
            }
        }
    }
}

impl TextLine<'_> {
    /// Parsed.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.text).map_err(|e| self.error(&e.to_string()))
    }

    pub(super) fn error(&self, message: &str) -> Error {
        let Self { path, number, .. } = self;
        Error::Io { file: path.display().to_string(), message: format!("line {number}: {message}") }
    }
}

pub(super) fn failed(path: &Path, error: &std::io::Error) -> Error {
    let file = path.display().to_string();
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            let place = path.parent().map_or(String::new(), |p| p.display().to_string());
            let file = path.file_name().map_or(file, |name| name.to_string_lossy().into_owned());
            Error::NotFound { file, place }
        }
        _ => Error::Io { file, message: error.to_string() },
    }
}

/// The split of `folder` that was asked for, or else `test`, or else the only one: its name and its file.
pub(super) fn splits(folder: &Path, asked: Option<&str>) -> Result<(String, PathBuf)> {
    let qrels = folder.join("qrels");
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&qrels).map_err(|e| failed(&qrels, &e))? {
        let path = entry.map_err(|e| failed(&qrels, &e))?.path();
        if path.extension().is_some_and(|e| e == "tsv") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    let there = |name: &str| names.iter().any(|n| n == name);
    let chosen = match (asked, &names[..]) {
        (Some(name), _) if there(name) => name,
        (None, _) if there("test") => "test",
        (None, [only]) => only,
        (asked, _) => {
            let came = asked.map_or("is not given".into(), |name| format!("{name:?}"));
            let message = format!("{came}, {} has {}", qrels.display(), names.join(", "));
            return Err(Error::InvalidArgument { argument: "--split".into(), message });
        }
    };
    Ok((chosen.into(), qrels.join(format!("{chosen}.tsv"))))
}
