//! How far a load is, how fast, and how much is left.

use std::collections::VecDeque;

use web_time::Instant;

use crate::error::{Error, Result};
use crate::progress::{Progress, Watch};

/// Seconds over which the rate is measured.
const WINDOW: f64 = 5.0;
/// Least seconds between two reports of one file.
const EVERY: f64 = 0.05;

/// Reports the progress of reading weight files.
pub struct Meter<'a> {
    watch: &'a dyn Watch,
    /// Of all weight files.
    total: u64,
    /// Bytes of the files before this one.
    before: u64,
    file: String,
    size: Option<u64>,
    cached: bool,
    position: u64,
    /// Moments, and the bytes of all files read by then; not older than `WINDOW`.
    recent: VecDeque<(Instant, u64)>,
    reported: Option<Instant>,
}

impl<'a> Meter<'a> {
    /// For files of `total` bytes in all.
    pub fn new(watch: &'a dyn Watch, total: u64) -> Self {
        let (file, recent) = (String::new(), VecDeque::new());
        Self { watch, total, before: 0, file, size: None, cached: false, position: 0, recent, reported: None }
    }

    /// Something the user may want to know.
    pub fn notice(&self, message: String) {
        self.watch.progress(Progress::Notice { message });
    }

    /// A file of `size` bytes begins; `cached` if it lies on this machine.
    pub fn begin(&mut self, file: &str, size: Option<u64>, cached: bool) {
        self.before += self.position;
        (self.file, self.size, self.cached, self.position) = (file.into(), size, cached, 0);
        self.reported = None;
    }

    /// `position` bytes of the file were read.
    ///
    /// # Errors
    /// [`Error::Aborted`] once the caller has cancelled.
    pub fn at(&mut self, position: u64) -> Result<()> {
        if self.watch.cancelled() {
            return Err(Error::Aborted);
        }
        self.position = position;
        let (now, loaded) = (Instant::now(), self.before + position);
        let ended = self.size == Some(position);
        if !ended && self.reported.is_some_and(|last| (now - last).as_secs_f64() < EVERY) {
            return Ok(());
        }
        self.reported = Some(now);
        self.recent.push_back((now, loaded));
        while self.recent.len() > 2 && self.recent.front().is_some_and(|(t, _)| (now - *t).as_secs_f64() > WINDOW) {
            self.recent.pop_front();
        }
        let rate = self.recent.front().and_then(|(since, then)| {
            let seconds = (now - *since).as_secs_f64();
            (seconds > 0.2).then(|| (loaded - then) as f64 / seconds)
        });
        let left = rate.filter(|&r| r > 0.0).map(|r| self.total.saturating_sub(loaded) as f64 / r);
        self.watch.progress(Progress::Download {
            file: self.file.clone(),
            loaded: position,
            total: self.size,
            all_loaded: loaded,
            all_total: self.total,
            cached: self.cached,
            bytes_per_second: rate,
            seconds_left: left,
        });
        Ok(())
    }
}
