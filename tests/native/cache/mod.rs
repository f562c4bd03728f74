//! The cache: what was loaded once is not asked for again, whatever happened in between.

mod crashes;
mod damage;
mod derived;
mod forms;
mod manage;
mod net;
mod stores;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use net::{ENDPOINT, ID, Net, RETRY, SMALL, WEIGHTS, model};
use pollster::block_on;
use pplx_embed::hub::cache::{self, Cached, Directory, FileStore, LockMode};
use pplx_embed::hub::{Folder, Reader, Source};
use pplx_embed::{Error, Progress, Watch};

/// A folder for a cache, removed at the end.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("pplx-embed-cache-{}-{number}", std::process::id())))
    }

    pub(crate) fn store(&self) -> Directory {
        Directory::new(&self.0).unwrap()
    }

    /// The files in `folder`, by name.
    pub(crate) fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.0.join(folder)).map_or(Vec::new(), |f| f.map(|e| e.unwrap().path()).collect());
        files.sort();
        files
    }

    pub(crate) fn parts(&self) -> Vec<PathBuf> {
        self.files("blobs").into_iter().filter(|p| p.extension().is_some_and(|e| e == "part")).collect()
    }

    pub(crate) fn ref_path(&self) -> PathBuf {
        let refs = self.files("refs");
        assert_eq!(refs.len(), 1, "{refs:?}");
        refs[0].clone()
    }

    pub(crate) fn kept(&self) -> Vec<cache::CachedRevision> {
        block_on(cache::list(&self.store())).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Hears of notices, and cancels when told to.
#[derive(Default)]
pub(crate) struct Ear {
    pub(crate) notices: RefCell<Vec<String>>,
    cancel_at: Option<u64>,
    cancelled: AtomicBool,
}

impl Watch for Ear {
    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn progress(&self, progress: Progress) {
        match progress {
            Progress::Notice { message } => self.notices.borrow_mut().push(message),
            Progress::Download { loaded, .. } if self.cancel_at.is_some_and(|at| loaded >= at) => {
                self.cancelled.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

impl Ear {
    fn heard(&self, words: &str) -> bool {
        self.notices.borrow().iter().any(|notice| notice.contains(words))
    }
}

type Files = BTreeMap<String, Vec<u8>>;

pub(crate) async fn open<'a, S: FileStore>(net: &Net, store: S, ear: &'a Ear) -> Result<Cached<'a, Net, S>, Error> {
    Cached::open(&net.repository(), net.clone(), RETRY, Some(store), ear).await
}

/// Reads every file, as a loader does, and says that all was loaded.
pub(crate) async fn read_all<S: FileStore>(source: &Cached<'_, Net, S>) -> Result<Files, Error> {
    let mut files = Files::new();
    for file in SMALL.into_iter().chain([WEIGHTS]) {
        files.insert(file.into(), pplx_embed::hub::read(source, file, 1 << 24).await?);
    }
    source.loaded().await;
    Ok(files)
}

/// Loads the whole model through the cache at `place`.
fn load(net: &Net, place: &Place, ear: &Ear) -> Result<Files, Error> {
    block_on(async { read_all(&open(net, place.store(), ear).await?).await })
}

/// Loads what must be right, and in silence.
fn load_well(net: &Net, place: &Place) {
    let ear = Ear::default();
    assert_eq!(load(net, place, &ear).unwrap()[WEIGHTS], net.weights());
    assert_eq!(*ear.notices.borrow(), Vec::<String>::new());
}

/// Loads until the weights break off at byte `cut`.
fn load_until(net: &Net, place: &Place, cut: u64) {
    net.set(|s| s.cut = Some(cut));
    assert_eq!(load(net, place, &Ear::default()).unwrap_err().code(), "io");
    net.set(|s| s.cut = None);
    net.take_log();
}

#[test]
fn what_was_loaded_is_not_asked_for_again() {
    let (net, place) = (Net::new(50_000), Place::new());
    let cold = load(&net, &place, &Ear::default()).unwrap();
    assert_eq!(cold, model(50_000, 1));
    // The empty file is complete before it is asked for.
    assert_eq!(net.take_log(), [(SMALL[0].into(), 0), (SMALL[1].into(), 0), (WEIGHTS.into(), 0)]);
    assert_eq!(load(&net, &place, &Ear::default()).unwrap(), cold);
    assert_eq!(net.take_log(), []);
    assert!(place.parts().is_empty());

    let [kept] = &place.kept()[..] else { panic!("{:?}", place.kept()) };
    let bytes: usize = cold.values().map(Vec::len).sum();
    assert_eq!((kept.id.as_str(), kept.endpoint.as_str(), kept.revision.len()), (ID, ENDPOINT, 40));
    assert_eq!((kept.bytes, kept.files, kept.complete), (bytes as u64, 4, true));
    assert_eq!(kept.names, ["main"]);
    assert!(kept.saved > 1_600_000_000_000 && kept.used >= kept.saved, "{kept:?}");
}

#[test]
fn only_what_is_missing_is_asked_for() {
    for cut in [1, 998, 999, 25_000, 49_999] {
        let (net, place) = (Net::new(50_000), Place::new());
        load_until(&net, &place, cut);
        assert_eq!(fs::metadata(&place.parts()[0]).unwrap().len(), cut);
        assert!(!place.kept()[0].complete);
        load_well(&net, &place);
        assert_eq!(net.take_log(), [(WEIGHTS.into(), cut)], "cut at {cut}");
        assert!(place.kept()[0].complete && place.parts().is_empty());
    }
}

#[test]
fn a_part_that_lacks_nothing_but_its_name_is_checked_and_published() {
    let (net, place) = (Net::new(5_000), Place::new());
    load_until(&net, &place, 4_000);
    fs::write(&place.parts()[0], net.weights()).unwrap();
    load_well(&net, &place);
    assert_eq!(net.take_log(), []);
}

#[test]
fn a_damaged_part_is_found_out_and_loaded_anew() {
    let (net, place) = (Net::new(50_000), Place::new());
    load_until(&net, &place, 30_000);
    let mut bytes = fs::read(&place.parts()[0]).unwrap();
    bytes[12_345] ^= 1;
    fs::write(&place.parts()[0], bytes).unwrap();
    load_well(&net, &place);
    assert_eq!(net.take_log(), [(WEIGHTS.into(), 30_000), (WEIGHTS.into(), 0)]);
    load_well(&net, &place);
    assert_eq!(net.take_log(), []);
}

#[test]
fn a_server_that_lies_leaves_nothing() {
    let (net, place) = (Net::new(50_000), Place::new());
    for from in [None, Some(20_000)] {
        if let Some(from) = from {
            net.set(|s| s.lie = false);
            load_until(&net, &place, from);
        }
        net.set(|s| s.lie = true);
        assert_eq!(load(&net, &place, &Ear::default()).unwrap_err().code(), "integrity");
        assert!(place.parts().is_empty(), "{:?}", place.parts());
        let sizes = place.files("blobs").into_iter().map(|p| fs::metadata(p).unwrap().len());
        assert!(sizes.max().unwrap() < 100, "the weights were kept");
    }
    // Resumed, then from zero, then given up.
    assert_eq!(net.take_log(), [(WEIGHTS.into(), 20_000), (WEIGHTS.into(), 0)]);
}

#[test]
fn a_blob_of_another_size_is_loaded_anew() {
    let (net, place) = (Net::new(5_000), Place::new());
    load_well(&net, &place);
    net.take_log();
    let blob = place.files("blobs").into_iter().find(|p| fs::metadata(p).unwrap().len() == 5_000).unwrap();
    fs::write(&blob, &net.weights()[..4_999]).unwrap();
    assert!(!place.kept()[0].complete);
    let ear = Ear::default();
    assert_eq!(load(&net, &place, &ear).unwrap()[WEIGHTS], net.weights());
    assert_eq!(*ear.notices.borrow(), ["the copy of model.safetensors in the cache is damaged, and is loaded anew"]);
    assert_eq!(net.take_log(), [(WEIGHTS.into(), 0)]);
    load_well(&net, &place);
}

#[test]
fn two_at_once_load_each_file_once() {
    let (net, place) = (Net::new(30_000), Place::new());
    net.set(|s| s.pause = Duration::from_millis(2));
    std::thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| load(&net, &place, &Ear::default()).unwrap()));
        for one in both {
            assert_eq!(one.join().unwrap(), model(30_000, 1));
        }
    });
    let log = net.take_log();
    assert_eq!(log.iter().filter(|(file, _)| file == WEIGHTS).count(), 1, "{log:?}");
}

