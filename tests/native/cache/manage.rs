//! What is kept is listed and removed.

use std::fs;

use pollster::block_on;
use pplx_embed::hub::Repository;
use pplx_embed::hub::cache::{self, Cached};

use super::net::{ENDPOINT, ID, Net, RETRY, WEIGHTS, model};
use super::{Ear, Place, load_well, open, read_all};

#[test]
fn deleting_frees_what_no_other_model_has() {
    let (net, place) = (Net::new(5_000), Place::new());
    load_well(&net, &place);
    let by_commit = Repository { revision: Some("1".repeat(40)), ..net.repository() };
    net.set(|s| s.commits.push(("2".repeat(40), model(7_000, 2))));
    block_on(async {
        let ear = Ear::default();
        let pinned = Cached::open(&by_commit, net.clone(), RETRY, Some(place.store()), &ear).await.unwrap();
        read_all(&pinned).await.unwrap();
    });
    load_well(&net, &place);
    assert_eq!(place.kept().len(), 2, "the old commit was asked for by its own name");
    let store = place.store();
    block_on(async {
        assert_eq!(cache::delete(&store, "owner/other", None, None).await.unwrap(), 0);
        assert_eq!(cache::delete(&store, ID, Some("v7"), None).await.unwrap(), 0);
        assert_eq!(cache::delete(&store, ID, None, Some("https://elsewhere.test")).await.unwrap(), 0);
        assert_eq!(place.kept().len(), 2);
        assert_eq!(cache::delete(&store, ID, Some("main"), None).await.unwrap(), 7_000);
        assert_eq!(place.kept().len(), 1);
        let small: u64 = model(0, 0).values().map(|b| b.len() as u64).sum();
        let freed = cache::delete(&store, ID, None, Some(&format!("{ENDPOINT}/"))).await.unwrap();
        assert_eq!(freed, 5_000 + small);
    });
    assert!(place.files("blobs").is_empty() && place.files("refs").is_empty());
}

#[test]
fn what_is_in_use_is_not_deleted() {
    let (net, place) = (Net::new(5_000), Place::new());
    load_well(&net, &place);
    let (ear, store) = (Ear::default(), place.store());
    block_on(async {
        let source = open(&net, place.store(), &ear).await.unwrap();
        let local = source.local(WEIGHTS).await.unwrap().unwrap();
        for _ in 0..2 {
            assert_eq!(cache::delete(&store, ID, None, None).await.unwrap_err().code(), "in-use");
            assert_eq!(cache::clear(&store).await.unwrap_err().code(), "in-use");
        }
        drop(source);
        assert_eq!(cache::clear(&store).await.unwrap_err().code(), "in-use", "its file is still open");
        assert_eq!(local.read_at(0, 5_000).await.unwrap(), net.weights());
        drop(local);
        assert!(cache::clear(&store).await.unwrap() > 5_000);
    });
    assert!(place.files("blobs").is_empty() && place.files("refs").is_empty());
}

#[test]
fn the_command_line_lists_and_deletes() {
    let (net, place) = (Net::new(5_000), Place::new());
    load_well(&net, &place);
    let run = |arguments: &[&str], code: i32| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
        let output = command.arg("cache").args(arguments).env("PPLX_EMBED_CACHE", &place.0).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let text = if code == 0 { output.stdout } else { output.stderr };
        String::from_utf8(text).unwrap().trim_end().to_owned()
    };
    let path = place.0.to_str().unwrap();
    assert_eq!(run(&["path"], 0), path);
    let elsewhere = format!("{path}-elsewhere");
    assert_eq!(run(&["path", "--cache-dir", &elsewhere], 0), elsewhere);
    fs::remove_dir_all(&elsewhere).unwrap();
    let line = run(&["list"], 0);
    assert!(line.starts_with("owner/name  main (1111") && line.contains(" 4 files, from https://hub.test"), "{line}");
    let json: serde_json::Value = serde_json::from_str(&run(&["list", "--json"], 0)).unwrap();
    assert_eq!((&json[0]["id"], &json[0]["complete"]), (&ID.into(), &true.into()));
    assert!(run(&["delete", "owner/other"], 1).contains("owner/other: not found at"));
    let ear = Ear::default();
    let source = block_on(open(&net, place.store(), &ear)).unwrap();
    assert_eq!(run(&["delete", ID], 1), "error: owner/name is in use");
    drop(source);
    let freed = run(&["delete", ID, "--json"], 0);
    assert_eq!(freed, format!("{{\"freed\":{}}}", json[0]["bytes"]));
    assert_eq!((run(&["list"], 0), run(&["clear"], 0)), (String::new(), "freed 0 bytes".into()));
}
