//! A byte that changes where it is kept, and what fails once: the next load works, and gives the same vectors.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use pollster::block_on;
use pplx_embed::Error;
use pplx_embed::backend::Device;
use pplx_embed::hub::cache::{Directory, FileStore, FileWriter, LockMode};
use pplx_embed::hub::{LocalFile, StoreLock};
use pplx_embed::model::{Data, EmbedOptions, LoadOptions, Model, WeightChoice};
use pplx_embed::numbers::Dtype;

use super::forms::net;
use super::net::{Net, WEIGHTS};
use super::{Ear, Place, open};
use crate::support::every;

/// Loads a model through a store, and gives a vector.
async fn load(net: &Net, store: impl FileStore, weights: WeightChoice, ear: &Ear) -> Result<Vec<f32>, Error> {
    let source = open(net, store, ear).await?;
    let options = LoadOptions { device: Device::Cpu, weights, ..LoadOptions::default() };
    let model = Model::load(&source, options, ear).await?;
    source.loaded().await;
    let options = EmbedOptions { dtype: Some(Dtype::Float32), ..EmbedOptions::default() };
    match model.embed(&["a text"], options, &()).await?.data {
        Data::Float32(data) => Ok(data),
        _ => panic!("not float32"),
    }
}

/// The blobs themselves, the largest last.
fn blobs(place: &Place) -> Vec<PathBuf> {
    let mut blobs = place.files("blobs");
    blobs.retain(|path| path.extension().is_none_or(|extension| extension != "sums"));
    blobs.sort_by_key(|path| path.metadata().unwrap().len());
    blobs
}

