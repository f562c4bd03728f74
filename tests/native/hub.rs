//! Models from a server: a local Hub that redirects, refuses, breaks off and lies.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pplx_embed::hub::{self, ByteStream, Digest, Folder, Http, Remote, Repository, Retry};
use pplx_embed::model::{EmbedOptions, LoadOptions, Model};
use serde_json::{Value, json};

use crate::support::hub::*;

#[test]
fn a_served_model_gives_the_vectors_of_its_folder() {
    let hub = Hub::start();
    let remote = open(&hub.repository(SHARDED)).unwrap();
    let load = |source| pollster::block_on(Model::load(source, LoadOptions::default(), &())).unwrap();
    let options = LoadOptions::default();
    let folder = Folder::new(format!("tests/fixtures/checkpoints/{SHARDED}"));
    let local = pollster::block_on(Model::load(&folder, options, &())).unwrap();
    let embed = |model: &Model| pollster::block_on(model.embed(&["a river"], EmbedOptions::default(), &())).unwrap();
    assert_eq!(embed(&load(&remote)), embed(&local));
    // The beginnings of the shards, which say how much room they take; then each shard once, and the tokenizer.
    let cdn = hub.requests().into_iter().filter(|r| r.origin == "cdn").count();
    assert_eq!(cdn, 3 + 3 + 1);
    keeps_the_token(&hub);
}

#[test]
fn the_revision_becomes_a_commit_and_every_page_of_its_files_is_read() {
    let hub = Hub::start();
    let of = |revision: &str| Repository { revision: Some(revision.into()), ..hub.repository(SHARDED) };
    let remote = open(&of("refs/pr/1")).unwrap();
    let commit = remote.commit().unwrap().to_owned();
    assert_eq!((remote.endpoint(), remote.id(), remote.revision()), (&*hub.endpoint, SHARDED, "refs/pr/1"));
    let files = files(SHARDED);
    let manifest = remote.manifest().unwrap();
    assert!(manifest.files.keys().eq(files.keys()), "{:?}", manifest.files.keys());
    for (file, bytes) in &files {
        let info = remote.info(file).unwrap();
        assert_eq!(info.size, Some(bytes.len() as u64));
        let large = file.ends_with(".safetensors") || file == "tokenizer.json";
        assert_eq!(matches!(info.digest, Some(Digest::Sha256(_))), large, "{file}");
        assert_eq!(&read(&remote, file).unwrap(), bytes);
    }
    assert_eq!(hub.requests().iter().filter(|r| r.path.contains("/tree/")).count(), files.len().div_ceil(3) + 1);
    assert!(hub.requests().iter().filter(|r| r.path.contains("/resolve/")).all(|r| r.path.contains(&commit)));
    keeps_the_token(&hub);
    assert_eq!(open(&of(&commit)).unwrap().commit(), Some(&*commit));
    // What is not in the manifest is not asked for.
    let asked = hub.requests().len();
    fails(read(&remote, "added_tokens.json"), "not-found", "added_tokens.json");
    fails(pollster::block_on(remote.open_at("../config.json", 0)), "io", "not a path");
    // Opening the commit took the revision and the tree's pages.
    assert_eq!(hub.requests().len(), asked);
}

#[test]
fn a_plain_host_has_no_manifest_and_serves_all_the_same() {
    let hub = Hub::start();
    let remote = open(&hub.plain(SMALL)).unwrap();
    assert_eq!((remote.commit(), remote.info(WEIGHTS)), (None, None));
    let mut stream = pollster::block_on(remote.open_at(WEIGHTS, 0)).unwrap();
    assert_eq!(stream.info().size, Some(local(SMALL, WEIGHTS).len() as u64));
    assert!(stream.info().tag.as_deref().is_some_and(|t| t.starts_with('"')));
    assert!(stream.info().digest.is_none());
    assert!(pollster::block_on(stream.next()).unwrap().is_some());
    assert_eq!(read(&remote, WEIGHTS).unwrap(), local(SMALL, WEIGHTS));
    assert_eq!(pollster::block_on(hub::read_optional(&remote, "no.json", 9)).unwrap(), None);
    // Development servers answer with their start page where there is no file.
    hub.faults(&[json!({ "kind": "html", "always": true })]);
    let remote = open(&hub.plain(SMALL)).unwrap();
    assert_eq!(pollster::block_on(hub::read_optional(&remote, "no.json", 9)).unwrap(), None);
    for status in [400, 403, 404, 405] {
        hub.faults(&[json!({ "kind": "status", "status": status, "path": "/api/" })]);
        assert!(open(&hub.plain(SMALL)).unwrap().manifest().is_none(), "{status}");
    }
}

