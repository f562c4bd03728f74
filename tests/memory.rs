//! What a load that fails leaves behind. Alone in its process: it looks at the memory of all of it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::cell::Cell;

use pplx_embed::Watch;
use pplx_embed::hub::Folder;
use pplx_embed::model::{LoadOptions, Model};

/// Cancels when it is asked for the nth time.
struct CancelAt(Cell<u32>);

impl Watch for CancelAt {
    fn cancelled(&self) -> bool {
        self.0.set(self.0.get().saturating_sub(1));
        self.0.get() == 0
    }
}

fn load(watch: &dyn Watch) -> pplx_embed::Result<Model> {
    let folder = Folder::new("tests/fixtures/checkpoints/f32-gqa2");
    pollster::block_on(Model::load(&folder, LoadOptions::default(), watch))
}

#[test]
fn failed_loads_leave_no_memory_behind() {
    let resident = || -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    // All tensors are read before the load is cancelled.
    let count = CancelAt(u32::MAX.into());
    load(&count).unwrap();
    let last = u32::MAX - count.0.get();
    let fail = || assert_eq!(load(&CancelAt(last.into())).err().unwrap().code(), "aborted");
    // The driver's own caches fill first.
    (0..10).for_each(|_| fail());
    let before = resident();
    (0..20).for_each(|_| fail());
    // The checkpoint is 1.9 MB: twenty leaks would be 38 MB.
    let grown = resident().saturating_sub(before);
    assert!(grown < 12 << 20, "{} KiB more after 20 failed loads", grown >> 10);
}
