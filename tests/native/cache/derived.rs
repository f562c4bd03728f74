//! What is made of a model's files is kept beside them.

use std::fs;

use pollster::block_on;
use pplx_embed::hub::cache;

use super::net::{ID, Net, WEIGHTS, hex, noise};
use super::{Ear, Place, load, load_well, open};

#[test]
fn what_was_finished_is_found_and_the_raw_file_may_go() {
    let (net, place, ear) = (Net::new(30_000), Place::new(), Ear::default());
    load_well(&net, &place);
    let key = block_on(async {
        let source = open(&net, place.store(), &ear).await.unwrap();
        let raw = source.key(WEIGHTS).unwrap();
        assert_eq!(raw, hex(&<sha2::Sha256 as sha1::Digest>::digest(net.weights())));
        let key = format!("{raw}-q4-g64-v1");
        assert!(source.derived(&key).await.unwrap().is_none());
        source.remove_raw(WEIGHTS).await.unwrap();
        assert!(source.local(WEIGHTS).await.unwrap().is_some(), "nothing was made of it yet");

        let mut writer = source.begin_derived(&key).await.unwrap().unwrap();
        assert!(source.begin_derived(&key).await.unwrap().is_none(), "one at a time");
        for piece in noise(9_000, 5).chunks(1_000) {
            writer.append(piece).await.unwrap();
            assert!(source.derived(&key).await.unwrap().is_none());
        }
        let made = writer.finish().await.unwrap();
        assert_eq!(made.read_at(0, 9_000).await.unwrap(), noise(9_000, 5));
        source.remove_raw(WEIGHTS).await.unwrap();
        assert!(source.local(WEIGHTS).await.unwrap().is_none());
        source.loaded().await;
        key
    });
    // Another process finds it, and the model is still complete and as large as what is left of it.
    let [kept] = &place.kept()[..] else { panic!("{:?}", place.kept()) };
    assert!(kept.complete && (9_000..9_100).contains(&kept.bytes), "{kept:?}");
    net.set(|s| s.down = true);
    block_on(async {
        let source = open(&net, place.store(), &ear).await.unwrap();
        let made = source.derived(&key).await.unwrap().unwrap();
        assert_eq!((made.size(), made.read_at(8_990, 10).await.unwrap()), (9_000, noise(9_000, 5)[8_990..].to_vec()));
    });
    assert_eq!(load(&net, &place, &ear).unwrap_err().code(), "network", "the raw file is needed and not there");
    net.set(|s| s.down = false);
    load_well(&net, &place);
    assert!(block_on(cache::delete(&place.store(), ID, None, None)).unwrap() > 39_000);
    assert!(place.files("blobs").is_empty());
}

#[test]
fn what_was_not_finished_is_gone() {
    let (net, place, ear) = (Net::new(3_000), Place::new(), Ear::default());
    load_well(&net, &place);
    block_on(async {
        let source = open(&net, place.store(), &ear).await.unwrap();
        let key = format!("{}-q8", source.key(WEIGHTS).unwrap());
        let mut writer = source.begin_derived(&key).await.unwrap().unwrap();
        writer.append(b"half").await.unwrap();
        drop(writer);
        assert!(place.parts().is_empty() && source.derived(&key).await.unwrap().is_none());
        // A crash leaves it; the next one begins anew.
        fs::write(place.store().path().join(format!("blobs/{key}.part")), "half").unwrap();
        let mut writer = source.begin_derived(&key).await.unwrap().unwrap();
        writer.append(b"whole").await.unwrap();
        assert_eq!(writer.finish().await.unwrap().read_at(0, 5).await.unwrap(), b"whole");
    });
    assert!(ear.notices.borrow().is_empty());
}

#[test]
fn keys_begin_with_that_of_a_file() {
    let (net, place, ear) = (Net::new(3_000), Place::new(), Ear::default());
    load_well(&net, &place);
    block_on(async {
        let source = open(&net, place.store(), &ear).await.unwrap();
        let raw = source.key(WEIGHTS).unwrap();
        for key in ["", "-", "other-q4", &raw, &format!("{raw}q4")] {
            let error = source.begin_derived(key).await.err().unwrap();
            assert_eq!(error.code(), "invalid-argument", "{key}");
            assert!(source.derived(key).await.unwrap().is_none());
        }
        // It is the key of a file, but leads out of the cache: nothing is written.
        assert!(source.begin_derived(&format!("{raw}-/../../x")).await.unwrap().is_none());
    });
}

#[test]
fn another_revision_with_the_same_file_has_what_was_made_of_it() {
    let (net, place, ear) = (Net::new(3_000), Place::new(), Ear::default());
    load_well(&net, &place);
    let key = block_on(async {
        let source = open(&net, place.store(), &ear).await.unwrap();
        let key = format!("{}-q8", source.key(WEIGHTS).unwrap());
        let mut writer = source.begin_derived(&key).await.unwrap().unwrap();
        writer.append(b"form").await.unwrap();
        writer.finish().await.unwrap();
        source.remove_raw(WEIGHTS).await.unwrap();
        key
    });
    let mut next = super::net::model(3_000, 1);
    next.insert("config.json".into(), b"{}".to_vec());
    net.set(|s| s.commits.push(("2".repeat(40), next)));
    net.take_log();
    block_on(async {
        let source = open(&net, place.store(), &ear).await.unwrap();
        assert_eq!(source.key(WEIGHTS).unwrap(), key[..64]);
        assert_eq!(source.derived(&key).await.unwrap().unwrap().read_at(0, 4).await.unwrap(), b"form");
        for file in super::net::SMALL {
            pplx_embed::hub::read(&source, file, 1 << 20).await.unwrap();
        }
        source.loaded().await;
        drop(source);
        let again = open(&net, place.store(), &ear).await.unwrap();
        assert!(again.derived(&key).await.unwrap().is_some(), "it outlives the revision it was made for");
    });
    assert_eq!(net.take_log(), [("config.json".to_owned(), 0)]);
    let [kept] = &place.kept()[..] else { panic!("{:?}", place.kept()) };
    assert!(kept.complete && kept.revision == "2".repeat(40), "{kept:?}");
}