fn flip(path: &PathBuf, at: usize, count: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = at.min(bytes.len() - 1);
    bytes.iter_mut().skip(at).take(count).for_each(|byte| *byte ^= 0x10);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_byte_that_changed_in_the_cache_is_found_and_the_file_loaded_anew() {
    for held in [WeightChoice::Auto, WeightChoice::Q8] {
        let (net, place) = (net(), Place::new());
        let want = block_on(load(&net, place.store(), held, &Ear::default())).unwrap();
        net.take_log();
        let sizes: Vec<u64> = blobs(&place).iter().map(|path| path.metadata().unwrap().len()).collect();
        for (nth, size) in sizes.iter().enumerate().filter(|(_, size)| **size > 0) {
            // In the header of weights, in a layer, at the end.
            for (at, count) in [(9, 1), (*size as usize / 2, 512), (*size as usize - 1, 1)] {
                flip(&blobs(&place)[nth], at, count);
                let ear = Ear::default();
                assert_eq!(
                    block_on(load(&net, place.store(), held, &ear)).unwrap(),
                    want,
                    "{nth} {at}: {:?}",
                    ear.notices
                );
                assert!(ear.heard("in the cache is damaged, and is loaded anew"), "{nth} {at}: {:?}", ear.notices);
                assert_eq!(net.take_log().len(), 1, "the damaged file is asked for, and no other");
                let ear = Ear::default();
                assert_eq!(block_on(load(&net, place.store(), held, &ear)).unwrap(), want);
                assert!(ear.notices.borrow().is_empty() && net.take_log().is_empty(), "{:?}", ear.notices);
            }
        }
    }
}

#[test]
fn without_a_network_a_damaged_copy_is_an_error_that_says_so() {
    let (net, place) = (net(), Place::new());
    block_on(load(&net, place.store(), WeightChoice::Auto, &Ear::default())).unwrap();
    net.set(|state| state.down = true);
    flip(blobs(&place).last().unwrap(), 70_000, 1);
    let ear = Ear::default();
    let error = block_on(load(&net, place.store(), WeightChoice::Auto, &ear)).unwrap_err();
    assert!(error.code() == "network" && error.to_string().contains(WEIGHTS), "{error}");
    assert!(ear.heard("in the cache is damaged"), "{:?}", ear.notices);
}

/// Where the sums of a blob are.
fn sums_of(blob: &Path) -> PathBuf {
    blob.with_added_extension("sums")
}

/// What may happen to a file.
const DAMAGES: [&str; 7] = ["nothing", "flipped", "truncated", "emptied", "appended to", "zeroed", "a folder"];
/// What may happen to the sums beside it.
const SUMS: [&str; 8] = ["intact", "missing", "emptied", "zeroed", "truncated", "appended to", "garbage", "a folder"];

fn strike(path: &Path, damage: &str) {
    let mut bytes = std::fs::read(path).unwrap();
    let half = bytes.len() / 2;
    match damage {
        "nothing" | "intact" => return,
        "flipped" => bytes.iter_mut().skip(half).take(512).for_each(|byte| *byte ^= 0x10),
        "truncated" => bytes.truncate(half),
        "emptied" => bytes.clear(),
        "appended to" => bytes.extend([1, 2, 3, 4]),
        "zeroed" => bytes.fill(0),
        "garbage" => bytes = super::net::noise(bytes.len(), 3),
        _ => {
            std::fs::remove_file(path).unwrap();
            if damage == "a folder" {
                std::fs::create_dir(path).unwrap();
                std::fs::write(path.join("inside"), b"x").unwrap();
            }
            return;
        }
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn whatever_happened_to_a_file_and_its_sums_the_next_load_heals_both() {
    heals(WeightChoice::Auto, false);
}

#[test]
fn whatever_happened_to_what_was_made_of_a_file_and_its_sums_the_next_load_heals_both() {
    heals(WeightChoice::Q8, true);
}

/// Damages a file and its sums in every way: one that was made of another if it is to be `derived`.
fn heals(held: WeightChoice, derived: bool) {
    let (net, place) = (net(), Place::new());
    let want = block_on(load(&net, place.store(), held, &Ear::default())).unwrap();
    let is_derived =
        |blob: &PathBuf| blob.file_name().unwrap().to_str().unwrap().trim_start_matches("git-").contains('-');
    let mut struck: Vec<PathBuf> = blobs(&place).into_iter().filter(|blob| is_derived(blob) == derived).collect();
    // The header and the form; a small file, and the weights.
    struck.retain(|blob| blob.metadata().unwrap().len() > 0);
    struck.drain(1..struck.len() - 1);
    for blob in struck {
        let (whole, sums) = (std::fs::read(&blob).unwrap(), std::fs::read(sums_of(&blob)).unwrap());
        let pairs = DAMAGES.iter().flat_map(|damage| SUMS.map(|beside| (damage, beside)));
        // All pairs with EVERY=1; else each of either with the other as it was, and some pairs.
        let some = |(i, (damage, beside)): &(usize, (&&str, &str))| {
            every() || **damage == "nothing" || *beside == "intact" || i % 5 == 0
        };
        for (_, (damage, beside)) in pairs.enumerate().filter(some) {
            strike(&blob, damage);
            strike(&sums_of(&blob), beside);
            net.take_log();
            let (ear, case) = (Ear::default(), format!("{held:?} {}: {damage}, {beside}", blob.display()));
            let loaded = block_on(load(&net, place.store(), held, &ear));
            assert_eq!(loaded.unwrap_or_else(|error| panic!("{case}: {error}")), want, "{case}");
            let anew = !net.take_log().is_empty();
            assert_eq!(ear.heard("is loaded anew"), anew, "{case}: {:?}", ear.notices);
            assert!(ear.notices.borrow().len() <= 1, "{case}: {:?}", ear.notices);
            if derived {
                assert_eq!(anew, (*damage, beside) != ("nothing", "intact"), "{case}");
            } else if *damage == "nothing" {
                assert!(!anew, "{case}: the digest tells that it is right");
            }
            assert_eq!(std::fs::read(&blob).unwrap(), whole, "{case}");
            assert_eq!(std::fs::read(sums_of(&blob)).unwrap(), sums, "{case}");
            let ear = Ear::default();
            assert_eq!(block_on(load(&net, place.store(), held, &ear)).unwrap(), want, "{case}");
            assert!(ear.notices.borrow().is_empty() && net.take_log().is_empty(), "{case}: {:?}", ear.notices);
        }
    }
}

/// As earlier versions of this package left it.
fn remove_sums(place: &Place) {
    for path in place.files("blobs").iter().filter(|path| path.extension().is_some_and(|e| e == "sums")) {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn files_of_a_cache_without_sums_are_compared_with_their_digests_once() {
    let (net, place) = (net(), Place::new());
    let want = block_on(load(&net, place.store(), WeightChoice::Auto, &Ear::default())).unwrap();
    let before = place.files("blobs");
    for down in [false, true] {
        remove_sums(&place);
        net.take_log();
        net.set(|state| state.down = down);
        assert_eq!(block_on(load(&net, place.store(), WeightChoice::Auto, &Ear::default())).unwrap(), want);
        assert!(net.take_log().is_empty() && place.files("blobs") == before, "down: {down}");
    }
    // It is the sum that changed: the file itself is right, and can be had from nowhere else.
    for blob in blobs(&place) {
        flip(&sums_of(&blob), usize::MAX, 1);
        let ear = Ear::default();
        let loaded = block_on(load(&net, place.store(), WeightChoice::Auto, &ear));
        assert_eq!(loaded.unwrap(), want, "{}: {:?}", blob.display(), ear.notices);
        assert!(!ear.heard("is damaged"), "{}: {:?}", blob.display(), ear.notices);
    }
}

#[test]
fn what_cannot_be_checked_is_used_where_nothing_else_can_be_had() {
    let (net, place) = (net(), Place::new());
    let want = block_on(load(&net, place.store(), WeightChoice::Q8, &Ear::default())).unwrap();
    remove_sums(&place);
    // Without a network, and with one that breaks down after the list of files has come.
    net.set(|state| state.down = true);
    let ear = Ear::default();
    assert_eq!(block_on(load(&net, place.store(), WeightChoice::Q8, &ear)).unwrap(), want, "{:?}", ear.notices);
    net.set(|state| {
        state.down = false;
        state.files_down = true;
    });
    let ear = Ear::default();
    assert_eq!(block_on(load(&net, place.store(), WeightChoice::Q8, &ear)).unwrap(), want, "{:?}", ear.notices);
    assert!(ear.heard("are used unchecked"), "{:?}", ear.notices);
    net.set(|state| state.files_down = false);
    net.take_log();
    let ear = Ear::default();
    assert_eq!(block_on(load(&net, place.store(), WeightChoice::Q8, &ear)).unwrap(), want);
    assert!(ear.heard("cannot be checked, and is loaded anew"), "{:?}", ear.notices);
    assert_eq!(net.take_log().len(), 1);
    let ear = Ear::default();
    assert_eq!(block_on(load(&net, place.store(), WeightChoice::Q8, &ear)).unwrap(), want);
    assert!(ear.notices.borrow().is_empty() && net.take_log().is_empty(), "{:?}", ear.notices);
}

/// A folder of which one operation fails.
struct FailsOnce {
    inner: Directory,
    left: Rc<Cell<i64>>,
}

/// Counts an operation, and fails the one whose turn it is.
fn turn(left: &Cell<i64>) -> Result<(), Error> {
    left.set(left.get() - 1);
    if left.get() == -1 { Err(Error::Io { file: "store".into(), message: "fails once".into() }) } else { Ok(()) }
}

impl FileStore for FailsOnce {
    type FileWriter = FailingWriter;

    async fn open(&self, name: &str) -> Result<Option<LocalFile>, Error> {
        turn(&self.left)?;
        self.inner.open(name).await
    }

    async fn append(&self, name: &str) -> Result<FailingWriter, Error> {
        turn(&self.left)?;
        Ok(FailingWriter { inner: self.inner.append(name).await?, left: Rc::clone(&self.left) })
    }

    async fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        turn(&self.left)?;
        self.inner.write(name, bytes).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        turn(&self.left)?;
        self.inner.rename(from, to).await
    }

    async fn remove(&self, name: &str) -> Result<(), Error> {
        turn(&self.left)?;
        self.inner.remove(name).await
    }

    async fn list(&self) -> Result<Vec<(String, u64)>, Error> {
        turn(&self.left)?;
        self.inner.list().await
    }

    async fn lock(
        &self,
        name: &str,
        mode: LockMode,
        wait: Option<&dyn Fn() -> bool>,
    ) -> Result<Option<StoreLock>, Error> {
        turn(&self.left)?;
        self.inner.lock(name, mode, wait).await
    }

    async fn room(&self) -> Result<Option<u64>, Error> {
        turn(&self.left)?;
        self.inner.room().await
    }

    async fn persist(&self) {}
}

struct FailingWriter {
    inner: <Directory as FileStore>::FileWriter,
    left: Rc<Cell<i64>>,
}

impl FileWriter for FailingWriter {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    async fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        turn(&self.left)?;
        self.inner.append(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        turn(&self.left)?;
        self.inner.flush().await
    }

    async fn close(self) -> Result<(), Error> {
        turn(&self.left)?;
        self.inner.close().await
    }

    fn discard(self) {
        self.inner.discard();
    }
}

/// Operations before the one that fails, and how many a load has.
fn failing(place: &Place, nth: i64) -> (FailsOnce, Rc<Cell<i64>>) {
    let left = Rc::new(Cell::new(nth));
    (FailsOnce { inner: place.store(), left: Rc::clone(&left) }, left)
}

#[test]
fn each_operation_of_the_store_fails_in_turn_and_the_next_load_works() {
    let want = block_on(load(&net(), Place::new().store(), WeightChoice::Q8, &Ear::default())).unwrap();
    for warm in [false, true] {
        let count = {
            let (net, place) = (net(), Place::new());
            if warm {
                block_on(load(&net, place.store(), WeightChoice::Q8, &Ear::default())).unwrap();
            }
            let (store, left) = failing(&place, i64::MAX);
            block_on(load(&net, store, WeightChoice::Q8, &Ear::default())).unwrap();
            i64::MAX - left.get()
        };
        assert!(count > 20, "{count}");
        // Most of a cold load's operations write the next piece of the weights. EVERY=1 takes three times as many of others.
        let step = if every() { 1 } else { 3 };
        for nth in (0..count).filter(|n| (*n < 40 || count - n < 40) && n % step == 0 || n % 211 == 0) {
            let (net, place) = (net(), Place::new());
            if warm {
                block_on(load(&net, place.store(), WeightChoice::Q8, &Ear::default())).unwrap();
            }
            let ear = Ear::default();
            let first = block_on(load(&net, failing(&place, nth).0, WeightChoice::Q8, &ear));
            match first {
                Ok(vector) => assert_eq!(vector, want, "operation {nth}, warm: {warm}: {:?}", ear.notices),
                // What was there a moment before, and made the plan.
                Err(error) => {
                    assert!(error.to_string().contains("load again"), "operation {nth}, warm: {warm}: {error}")
                }
            }
            let again = block_on(load(&net, place.store(), WeightChoice::Q8, &Ear::default()));
            assert_eq!(again.unwrap(), want, "after operation {nth}, warm: {warm}");
            assert!(place.parts().is_empty(), "operation {nth}, warm: {warm}: {:?} {:?}", place.parts(), ear.notices);
        }
    }
}

#[test]
fn each_request_fails_in_turn_and_the_next_load_works() {
    let counted = net();
    let want = block_on(load(&counted, Place::new().store(), WeightChoice::Auto, &Ear::default())).unwrap();
    let mut count = 0;
    counted.set(|state| count = state.requests);
    assert!(count > 5, "{count}");
    for nth in 0..count {
        let (net, place) = (net(), Place::new());
        net.set(|state| state.fails_at = Some(nth));
        match block_on(load(&net, place.store(), WeightChoice::Auto, &Ear::default())) {
            Ok(vector) => assert_eq!(vector, want, "request {nth}"),
            Err(error) => assert_eq!(error.code(), "network", "request {nth}: {error}"),
        }
        let again = block_on(load(&net, place.store(), WeightChoice::Auto, &Ear::default()));
        assert_eq!(again.unwrap(), want, "after request {nth}");
    }
}
