//! Stores that fail: the model loads all the same, and the user hears why it was not kept.

use std::cell::Cell;
use std::rc::Rc;

use pollster::block_on;
use pplx_embed::Error;
use pplx_embed::hub::cache::{Cached, Directory, FileStore, FileWriter, LockMode};
use pplx_embed::hub::{LocalFile, StoreLock};

use super::net::{Net, RETRY, WEIGHTS, model};
use super::{Ear, Place, load_well, open, read_all};

/// A folder in which so many bytes fit, of which so many are said to.
struct Small {
    inner: Directory,
    left: Rc<Cell<u64>>,
    room: Option<u64>,
}

impl FileStore for Small {
    type FileWriter = SmallWriter;

    async fn open(&self, name: &str) -> Result<Option<LocalFile>, Error> {
        self.inner.open(name).await
    }

    async fn append(&self, name: &str) -> Result<SmallWriter, Error> {
        Ok(SmallWriter { inner: self.inner.append(name).await?, left: Rc::clone(&self.left) })
    }

    async fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        take(&self.left, bytes.len())?;
        self.inner.write(name, bytes).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        self.inner.rename(from, to).await
    }

    async fn remove(&self, name: &str) -> Result<(), Error> {
        self.inner.remove(name).await
    }

    async fn list(&self) -> Result<Vec<(String, u64)>, Error> {
        self.inner.list().await
    }

    async fn lock(
        &self,
        name: &str,
        mode: LockMode,
        wait: Option<&dyn Fn() -> bool>,
    ) -> Result<Option<StoreLock>, Error> {
        self.inner.lock(name, mode, wait).await
    }

    async fn room(&self) -> Result<Option<u64>, Error> {
        Ok(self.room)
    }

    async fn persist(&self) {}
}

struct SmallWriter {
    inner: <Directory as FileStore>::FileWriter,
    left: Rc<Cell<u64>>,
}

impl FileWriter for SmallWriter {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    async fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        take(&self.left, bytes.len())?;
        self.inner.append(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.inner.flush().await
    }

    async fn close(self) -> Result<(), Error> {
        self.inner.close().await
    }

    fn discard(self) {
        self.inner.discard();
    }
}

fn take(left: &Cell<u64>, bytes: usize) -> Result<(), Error> {
    let rest = left.get().checked_sub(bytes as u64);
    left.set(rest.ok_or_else(|| Error::StorageFull { message: "no more fits".into() })?);
    Ok(())
}

fn small(place: &Place, left: u64, room: Option<u64>) -> Small {
    Small { inner: place.store(), left: Rc::new(Cell::new(left)), room }
}

#[test]
fn a_disk_that_fills_up_at_any_byte_costs_the_cache_and_not_the_model() {
    for left in [0, 10, 300, 2_000, 4_000, 12_000, 19_999, 29_000] {
        let (net, place, ear) = (Net::new(30_000), Place::new(), Ear::default());
        let store = small(&place, left, None);
        let files = block_on(async { read_all(&open(&net, store, &ear).await.unwrap()).await.unwrap() });
        assert_eq!(files, model(30_000, 1), "{left} bytes fit");
        assert!(ear.heard("not cached: ") && ear.heard("the cache is full"), "{left}: {:?}", ear.notices);
        assert!(place.parts().is_empty(), "{left} bytes fit: {:?}", place.parts());
        assert!(place.kept().iter().all(|kept| !kept.complete), "{left} bytes fit");
        // Once there is room, it is kept.
        load_well(&net, &place);
        assert!(place.kept()[0].complete);
    }
}

#[test]
fn what_does_not_fit_is_not_begun() {
    let (net, place, ear) = (Net::new(2_400_000), Place::new(), Ear::default());
    block_on(async {
        let source = open(&net, small(&place, u64::MAX, Some(1_100_000)), &ear).await.unwrap();
        assert!(source.fetch(WEIGHTS).await.unwrap().is_none());
        assert_eq!(read_all(&source).await.unwrap(), model(2_400_000, 1));
    });
    assert!(ear.heard("not cached: model.safetensors needs 2.4 MB, 1.1 MB are free"), "{:?}", ear.notices);
    assert!(place.parts().is_empty());
}