#[test]
fn pages_elsewhere_or_without_end_are_not_followed() {
    let hub = Hub::start();
    let page = |link: &str| {
        let headers = json!({ "Link": format!("<{link}>; rel=\"next\""), "Content-Type": "application/json" });
        json!({ "kind": "page", "headers": headers, "path": "/tree/", "always": true })
    };
    hub.faults(&[page("https://evil.example/api?cursor=1")]);
    fails(open(&hub.repository(SMALL)), "network", "not on the same server");
    hub.faults(&[page("?recursive=true&cursor=0")]);
    fails(open(&hub.repository(SMALL)), "network", "more than 100 pages");
}

#[test]
fn a_token_is_what_a_private_model_needs() {
    let hub = Hub::start();
    hub.control(&json!({ "private": { SMALL: TOKEN } }));
    let remote = open(&hub.repository(SMALL)).unwrap();
    // A small file's redirect stays on the Hub, which wants the token again.
    assert_eq!(read(&remote, "config.json").unwrap(), local(SMALL, "config.json"));
    assert_eq!(read(&remote, WEIGHTS).unwrap(), local(SMALL, WEIGHTS));
    keeps_the_token(&hub);
    let asked = hub.requests().len();
    for token in [None, Some("hf_other".into())] {
        fails(open(&Repository { token, ..hub.repository(SMALL) }), "network", "401");
    }
    fails(open(&hub.repository("no/such-model")), "network", "private");
    assert_eq!(hub.requests().len(), asked + 3, "a 401 is not tried again");
    let revision = Some("v9".into());
    fails(open(&Repository { revision, ..hub.repository(SMALL) }), "not-found", "revision v9");
}

#[test]
fn a_file_is_read_from_any_byte_on() {
    let hub = Hub::start();
    let want = local(SMALL, WEIGHTS);
    let size = want.len() as u64;
    for (repository, path) in places(&hub) {
        let remote = open(&repository).unwrap();
        for from in [0, 1, 65_537, size - 1, size] {
            for fault in [json!({ "kind": "full" }), json!({ "kind": "cut", "at": 3 }), json!({ "kind": "encode" })] {
                let mut fault = fault;
                fault["path"] = path.into();
                hub.faults(&[fault]);
                let mut got = Vec::new();
                pollster::block_on(async {
                    let mut stream = remote.open_at(WEIGHTS, from).await.unwrap();
                    while let Some(chunk) = stream.next().await.unwrap() {
                        got.extend(chunk);
                    }
                    assert_eq!(stream.position(), size);
                });
                assert!(got == want[from as usize..], "from {from}");
            }
        }
        hub.faults(&[]);
        fails(pollster::block_on(remote.open_at(WEIGHTS, size + 1)), "integrity", "was to be read from byte 304273");
    }
}

#[test]
fn no_more_than_four_bodies_are_open_at_once() {
    let hub = Hub::start();
    let remote = open(&hub.repository(SMALL)).unwrap();
    let open = |at: u64| remote.open_at(WEIGHTS, at);
    let streams: Vec<_> = (0..4).map(|at| pollster::block_on(open(at)).unwrap()).collect();
    let mut fifth = Box::pin(open(4));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(fifth.as_mut().poll(&mut context).is_pending());
    drop(streams);
    assert_eq!(pollster::block_on(fifth).unwrap().position(), 4);
}

