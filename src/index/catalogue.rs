//! Which items there are, and in which order.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::Item;

/// An item, and where its rows lie.
#[derive(Clone, Debug)]
pub(super) struct CatalogueEntry {
    pub(super) id: Arc<str>,
    /// JSON.
    pub(super) data: Option<Box<str>>,
    /// `[rows]`, bytes of the text.
    pub(super) ranges: Option<Box<[(u32, u32)]>>,
    pub(super) place: RowPlace,
}

/// The rows of an item: consecutive ones of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowPlace {
    /// The segment's name.
    pub(super) segment: u32,
    pub(super) first: u32,
    pub(super) rows: u32,
}

impl RowPlace {
    /// Of an item without rows.
    pub(super) const NOWHERE: Self = Self { segment: u32::MAX, first: 0, rows: 0 };
}

/// An item's rows in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) first: u32,
    pub(super) rows: u32,
    pub(super) position: usize,
}

impl Span {
    pub(super) fn range(&self) -> Range<u32> {
        self.first..self.first + self.rows
    }
}

/// The items in the order they were added, found by place or by id.
#[derive(Default)]
pub(super) struct Catalogue {
    entries: Vec<CatalogueEntry>,
    positions: HashMap<Arc<str>, usize>,
    /// Bytes of ids, data and ranges.
    bytes: u64,
    /// See [`Catalogue::spans`].
    spans: OnceLock<HashMap<u32, Vec<Span>>>,
}

impl Catalogue {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, position: usize) -> Option<&CatalogueEntry> {
        self.entries.get(position)
    }

    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.positions.get(id).copied()
    }

    pub(super) fn places(&self) -> impl Iterator<Item = RowPlace> {
        self.entries.iter().map(|entry| entry.place)
    }

    pub(super) fn places_mut(&mut self) -> impl Iterator<Item = &mut RowPlace> {
        self.spans.take();
        self.entries.iter_mut().map(|entry| &mut entry.place)
    }

    /// The items that have rows in the segment of this name, in the order of their rows. They are kept until an item changes:
    /// to go through all entries would take a search of vectors a third of its time.
    pub(super) fn spans(&self, segment: u32) -> &[Span] {
        let all = self.spans.get_or_init(|| {
            let mut all: HashMap<u32, Vec<Span>> = HashMap::new();
            for (position, RowPlace { segment, first, rows }) in self.places().enumerate().filter(|(_, p)| p.rows > 0) {
                all.entry(segment).or_default().push(Span { first, rows, position });
            }
            all.values_mut().for_each(|spans| spans.sort_unstable_by_key(|span| span.first));
            all
        });
        all.get(&segment).map_or(&[], Vec::as_slice)
    }

    /// Appends an item, whose id must be new.
    pub(super) fn push(&mut self, entry: CatalogueEntry) {
        self.spans.take();
        self.bytes += entry.bytes();
        self.positions.insert(Arc::clone(&entry.id), self.entries.len());
        self.entries.push(entry);
    }

    /// Takes out those of `ids` that are there. The others keep their order.
    pub(super) fn remove<'a>(&mut self, ids: impl Iterator<Item = &'a str>) -> Vec<CatalogueEntry> {
        let mut gone: Vec<usize> = ids.filter_map(|id| self.positions.remove(id)).collect();
        gone.sort_unstable();
        let Some(&first) = gone.first() else { return Vec::new() };
        self.spans.take();
        let mut next = gone.iter().copied().peekable();
        let mut removed = Vec::with_capacity(gone.len());
        for (position, entry) in (first..).zip(self.entries.split_off(first)) {
            if next.next_if_eq(&position).is_some() {
                self.bytes -= entry.bytes();
                removed.push(entry);
            } else {
                if let Some(place) = self.positions.get_mut(&entry.id) {
                    *place = self.entries.len();
                }
                self.entries.push(entry);
            }
        }
        removed
    }

    pub(super) fn bytes(&self) -> u64 {
        let spans = self.spans.get().map_or(0, |all| all.values().map(|spans| size_of_val(&**spans)).sum());
        self.bytes + spans as u64
    }
}

impl CatalogueEntry {
    pub(super) fn new(item: &Item<'_>, ranges: Option<Box<[(u32, u32)]>>, place: RowPlace) -> Self {
        Self { id: item.id.into(), data: item.data.map(Into::into), ranges, place }
    }

    fn bytes(&self) -> u64 {
        let ranges = self.ranges.as_ref().map_or(0, |r| size_of_val(&**r));
        (size_of::<Self>() + self.id.len() + self.data.as_ref().map_or(0, |d| d.len()) + ranges) as u64
    }
}
