//! Late interaction: MaxSim over the rows of every item, or of those that a first pass left.

use std::borrow::Cow;

use super::catalogue::Span;
use super::segment::RowStorage;
use super::top::HitKey;
use super::{Hit, Index, SearchOptions};
use crate::error::{Error, Result};
use crate::maxsim::{Match, Options, TokenVectors};
use crate::progress::{Progress, Watch};
use crate::top_k::TopK;

/// Which rows of a segment are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SearchedRows {
    Signs,
    Exact,
}

impl Index {
    /// [`Index::search`] of a late index; `spans` are the items of each segment that may be hits.
    pub(super) async fn search_late(
        &self,
        queries: &TokenVectors<'_>,
        spans: &[Cow<'_, [Span]>],
        options: &SearchOptions<'_>,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<Hit>>> {
        let rows = spans.iter().flat_map(|spans| spans.iter()).map(|span| u64::from(span.rows)).sum::<u64>();
        let progress = Counted::new(watch, rows * queries.count() as u64);
        if self.store.layout.signs.is_none() {
            return self.score_all(queries, spans, SearchedRows::Exact, options.k, &progress).await;
        }
        let candidates = options.k.max(options.candidates as usize);
        let near = self.score_all(queries, spans, SearchedRows::Signs, candidates, &progress).await?;
        let mut tops: Vec<TopK<HitKey>> = near.iter().map(|_| TopK::new(options.k)).collect();
        for (segment, spans) in spans.iter().enumerate() {
            // The candidates that are here, in the order of their rows.
            let mut wanted: Vec<(u32, u32)> = Vec::new();
            for (query, near) in (0..).zip(&near) {
                let here = near.iter().filter_map(|hit| {
                    let place = self.items.get(hit.position)?.place;
                    (self.store.at(place) == Some(segment)).then_some(place.first)
                });
                wanted.extend(here.map(|first| (query, spans.partition_point(|s| s.first < first) as u32)));
            }
            let mut chosen: Vec<u32> = wanted.iter().map(|w| w.1).collect();
            chosen.sort_unstable();
            chosen.dedup();
            let some: Vec<Span> = chosen.iter().map(|&i| spans[i as usize]).collect();
            for (_, span) in &mut wanted {
                *span = chosen.partition_point(|c| c < span) as u32;
            }
            let scores = self.scores(queries, segment, SearchedRows::Exact, &some, Some(&wanted), &progress).await?;
            for (&(query, span), score) in wanted.iter().zip(scores) {
                tops[query as usize].push_hit(Hit { position: some[span as usize].position, score, chunk: 0 });
            }
        }
        Ok(tops.into_iter().map(TopK::hits).collect())
    }

    /// The best `k` items for each query.
    async fn score_all(
        &self,
        queries: &TokenVectors<'_>,
        spans: &[Cow<'_, [Span]>],
        searched: SearchedRows,
        k: usize,
        watch: &Counted<'_>,
    ) -> Result<Vec<Vec<Hit>>> {
        let mut tops: Vec<TopK<HitKey>> = (0..queries.items()).map(|_| TopK::new(k)).collect();
        let most = (self.store.sizes.scores / queries.items()).max(1);
        for (segment, spans) in spans.iter().enumerate() {
            for some in spans.chunks(most) {
                let scores = self.scores(queries, segment, searched, some, None, watch).await?;
                for (top, scores) in tops.iter_mut().zip(scores.chunks_exact(some.len())) {
                    for (span, &score) in some.iter().zip(scores) {
                        top.push_hit(Hit { position: span.position, score, chunk: 0 });
                    }
                }
                let rows = some.iter().map(|span| u64::from(span.rows)).sum::<u64>();
                watch.done.set(watch.done.get() + rows * queries.count() as u64);
            }
        }
        Ok(tops.into_iter().map(TopK::hits).collect())
    }

    /// The scores of these items of a segment: `[queries, spans]`, or one for each of `pairs` of a query and a span.
    async fn scores(
        &self,
        queries: &TokenVectors<'_>,
        segment: usize,
        searched: SearchedRows,
        spans: &[Span],
        pairs: Option<&[(u32, u32)]>,
        watch: &Counted<'_>,
    ) -> Result<Vec<f32>> {
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Ok(Vec::new()) };
        let segment = &self.store.segments()[segment];
        let storage = match searched {
            SearchedRows::Exact => &segment.rows,
            SearchedRows::Signs => segment.signs.as_ref().unwrap_or(&segment.rows),
        };
        // Rows in host memory are counted from the first that is wanted, those on the device from the buffer's start.
        let all = first.first as usize..last.range().end as usize;
        let base = if matches!(storage, RowStorage::Host(_)) { u64::from(first.first) } else { 0 };
        // What lies between two items is an item that nobody asks for.
        let (mut offsets, mut items) = (vec![0], Vec::with_capacity(spans.len()));
        for span in spans {
            if offsets[offsets.len() - 1] < u64::from(span.first) - base {
                offsets.push(u64::from(span.first) - base);
            }
            items.push(offsets.len() as u32 - 1);
            offsets.push(u64::from(span.range().end) - base);
        }
        let (documents, wanted) = (offsets.len() - 1, spans.iter().map(|span| u64::from(span.rows)).sum::<u64>());
        let with_item = |&(query, span): &(u32, u32)| (query, items[span as usize]);
        let every = |query: u32| items.iter().map(move |&item| (query, item));
        let pairs: Option<Vec<(u32, u32)>> = match pairs {
            Some(pairs) => Some(pairs.iter().map(with_item).collect()),
            // What little nobody asks for is scored too: that is cheaper than to name all else.
            None if offsets[documents] <= wanted * 2 => None,
            None => Some((0..queries.items() as u32).flat_map(every).collect()),
        };
        let options = Options { pairs: pairs.as_deref(), normalize: false };
        let backend = &self.store.backend;
        let scores = match storage {
            RowStorage::Host(rows) => {
                self.scorer.score(backend, *queries, rows.tokens(all, &offsets), options, watch).await?
            }
            RowStorage::Device(rows) => {
                let documents = rows.resident(&offsets);
                self.scorer.score_resident(backend, *queries, documents, options.pairs, watch).await?
            }
        };
        if pairs.is_some() || documents == spans.len() {
            return Ok(scores);
        }
        let of_query = |scores: &[f32]| items.iter().map(|&item| scores[item as usize]).collect::<Vec<_>>();
        Ok(scores.chunks_exact(documents).flat_map(of_query).collect())
    }

    /// [`Index::explain`] for the item at `position`.
    pub(super) async fn explain_late(
        &self,
        query: &TokenVectors<'_>,
        position: usize,
        watch: &dyn Watch,
    ) -> Result<Vec<Match>> {
        let Some(place) = self.items.get(position).map(|item| item.place) else { return Ok(Vec::new()) };
        let Some(at) = self.store.at(place) else { return Ok(Vec::new()) };
        let mut rows = self.store.layout.rows.empty();
        self.store.segments()[at].rows.read(place.first..place.first + place.rows, &mut rows).await?;
        let offsets = [0, u64::from(place.rows)];
        let both = [*query, rows.tokens(0..place.rows as usize, &offsets)];
        if watch.cancelled() {
            return Err(Error::Aborted);
        }
        self.scorer.explain(&self.store.backend, both, (0, 0), false, watch).await
    }
}

/// Hears how far each part of a search is, and tells how far all of it is.
struct Counted<'a> {
    watch: &'a dyn Watch,
    /// Similarities of the parts before.
    done: std::cell::Cell<u64>,
    total: u64,
}

impl<'a> Counted<'a> {
    fn new(watch: &'a dyn Watch, total: u64) -> Self {
        Self { watch, done: std::cell::Cell::new(0), total }
    }
}

impl Watch for Counted<'_> {
    fn cancelled(&self) -> bool {
        self.watch.cancelled()
    }

    fn progress(&self, progress: Progress) {
        if let Progress::Score { done, .. } = progress {
            let done = (self.done.get() + done).min(self.total);
            self.watch.progress(Progress::Score { done, total: self.total });
        }
    }
}
