//! What a saved index looks like. Numbers are little-endian, and there is no padding.
//!
//! | bytes | what |
//! |---|---|
//! | 7 | `PPLXIDX` |
//! | 1 | version, 1 |
//! | 4 | h, u32: bytes of the header |
//! | h | the header, JSON: `kind`, `rows` and `dim` as [`super::IndexOptions`] has them, `model` (or null), `firstPass`, and `items`, how many there are |
//! | 4 | CRC-32 (IEEE) of all bytes so far |
//!
//! Then come blocks:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | tag, u32: 1 for items, 2 for the end |
//! | 4 | p, u32: bytes of the payload |
//! | p | the payload |
//! | 4 | CRC-32 of tag, p and payload |
//!
//! The payload of items, which are whole and in the order they were added, and of which there are as many as make about
//! 4 MiB:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | n, u32: items of this block |
//! | 16 n | for each item four u32: bytes of its id, bytes of its data, its rows, and 1 if it has data + 2 if it has ranges |
//! | | for each item its id and its data, UTF-8 |
//! | | for each item with ranges, for each of its rows two u32: where in the text it starts and ends, in bytes |
//! | R b | the R rows of all items: `int8` and dense `binary` D codes each, `float32` 4 D bytes, `float16` 2 D, late `binary` ceil(D / 8), the first dimension in the highest bit |
//! | 4 R | late `int8`: each row's scale, float32 |
//! | R ceil(D / 8) | with `firstPass`: each row's signs, as `binary` |
//!
//! The payload of the end, which is the last block and the end of the file: u64, how many items there were.
//!
//! So a file that was cut, or of which a byte changed, is known by that, and what was whole before can be had.

use serde::{Deserialize, Serialize};

use super::rows::{HostRows, IndexLayout};
use super::{Index, IndexKind, IndexOptions, SegmentSizes};
use crate::numbers::RowFormat;

const MAGIC: &[u8; 7] = b"PPLXIDX";
const VERSION: u8 = 1;
/// Bytes before the header.
pub(super) const PREFIX: usize = 12;
/// Most bytes of a header.
const MAX_HEADER: usize = 1 << 20;
/// Bytes of a block before and after its payload.
pub(super) const BLOCK_HEAD: usize = 8;
pub(super) const CRC: usize = 4;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IndexHeader {
    kind: IndexKind,
    rows: RowFormat,
    dim: usize,
    model: Option<String>,
    first_pass: bool,
    pub(super) items: u64,
}

/// The start of a file, as far as it is understood.
pub(super) enum Prefix {
    /// The bytes of the header that follows.
    Header(usize),
    OtherVersion(u8),
    /// Why it is not the start of a saved index.
    Broken(String),
}

impl Prefix {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let Some((prefix, _)) = bytes.split_first_chunk::<PREFIX>() else {
            return Self::Broken(format!("has {} bytes, which is no saved index", bytes.len()));
        };
        if &prefix[..7] != MAGIC {
            return Self::Broken("does not start as a saved index does".into());
        }
        if prefix[7] != VERSION {
            return Self::OtherVersion(prefix[7]);
        }
        match number(&prefix[8..]) as usize {
            length if length <= MAX_HEADER => Self::Header(length),
            length => Self::Broken(format!("says that its header has {length} bytes")),
        }
    }
}

impl IndexHeader {
    pub(super) fn of(index: &Index) -> Self {
        let IndexOptions { kind, rows, dim, ref model, first_pass, .. } = index.options;
        Self { kind, rows, dim, model: model.clone(), first_pass, items: index.len() as u64 }
    }

    /// The start of a file.
    pub(super) fn bytes(&self) -> serde_json::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend((json.len() as u32).to_le_bytes());
        bytes.extend(json);
        seal(&mut bytes);
        Ok(bytes)
    }

    /// From the start of a file, up to the header's checksum.
    ///
    /// # Errors
    /// Why that cannot be.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = unseal(bytes).ok_or("has a header that was changed")?;
        let header: Self = serde_json::from_slice(&bytes[PREFIX..]).map_err(|e| format!("has a header that is {e}"))?;
        header.options(None, SegmentSizes::default()).check().map_err(|e| format!("has a header with {e}"))?;
        Ok(header)
    }

    pub(super) fn options(&self, memory: Option<u64>, sizes: SegmentSizes) -> IndexOptions {
        let Self { kind, rows, dim, ref model, first_pass, .. } = *self;
        IndexOptions { kind, rows, dim, memory, model: model.clone(), first_pass, sizes }
    }
}

/// A block.
pub(super) enum FileBlock {
    Items(Items),
    /// How many items there are.
    End(u64),
}

impl FileBlock {
    const ITEMS: u32 = 1;
    const END: u32 = 2;

    pub(super) fn bytes(&self) -> Vec<u8> {
        let (tag, payload) = match self {
            Self::Items(items) => (Self::ITEMS, items.bytes()),
            Self::End(items) => (Self::END, items.to_le_bytes().into()),
        };
        let mut bytes = Vec::with_capacity(payload.len() + BLOCK_HEAD + CRC);
        bytes.extend(tag.to_le_bytes());
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(payload);
        seal(&mut bytes);
        bytes
    }

    /// Bytes of a block, by its head.
    pub(super) fn length(head: &[u8]) -> u64 {
        BLOCK_HEAD as u64 + number(&head[4..]) + CRC as u64
    }