#[test]
fn waiting_for_another_ends_when_the_caller_cancels() {
    let (net, place) = (Net::new(3_000), Place::new());
    let name = {
        load_until(&net, &place, 1_000);
        format!("blobs/{}", place.parts()[0].file_name().unwrap().to_str().unwrap())
    };
    let _other = block_on(place.store().lock(&name, LockMode::Exclusive, None)).unwrap().unwrap();
    let ear = Ear { cancelled: AtomicBool::new(true), ..Default::default() };
    let waiting = block_on(async { open(&net, place.store(), &ear).await?.fetch(WEIGHTS).await.map(drop) });
    assert_eq!(waiting.unwrap_err().code(), "aborted");
    assert!(ear.heard("being loaded by another tab or process"));
}

#[test]
fn what_came_before_the_caller_cancelled_is_kept() {
    let (net, place) = (Net::new(50_000), Place::new());
    let ear = Ear { cancel_at: Some(20_000), ..Default::default() };
    let cancelled = block_on(async { open(&net, place.store(), &ear).await?.fetch(WEIGHTS).await.map(drop) });
    assert_eq!(cancelled.unwrap_err().code(), "aborted");
    net.take_log();
    load_well(&net, &place);
    let kept = 20_000_u64.next_multiple_of(999);
    assert_eq!(net.take_log().last().unwrap(), &(WEIGHTS.into(), kept));
}

