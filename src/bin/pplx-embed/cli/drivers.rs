//! Graphics drivers print what they like on standard error while they are opened. Here that is kept off, unless asked for.

use std::cell::RefCell;

use clap::Args;
use clap::builder::FalseyValueParser;
use pplx_embed::backend::{Backend, Device};
use pplx_embed::{Progress, Result, Watch};

use super::progress::Console;

#[derive(Args)]
pub(crate) struct DriverOptions {
    /// Let what graphics drivers print appear on standard error.
    #[arg(long, env = "PPLX_EMBED_VERBOSE", value_parser = FalseyValueParser::new())]
    verbose: bool,
}

impl DriverOptions {
    /// [`Backend::open`], without the noise of drivers.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn open(
        &self,
        device: Device,
        threads: Option<u32>,
        console: &Console,
    ) -> Result<(Backend, String)> {
        if self.verbose || device == Device::Cpu {
            return Backend::open(device, threads, console).await;
        }
        let held = Held { watch: console, progress: RefCell::default() };
        let muted = muted::Stderr::mute();
        let opened = Backend::open(device, threads, &held).await;
        drop(muted);
        held.progress.take().into_iter().for_each(|progress| console.progress(progress));
        opened
    }
}

/// Keeps what is told while nobody can read it.
struct Held<'a> {
    watch: &'a Console,
    progress: RefCell<Vec<Progress>>,
}

impl Watch for Held<'_> {
    fn cancelled(&self) -> bool {
        self.watch.cancelled()
    }

    fn progress(&self, progress: Progress) {
        self.progress.borrow_mut().push(progress);
    }
}

#[cfg(unix)]
mod muted {
    use std::fs::File;
    use std::os::fd::OwnedFd;

    use rustix::io::fcntl_dupfd_cloexec;
    use rustix::stdio::dup2_stderr;

    /// Standard error, led nowhere until this is dropped.
    pub(super) struct Stderr(OwnedFd);

    impl Stderr {
        /// `None` where it cannot be led elsewhere: drivers are heard then.
        pub(super) fn mute() -> Option<Self> {
            let nowhere = File::options().write(true).open("/dev/null").ok()?;
            // Not among the three that programs take for granted.
            let usual = fcntl_dupfd_cloexec(std::io::stderr(), 3).ok()?;
            dup2_stderr(nowhere).ok()?;
            Some(Self(usual))
        }
    }

    impl Drop for Stderr {
        fn drop(&mut self) {
            // It was open a moment ago, and there is nobody to tell if it is not.
            let _ = dup2_stderr(&self.0);
        }
    }
}

#[cfg(not(unix))]
mod muted {
    /// Drivers of other systems are not known to print anything.
    pub(super) struct Stderr;

    impl Stderr {
        pub(super) fn mute() -> Option<Self> {
            Some(Self)
        }
    }
}
