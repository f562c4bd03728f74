//! Running something again and again.

use std::time::Instant;

use pplx_embed::{Error, Result};
use serde::Serialize;

use crate::cli::progress::Console;

/// Runs of a case, unless a single one takes long.
const FEWEST_RUNS: usize = 3;
/// Beyond this a quick case says nothing new.
const MOST_RUNS: usize = 200;
/// A first run that takes this many times as long as a case may is the only one, and is reported.
const LONG: f64 = 4.0;

/// Seconds of each run of a case.
#[derive(Serialize)]
pub(super) struct Times {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
    /// In the order they were measured.
    all: Vec<f64>,
}

impl Times {
    /// # Panics
    /// Never: there is one run at least.
    fn new(all: Vec<f64>) -> Self {
        let mut sorted = all.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len() - 1;
        Self { median: (sorted[last / 2] + sorted[last.div_ceil(2)]) / 2.0, least: sorted[0], most: sorted[last], all }
    }

    pub(super) fn runs(&self) -> usize {
        self.all.len()
    }
}

/// Refuses what is no time for a case.
pub(super) fn check(seconds: f64) -> Result<()> {
    if seconds > 0.0 && seconds.is_finite() {
        return Ok(());
    }
    Err(Error::InvalidArgument { argument: "--seconds".into(), message: format!("{seconds}, allowed is above 0") })
}

/// How long `run` takes: once to warm up, then for `seconds`.
pub(super) fn time<T>(
    name: &str,
    seconds: f64,
    console: &Console,
    mut run: impl FnMut() -> Result<T>,
) -> Result<(Times, T)> {
    let mut once = |progress: &str| {
        console.line(&format!("{name}: {progress}"));
        let start = Instant::now();
        let result = run()?;
        Ok::<_, Error>((start.elapsed().as_secs_f64(), result))
    };
    let (warm_up, mut result) = once("warming up")?;
    let mut all = if warm_up > LONG * seconds { vec![warm_up] } else { Vec::new() };
    let mut spent = 0.0;
    while warm_up <= LONG * seconds && all.len() < MOST_RUNS && (all.len() < FEWEST_RUNS || spent < seconds) {
        let time;
        (time, result) = once(&format!("run {}", all.len() + 1))?;
        all.push(time);
        spent += time;
    }
    console.done();
    Ok((Times::new(all), result))
}