    /// From all bytes of a block.
    ///
    /// # Errors
    /// Why that cannot be.
    pub(super) fn parse(bytes: &[u8], layout: &IndexLayout) -> Result<Self, String> {
        let bytes = unseal(bytes).ok_or("it was changed")?;
        let payload = &bytes[BLOCK_HEAD..];
        match (number(bytes) as u32, payload.first_chunk()) {
            (Self::ITEMS, _) => Items::parse(payload, layout).map(Self::Items),
            (Self::END, Some(items)) if payload.len() == 8 => Ok(Self::End(u64::from_le_bytes(*items))),
            (tag, _) => Err(format!("its tag is {tag}, its length {}", payload.len())),
        }
    }
}

/// Some items, with their rows.
pub(super) struct Items {
    pub(super) items: Vec<SavedItem>,
    pub(super) rows: HostRows,
    pub(super) signs: Option<HostRows>,
}

pub(super) struct SavedItem {
    pub(super) id: String,
    pub(super) data: Option<String>,
    pub(super) ranges: Option<Box<[(u32, u32)]>>,
    pub(super) rows: u32,
}

impl Items {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = (self.items.len() as u32).to_le_bytes().to_vec();
        for item in &self.items {
            let data = item.data.as_ref().map_or(0, String::len) as u32;
            let flags = u32::from(item.data.is_some()) | u32::from(item.ranges.is_some()) << 1;
            for field in [item.id.len() as u32, data, item.rows, flags] {
                bytes.extend(field.to_le_bytes());
            }
        }
        for item in &self.items {
            bytes.extend(item.id.as_bytes());
            bytes.extend(item.data.iter().flat_map(|data| data.as_bytes()));
        }
        for (start, end) in self.items.iter().filter_map(|item| item.ranges.as_deref()).flatten() {
            bytes.extend(start.to_le_bytes());
            bytes.extend(end.to_le_bytes());
        }
        bytes.extend(self.rows.bytes(0..self.rows.len()));
        bytes.extend(bytemuck::cast_slice::<f32, u8>(self.rows.scales()));
        bytes.extend(self.signs.iter().flat_map(|signs| signs.bytes(0..signs.len())));
        bytes
    }

    fn parse(payload: &[u8], layout: &IndexLayout) -> Result<Self, String> {
        let mut rest = payload;
        let mut take = |count: usize, size: usize| {
            let bytes = count.checked_mul(size).and_then(|n| rest.split_at_checked(n));
            let (taken, left) = bytes.ok_or("it is shorter than its items")?;
            rest = left;
            Ok::<&[u8], String>(taken)
        };
        let count = number(take(1, 4)?) as usize;
        let table: Vec<[u32; 4]> = bytemuck::pod_collect_to_vec(take(count, 16)?);
        let text = |bytes: &[u8]| String::from_utf8(bytes.into()).map_err(|_| "it has text that is not UTF-8");
        let mut items = Vec::with_capacity(count);
        for &[id, data, rows, flags] in &table {
            let id = text(take(id as usize, 1)?)?;
            let data = text(take(data as usize, 1)?)?;
            let has = |flag: u32| flags & flag != 0;
            if flags > 3 || !has(1) && !data.is_empty() || has(2) && layout.dense {
                return Err(format!("item {id:?} has flags {flags}"));
            }
            items.push(SavedItem { id, data: has(1).then_some(data), ranges: None, rows });
        }
        for (item, [.., flags]) in items.iter_mut().zip(&table) {
            if flags & 2 != 0 {
                let ranges: Vec<[u32; 2]> = bytemuck::pod_collect_to_vec(take(item.rows as usize, 8)?);
                if ranges.iter().any(|[start, end]| start > end) {
                    return Err(format!("item {:?} has a range that ends before it starts", item.id));
                }
                item.ranges = Some(ranges.into_iter().map(|[start, end]| (start, end)).collect());
            }
        }
        let count = table.iter().map(|[.., rows, _]| u64::from(*rows)).sum::<u64>();
        let count = usize::try_from(count).map_err(|_| format!("it has {count} rows"))?;
        let mut rows = layout.rows.empty();
        rows.rows.extend_bytes(take(count, layout.rows.row_bytes())?);
        if layout.rows.scaled {
            rows.rows.extend_scales(bytemuck::pod_collect_to_vec::<u8, f32>(take(count, 4)?));
        }
        let mut signs = None;
        if let Some(layout) = layout.signs.as_ref().filter(|_| !layout.dense) {
            let signs: &mut HostRows = signs.insert(layout.empty());
            signs.rows.extend_bytes(take(count, layout.row_bytes())?);
        }
        match rest.len() {
            0 => Ok(Self { items, rows, signs }),
            more => Err(format!("it has {more} bytes more than its items")),
        }
    }
}

/// The u32 that `bytes`, four at least, start with.
fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |four| u32::from_le_bytes(*four)).into()
}

/// Appends the checksum.
fn seal(bytes: &mut Vec<u8>) {
    let crc = crc32fast::hash(bytes);
    bytes.extend(crc.to_le_bytes());
}

/// Without the checksum, if it is right and there is something before it.
fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, crc) = bytes.split_last_chunk::<CRC>()?;
    (bytes.len() >= BLOCK_HEAD && crc32fast::hash(bytes) == u32::from_le_bytes(*crc)).then_some(bytes)
}