#[test]
fn without_a_network_a_complete_model_loads() {
    let (net, place) = (Net::new(5_000), Place::new());
    load_until(&net, &place, 3_000);
    net.set(|s| s.down = true);
    assert_eq!(load(&net, &place, &Ear::default()).unwrap_err().code(), "network", "it is not complete");
    net.set(|s| s.down = false);
    load_well(&net, &place);
    net.set(|s| s.down = true);
    let ear = Ear::default();
    assert_eq!(load(&net, &place, &ear).unwrap(), model(5_000, 1));
    assert!(ear.heard("from the cache"), "{:?}", ear.notices);
    block_on(async {
        let offline = open(&net, place.store(), &ear).await.unwrap();
        assert_eq!(offline.commit().unwrap(), "1".repeat(40));
        // What a model need not have is missed as it is online.
        assert!(pplx_embed::hub::read_optional(&offline, "modules.json", 9).await.unwrap().is_none());
        let by_commit = pplx_embed::hub::Repository { revision: Some("1".repeat(40)), ..net.repository() };
        assert!(Cached::open(&by_commit, net.clone(), RETRY, Some(place.store()), &ear).await.is_ok());
        let other = pplx_embed::hub::Repository { revision: Some("v2".into()), ..net.repository() };
        assert!(Cached::open(&other, net.clone(), RETRY, Some(place.store()), &ear).await.is_err());
    });
}

