//! The files of a set, line by line, packed by gzip or not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use pplx_embed::{Error, Result, hub};

use super::rows::RowPlace;

/// Longest line, in bytes.
const LONGEST: u64 = 64 << 20;

/// The lines of a file that are not blank.
pub(super) struct Lines {
    file: BufReader<Box<dyn Read>>,
    place: RowPlace,
}

/// One of them.
pub(super) struct TextLine {
    pub(super) place: RowPlace,
    pub(super) text: String,
}

impl Lines {
    /// Those of `path`; of what is packed in it, if it ends with `.gz`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = open(path)?;
        let bytes: Box<dyn Read> = match path.extension().is_some_and(|e| e == "gz") {
            true => Box::new(MultiGzDecoder::new(BufReader::new(file))),
            false => Box::new(file),
        };
        let place = RowPlace { file: Rc::from(path.display().to_string()), unit: "line", number: 0 };
        Ok(Self { file: BufReader::with_capacity(1 << 20, bytes), place })
    }

    /// The next line, blank or not.
    fn read(&mut self) -> Result<Option<TextLine>> {
        let mut bytes = Vec::new();
        self.place.number += 1;
        let place = self.place.clone();
        let read = (&mut self.file).take(LONGEST + 1).read_until(b'\n', &mut bytes);
        let count = read.map_err(|e| place.error(&e.to_string()))?;
        if count == 0 {
            return Ok(None);
        }
        if count as u64 > LONGEST {
            return Err(place.error(&format!("has more than {LONGEST} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| place.error("is not UTF-8"))?;
        let text =
            if place.number == 1 { text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text) } else { text };
        Ok(Some(TextLine { place, text }))
    }
}

impl Iterator for Lines {
    type Item = Result<TextLine>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read().transpose()? {
                Ok(line) if line.text.trim().is_empty() => {}
                line => return Some(line),
            }
        }
    }
}

/// Opens a file of a set, at its start.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Io`], also for a pointer of Git LFS.
pub(super) fn open(path: &Path) -> Result<File> {
    let mut file = File::open(path).map_err(|e| failed(path, &e))?;
    let mut start = Vec::new();
    let read = (&mut file).take(hub::POINTER.len() as u64).read_to_end(&mut start).and_then(|_| file.rewind());
    read.map_err(|e| failed(path, &e))?;
    hub::refuse_pointer(&path.display().to_string(), &start)?;
    Ok(file)
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