#[test]
fn a_file_that_is_being_resumed_when_the_disk_fills_up_is_read_all_the_same() {
    let (net, place, ear) = (Net::new(30_000), Place::new(), Ear::default());
    super::load_until(&net, &place, 10_000);
    let store = small(&place, 5_000, None);
    let files = block_on(async { read_all(&open(&net, store, &ear).await.unwrap()).await.unwrap() });
    assert_eq!(files, model(30_000, 1));
    assert!(ear.heard("not cached: model.safetensors"), "{:?}", ear.notices);
    assert!(place.parts().is_empty());
}

/// Nothing works.
struct Broken;

fn no<T>() -> Result<T, Error> {
    Err(Error::Io { file: "store".into(), message: "is broken".into() })
}

impl FileStore for Broken {
    type FileWriter = SmallWriter;

    async fn open(&self, _: &str) -> Result<Option<LocalFile>, Error> {
        no()
    }
    async fn append(&self, _: &str) -> Result<SmallWriter, Error> {
        no()
    }
    async fn write(&self, _: &str, _: &[u8]) -> Result<(), Error> {
        no()
    }
    async fn rename(&self, _: &str, _: &str) -> Result<(), Error> {
        no()
    }
    async fn remove(&self, _: &str) -> Result<(), Error> {
        no()
    }
    async fn list(&self) -> Result<Vec<(String, u64)>, Error> {
        no()
    }
    async fn lock(&self, _: &str, _: LockMode, _: Option<&dyn Fn() -> bool>) -> Result<Option<StoreLock>, Error> {
        no()
    }
    async fn room(&self) -> Result<Option<u64>, Error> {
        no()
    }
    async fn persist(&self) {}
}

#[test]
fn a_store_that_does_not_work_is_done_without() {
    let (net, ear) = (Net::new(3_000), Ear::default());
    block_on(async {
        let source = open(&net, Broken, &ear).await.unwrap();
        assert_eq!(read_all(&source).await.unwrap(), model(3_000, 1));
        assert!(source.fetch(WEIGHTS).await.unwrap().is_none() && source.local(WEIGHTS).await.unwrap().is_none());
    });
    assert!(ear.heard("not cached: store: is broken"), "{:?}", ear.notices);
}

#[test]
fn a_folder_that_cannot_be_written_is_done_without() {
    let (net, place, ear) = (Net::new(3_000), Place::new(), Ear::default());
    let store = place.store();
    // Files where there should be folders: root may write anything else.
    std::fs::write(store.path().join("blobs"), "").unwrap();
    std::fs::write(store.path().join("refs"), "").unwrap();
    let files = block_on(async { read_all(&open(&net, store, &ear).await.unwrap()).await.unwrap() });
    assert_eq!(files, model(3_000, 1));
    assert!(ear.heard("not cached: "), "{:?}", ear.notices);
}

#[test]
fn no_store_is_none() {
    let (net, ear) = (Net::new(3_000), Ear::default());
    block_on(async {
        let source = Cached::<_, Directory>::open(&net.repository(), net.clone(), RETRY, None, &ear).await.unwrap();
        assert_eq!(read_all(&source).await.unwrap(), model(3_000, 1));
        assert!(source.begin_derived("any").await.unwrap().is_none() && source.key(WEIGHTS).is_none());
    });
    assert!(ear.notices.borrow().is_empty());
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let place = Place::new();
    let store = place.store();
    for name in ["", "a", "/a", "a/", "../a", "a/..", "a/b/c", "a/.b", "a\\b/c", "blobs/a b", "blobs/\0"] {
        assert_eq!(block_on(store.write(name, b"x")).unwrap_err().code(), "io", "{name:?}");
        assert_eq!(block_on(store.open(name)).err().unwrap().code(), "io", "{name:?}");
        assert_eq!(block_on(store.lock(name, LockMode::Shared, None)).err().unwrap().code(), "io", "{name:?}");
    }
}
