//! Standard error: progress while a terminal watches, notes, and the one line of an error.
#![allow(clippy::print_stderr, reason = "this file is what speaks to the user")]

use std::cell::Cell;
use std::io::IsTerminal;

use pplx_embed::{Error, Progress, Watch};

/// Hears of progress and shows it.
pub(crate) struct Console {
    quiet: bool,
    live: bool,
    /// Something stands on the line that notes must not be appended to.
    dirty: Cell<bool>,
}

impl Console {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, live: !quiet && std::io::stderr().is_terminal(), dirty: Cell::new(false) }
    }

    /// A line for the user, unless quiet.
    pub(crate) fn note(&self, text: &str) {
        self.done();
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// Takes the progress line away.
    pub(crate) fn done(&self) {
        if self.dirty.take() {
            eprint!("\r\x1b[K");
        }
    }
}

impl Console {
    /// Shows where a long call stands, while a terminal watches.
    pub(crate) fn line(&self, text: &str) {
        if self.live {
            eprint!("\r\x1b[K{text}");
            self.dirty.set(true);
        }
    }
}

impl Watch for Console {
    fn progress(&self, progress: Progress) {
        if let Progress::Notice { message } = &progress {
            return self.note(&format!("note: {message}"));
        }
        if !self.live {
            return;
        }
        let mib = |bytes: u64| bytes >> 20;
        let line = match progress {
            Progress::Download { file, all_loaded, all_total, bytes_per_second, seconds_left, .. } => {
                let rate = bytes_per_second.map_or(String::new(), |r| format!(", {:.0} MiB/s", r / f64::from(1 << 20)));
                let left = seconds_left.map_or(String::new(), |s| format!(", {s:.0} s left"));
                format!("{file}: {} of {} MiB{rate}{left}", mib(all_loaded), mib(all_total))
            }
            Progress::Compile => "compiling and checking shaders".into(),
            Progress::Embed { texts, tokens, total } => format!("{texts} texts, {tokens} of {total} tokens"),
            Progress::Index { done, total } => format!("{done} of {total} items"),
            Progress::Score { done, total } => format!("{done} of {total} similarities"),
            _ => return,
        };
        self.line(&line);
    }
}

/// The one line of an error.
pub(crate) fn error(error: &Error, json: bool) {
    if json {
        eprintln!("{}", serde_json::json!({ "error": { "code": error.code(), "message": error.to_string() } }));
    } else {
        // One line, whatever a driver or a parser put into the message.
        eprintln!("error: {}", error.to_string().split_whitespace().collect::<Vec<_>>().join(" "));
    }
}