#[test]
fn waits_and_reads_end_when_the_caller_cancels() {
    let hub = Hub::start();
    hub.faults(&[json!({ "kind": "status", "status": 429, "headers": { "Retry-After": "200" } })]);
    let stop = Arc::new(AtomicBool::new(false));
    let (cancel, cancelled) = (Arc::clone(&stop), Arc::clone(&stop));
    let http = Http::default().cancelled_by(move || cancelled.load(Ordering::Relaxed));
    let repository = hub.repository(SMALL);
    let opening =
        std::thread::spawn(move || pollster::block_on(Remote::open(&repository, http, Retry::default())).map(|_| ()));
    while hub.requests().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    cancel.store(true, Ordering::Relaxed);
    // It would wait for minutes.
    fails(opening.join().unwrap(), "aborted", "cancelled");

    stop.store(false, Ordering::Relaxed);
    let flag = Arc::clone(&stop);
    let http = Http::default().cancelled_by(move || flag.load(Ordering::Relaxed));
    pollster::block_on(async {
        let remote = Remote::open(&hub.repository(SMALL), http, Retry::default()).await.unwrap();
        let mut stream = remote.open_at(WEIGHTS, 0).await.unwrap();
        assert!(stream.next().await.unwrap().is_some());
        stop.store(true, Ordering::Relaxed);
        fails(stream.next().await, "aborted", "cancelled");
    });
}

#[test]
fn a_server_that_is_not_there_is_a_network_error() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let repository = Repository { endpoint: Some(format!("http://{free}")), id: "a".into(), ..Default::default() };
    fails(open(&repository), "network", &free.to_string());
}

#[test]
fn a_server_that_repeats_the_token_is_not_quoted() {
    let hub = Hub::start();
    let headers = json!({ "X-Error-Message": format!("bad token {TOKEN}") });
    hub.faults(&[json!({ "kind": "status", "status": 401, "headers": headers })]);
    fails(open(&hub.repository(SMALL)), "network", "bad token [token]");
}

#[test]
fn redirects_without_end_or_to_nowhere_are_errors() {
    let hub = Hub::start();
    let remote = open(&hub.repository(SMALL)).unwrap();
    let redirect = |headers: Value| json!({ "kind": "status", "status": 302, "headers": headers, "always": true });
    for (headers, words) in [
        (json!({ "Location": "/again" }), "redirects more than 10 times"),
        (json!({ "Location": "file:///etc/passwd" }), "without a usable Location"),
        (json!({}), "without a usable Location"),
    ] {
        hub.faults(&[redirect(headers)]);
        fails(read(&remote, WEIGHTS), "network", words);
    }
}

/// `pplx-embed info` of a model on the hub, with a home of Hugging Face's tools.
fn command_line(hub: &Hub, home: &Path, token: Option<&str>) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
    command.args(["info", "--json", "--quiet", "--no-cache", "--model", SMALL, "--endpoint", &hub.endpoint]);
    command.env("HF_HOME", home).env_remove("HF_TOKEN");
    if let Some(token) = token {
        command.env("HF_TOKEN", token);
    }
    command.output().unwrap()
}

#[test]
fn the_command_line_finds_the_token_and_what_other_tools_have_fetched() {
    let hub = Hub::start();
    let home = std::env::temp_dir().join(format!("pplx-embed-hub-{}", std::process::id()));
    let commit = open(&hub.repository(SMALL)).unwrap().commit().unwrap().to_owned();
    let snapshot = home.join("hub").join(format!("models--{SMALL}")).join("snapshots").join(&commit);
    std::fs::create_dir_all(snapshot.join("1_Pooling")).unwrap();
    std::fs::write(home.join("token"), "hf_of_another_hub").unwrap();
    let info = |token: Option<&str>| {
        hub.control(&json!({ "log": [] }));
        let output = command_line(&hub, &home, token);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let requests = hub.requests();
        let want = token.map(|token| format!("Bearer {token}"));
        assert!(requests.iter().all(|r| r.origin == "cdn" || r.authorization == want), "{requests:?}");
        requests.iter().filter(|r| r.path.contains("/resolve/")).count()
    };
    // While another tool's download is under way, and when it is done.
    let (weights, others): (Vec<_>, Vec<_>) = files(SMALL).into_iter().partition(|(file, _)| file == WEIGHTS);
    for (file, bytes) in others {
        std::fs::write(snapshot.join(file), bytes).unwrap();
    }
    assert!(info(None) >= 4);
    for (file, bytes) in weights {
        std::fs::write(snapshot.join(file), bytes).unwrap();
    }
    assert_eq!(info(Some(TOKEN)), 0);
    std::fs::remove_dir_all(home).unwrap();
}