#[test]
fn a_new_commit_takes_the_place_of_the_old_one_when_it_is_loaded() {
    let (net, place) = (Net::new(5_000), Place::new());
    load_well(&net, &place);
    let two = || ("2".repeat(40), model(7_000, 2));
    net.set(|s| s.commits.push(two()));
    load_until(&net, &place, 100);
    // The old one is still what loads without a network.
    net.set(|s| s.down = true);
    assert_eq!(load(&net, &place, &Ear::default()).unwrap()[WEIGHTS].len(), 5_000);
    net.set(|s| s.down = false);
    load_well(&net, &place);
    let [kept] = &place.kept()[..] else { panic!("{:?}", place.kept()) };
    assert_eq!((kept.revision.clone(), kept.complete), ("2".repeat(40), true));
    // What both have in common was not asked for again, and what only the old one had is gone.
    assert_eq!(net.take_log(), [(WEIGHTS.into(), 100)]);
    let sizes: Vec<u64> = place.files("blobs").iter().map(|p| fs::metadata(p).unwrap().len()).collect();
    assert!(sizes.contains(&7_000) && !sizes.contains(&5_000), "{sizes:?}");
}

#[test]
fn a_host_without_digests_is_kept_by_its_tags() {
    let (net, place) = (Net::new(5_000), Place::new());
    net.set(|s| s.plain = true);
    load_well(&net, &place);
    net.take_log();
    // It has to be asked for the tag; the body of the answer is not read.
    load_well(&net, &place);
    // A part cannot be checked, so it is not built on.
    net.set(|s| s.tag = Some("\"v2\"".into()));
    load_until(&net, &place, 2_000);
    load_well(&net, &place);
    assert_eq!(place.kept().len(), 1);
    let sizes = place.files("blobs").iter().filter(|p| fs::metadata(p).unwrap().len() == 5_000).count();
    assert_eq!(sizes, 1, "what the old tag stood for is gone");
    net.set(|s| s.down = true);
    assert_eq!(load(&net, &place, &Ear::default()).unwrap()[WEIGHTS], net.weights());
    net.set(|s| (s.down, s.tag) = (false, None));
    let ear = Ear::default();
    assert_eq!(load(&net, &place, &ear).unwrap()[WEIGHTS], net.weights());
    assert!(ear.heard("neither digests nor versions"), "{:?}", ear.notices);
}

#[test]
fn local_files_are_read_at_any_place() {
    let (net, place, ear) = (Net::new(50_000), Place::new(), Ear::default());
    let weights = net.weights();
    block_on(async {
        let source = open(&net, place.store(), &ear).await.unwrap();
        assert!(source.local(WEIGHTS).await.unwrap().is_none());
        let local = source.fetch(WEIGHTS).await.unwrap().unwrap();
        assert_eq!(local.size(), 50_000);
        assert_eq!(local.read_at(49_990, 10).await.unwrap(), weights[49_990..]);
        assert_eq!(local.read_at(123, 700).await.unwrap(), weights[123..823]);
        for (at, length) in [(49_991, 10), (50_001, 0), (u64::MAX, 2), (0, usize::MAX)] {
            assert_eq!(local.read_at(at, length).await.unwrap_err().code(), "io");
        }
        assert_eq!(source.fetch("none").await.err().unwrap().code(), "not-found");
        assert_eq!(source.fetch(SMALL[2]).await.unwrap().unwrap().size(), 0);
        // The stream of the same file, while it is open.
        let mut reader = Reader::new(WEIGHTS, source.open(WEIGHTS).await.unwrap());
        assert_eq!(reader.rest(50_000).await.unwrap(), weights);
    });
    let blob = place.files("blobs").into_iter().find(|p| fs::metadata(p).unwrap().len() == 50_000).unwrap();
    let folder = Folder::new(blob.parent().unwrap());
    let local = block_on(folder.local(blob.file_name().unwrap().to_str().unwrap())).unwrap().unwrap();
    assert_eq!(block_on(local.read_at(7, 70)).unwrap(), weights[7..77]);
    assert!(block_on(folder.local("none")).unwrap().is_none());
}
