//! EmbeddedTexts kept in files, so that a run that was cut goes on, and another one need not make them again.
//!
//! Each stream of texts (the documents of a set, or its queries) has a folder, named by the SHA-256 of everything that
//! its vectors depend on; `about.json` in it says what that was. In it is a file for each block of documents:
//!
//! ```text
//! magic      8 bytes   "PPLXEVAL"
//! dimensions u32       D; all numbers are little-endian
//! texts      u32       n
//! counts     u32 [n]   vectors of each text
//! numbers    f32 [sum of counts, D]
//! crc        u32       CRC-32 of all before
//! ```
//!
//! A file that is not exactly this, for these texts, is made anew.

use std::path::{Path, PathBuf};

use pplx_embed::{Error, Result};
use sha2::{Digest, Sha256};

use super::vectors::{EmbeddedTexts, Texts};
use crate::cli::output;

const MAGIC: &[u8; 8] = b"PPLXEVAL";
const HEADER: usize = MAGIC.len() + 8;

/// The blocks of one stream of texts.
pub(super) struct Blocks<'a> {
    folder: PathBuf,
    documents: Texts<'a>,
    /// Documents in a block.
    size: usize,
    /// D.
    dim: usize,
}

impl<'a> Blocks<'a> {
    /// Those of `documents` under `place`. `about` is what else their vectors depend on.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be made.
    pub(super) fn open(
        place: &Path,
        about: &serde_json::Value,
        documents: Texts<'a>,
        [size, dim]: [usize; 2],
    ) -> Result<Self> {
        let about = serde_json::json!({ "of": about, "block": size, "documents": documents.len() }).to_string();
        let mut digest = Sha256::new();
        let mut part = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        part(about.as_bytes());
        for texts in &documents {
            part(&(texts.len() as u64).to_le_bytes());
            texts.iter().for_each(|text| part(text.as_bytes()));
        }
        let name: String = digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = place.join(name);
        std::fs::create_dir_all(&folder)
            .map_err(|e| Error::Io { file: folder.display().to_string(), message: e.to_string() })?;
        output::whole(&folder.join("about.json"), |file| std::io::Write::write_all(file, about.as_bytes()))?;
        Ok(Self { folder, documents, size, dim })
    }

    pub(super) fn len(&self) -> usize {
        self.documents.len().div_ceil(self.size)
    }

    /// The documents of block `i`: which, and their texts.
    pub(super) fn documents(&self, i: usize) -> (std::ops::Range<usize>, &[&'a [String]]) {
        let range = i * self.size..self.documents.len().min((i + 1) * self.size);
        (range.clone(), &self.documents[range])
    }

    fn path(&self, i: usize) -> PathBuf {
        self.folder.join(format!("{i:08}.block"))
    }

    /// The vectors of block `i`, if they are there and whole.
    pub(super) fn read(&self, i: usize) -> Option<EmbeddedTexts> {
        let bytes = std::fs::read(self.path(i)).ok()?;
        let texts = self.documents(i).1.iter().map(|texts| texts.len()).sum();
        parse(&bytes, texts, self.dim)
    }

    /// Keeps them.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn write(&self, i: usize, vectors: &EmbeddedTexts) -> Result<()> {
        let EmbeddedTexts { numbers, counts } = vectors;
        let mut bytes = Vec::with_capacity(HEADER + (counts.len() + numbers.len()) * 4 + 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend((self.dim as u32).to_le_bytes());
        bytes.extend((counts.len() as u32).to_le_bytes());
        counts.iter().for_each(|count| bytes.extend(count.to_le_bytes()));
        numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        output::whole(&self.path(i), |file| std::io::Write::write_all(file, &bytes))
    }
}

/// The vectors of `texts` texts in `dim` dimensions, if `bytes` are exactly that.
fn parse(bytes: &[u8], texts: usize, dim: usize) -> Option<EmbeddedTexts> {
    let (rest, crc) = bytes.split_last_chunk::<4>()?;
    let (magic, rest) = rest.split_first_chunk::<8>()?;
    let (of_dim, rest) = rest.split_first_chunk::<4>()?;
    let (of_texts, rest) = rest.split_first_chunk::<4>()?;
    let claimed = [of_dim, of_texts].map(|n| u32::from_le_bytes(*n) as usize);
    let (counts, numbers) = rest.split_at_checked(texts.checked_mul(4)?)?;
    let counts: Vec<u32> = words(counts).map(u32::from_le_bytes).collect();
    let rows = counts.iter().map(|&count| u64::from(count)).sum::<u64>();
    let fits = rows.checked_mul(dim as u64 * 4) == Some(numbers.len() as u64);
    let crc_fits = crc32fast::hash(&bytes[..bytes.len() - 4]) == u32::from_le_bytes(*crc);
    let whole = magic == MAGIC && claimed == [dim, texts] && fits && crc_fits;
    whole.then(|| EmbeddedTexts { counts, numbers: words(numbers).map(f32::from_le_bytes).collect() })
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    bytes.as_chunks::<4>().0.iter().copied()
}
