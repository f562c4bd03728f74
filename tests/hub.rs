//! Models from a server: a local Hub that redirects, refuses, breaks off and lies.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "support/hub.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pplx_embed::Error;
use pplx_embed::hub::{self, Digest, Folder, Http, Remote, Repository, Retry, Source, Stream};
use pplx_embed::model::{EmbedOptions, LoadOptions, Model};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Hasty, Hub, TOKEN, open, open_with};

const SHARDED: &str = "bf16-gqa4-sharded";
const SMALL: &str = "f32-odd";
const WEIGHTS: &str = "model.safetensors";

fn read(source: &impl Source, file: &str) -> Result<Vec<u8>, Error> {
    pollster::block_on(hub::read(source, file, 1 << 30))
}

fn local(id: &str, file: &str) -> Vec<u8> {
    std::fs::read(Path::new("tests/fixtures/checkpoints").join(id).join(file)).unwrap()
}

/// Every file of a model, by its path.
fn files(id: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new("tests/fixtures/checkpoints").join(id);
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().replace('\\', "/");
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Neither the token nor the signature of the CDN's address is for anyone's log.
#[track_caller]
fn says_no_secret(error: &Error) {
    for words in [error.to_string(), format!("{error:?}")] {
        assert!(!words.contains(TOKEN) && !words.contains("s3cret"), "{words}");
    }
}

#[track_caller]
fn fails<T>(result: Result<T, Error>, code: &str, words: &str) {
    let Err(error) = result else { panic!("it succeeds all the same") };
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(words), "no {words:?} in: {error}");
    says_no_secret(&error);
}

#[track_caller]
fn keeps_the_token(hub: &Hub) {
    for request in hub.requests() {
        let (of_hub, has) = (request.origin == "hub", request.authorization.as_deref() == Some("Bearer hf_secret"));
        assert_eq!(of_hub, has, "{request:?}");
    }
}

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
    // Each shard comes once.
    let cdn = hub.requests().into_iter().filter(|r| r.origin == "cdn").count();
    assert_eq!(cdn, 4, "three shards and the tokenizer");
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
        let entry = remote.entry(file).unwrap();
        assert_eq!(entry.size, Some(bytes.len() as u64));
        let large = file.ends_with(".safetensors") || file == "tokenizer.json";
        assert_eq!(matches!(entry.digest, Some(Digest::Sha256(_))), large, "{file}");
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
    assert_eq!((remote.commit(), remote.entry(WEIGHTS)), (None, None));
    let mut stream = pollster::block_on(remote.open_at(WEIGHTS, 0)).unwrap();
    assert_eq!(stream.entry().size, Some(local(SMALL, WEIGHTS).len() as u64));
    assert!(stream.entry().tag.as_deref().is_some_and(|t| t.starts_with('"')));
    assert!(stream.entry().digest.is_none());
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
fn a_fault_does_not_pass_for_a_host_without_a_manifest() {
    let hub = Hub::start();
    for (fault, code) in [
        (json!({ "kind": "status", "status": 500 }), "network"),
        (json!({ "kind": "status", "status": 503 }), "network"),
        (json!({ "kind": "status", "status": 429 }), "network"),
        (json!({ "kind": "status", "status": 401 }), "network"),
        (json!({ "kind": "status", "status": 404, "headers": { "X-Error-Code": "RepoNotFound" } }), "not-found"),
        (json!({ "kind": "status", "status": 403, "headers": { "X-Error-Code": "GatedRepo" } }), "network"),
        (json!({ "kind": "cut", "at": -1 }), "network"),
        (json!({ "kind": "cut", "at": 20 }), "network"),
        (json!({ "kind": "truncate", "at": 20 }), "network"),
        (json!({ "kind": "length", "by": 5 }), "network"),
        (json!({ "kind": "corrupt", "at": 0 }), "network"),
    ] {
        for path in ["/revision/", "/tree/"] {
            let mut fault = fault.clone();
            fault["path"] = path.into();
            fault["always"] = true.into();
            hub.faults(&[fault.clone()]);
            let code = if path == "/tree/" { "network" } else { code };
            let Err(error) = open(&hub.repository(SMALL)) else { panic!("{fault}") };
            assert_eq!(error.code(), code, "{fault}: {error}");
            says_no_secret(&error);
        }
    }
    // Nor where a Hub's answer is that of another server altogether: its files' own headers tell.
    for fault in [json!({ "kind": "status", "status": 404 }), json!({ "kind": "html" })] {
        hub.faults(&[fault]);
        let remote = open(&hub.repository(SMALL)).unwrap();
        for file in ["config.json", WEIGHTS] {
            fails(read(&remote, file), "network", "is a Hub");
        }
    }
    hub.faults(&[]);
    assert!(open(&hub.repository(SMALL)).is_ok());
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

/// Reads a file of a fresh remote while the hub has these faults, and then without.
fn with_faults(hub: &Hub, repository: &Repository, file: &str, faults: &[Value]) -> (Result<Vec<u8>, Error>, Vec<u64>) {
    let transport = Hasty::new(Duration::from_millis(500));
    let waits = Arc::clone(&transport.waits);
    let remote = pollster::block_on(Remote::open(repository, transport, Retry::default())).unwrap();
    hub.faults(faults);
    let result = read(&remote, file);
    hub.faults(&[]);
    assert_eq!(read(&remote, file).unwrap(), local(SMALL, file), "after {faults:?}");
    keeps_the_token(hub);
    let waits = waits.lock().unwrap().iter().map(|w| w.as_millis() as u64).collect();
    (result, waits)
}

/// Where the bytes are: the CDN for a Hub's large files, the server itself for a plain host.
fn places(hub: &Hub) -> [(Repository, &'static str); 2] {
    [(hub.repository(SMALL), "/xet-bridge/"), (hub.plain(SMALL), "/resolve/")]
}

#[test]
fn faults_that_pass_are_waited_out() {
    let hub = Hub::start();
    let many = |fault: Value, count: usize| vec![fault; count];
    for (repository, path) in places(&hub) {
        for mut faults in [
            many(json!({ "kind": "cut", "at": 1000 }), 9),
            many(json!({ "kind": "cut", "at": -1 }), 4),
            many(json!({ "kind": "cut", "at": 0 }), 4),
            many(json!({ "kind": "stall", "at": 100_000 }), 1),
            many(json!({ "kind": "hang" }), 1),
            many(json!({ "kind": "status", "status": 500 }), 4),
            many(json!({ "kind": "status", "status": 429 }), 4),
            vec![json!({ "kind": "cut", "at": 70_000 }), json!({ "kind": "full" })],
            vec![json!({ "kind": "cut", "at": 70_000 }), json!({ "kind": "range", "by": 1 })],
            vec![json!({ "kind": "cut", "at": 70_000 }), json!({ "kind": "norange" })],
            vec![json!({ "kind": "cut", "at": 70_000 }), json!({ "kind": "encode" })],
            vec![json!({ "kind": "cut", "at": 70_000 }), json!({ "kind": "length", "by": 5 })],
            vec![json!({ "kind": "encode" })],
        ] {
            for fault in &mut faults {
                fault["path"] = path.into();
            }
            let (result, waits) = with_faults(&hub, &repository, WEIGHTS, &faults);
            assert!(result.unwrap() == local(SMALL, WEIGHTS), "{faults:?}");
            assert!(waits.len() <= faults.len() && waits.iter().all(|&ms| ms <= 4000), "{faults:?}: {waits:?}");
        }
    }
}

#[test]
fn faults_of_one_answer_are_mended_where_the_manifest_knows_better() {
    let hub = Hub::start();
    for fault in [
        json!({ "kind": "truncate", "at": 1000 }),
        json!({ "kind": "length", "by": -5 }),
        json!({ "kind": "length", "by": 5 }),
        json!({ "kind": "html" }),
        json!({ "kind": "etag" }),
    ] {
        let mut fault = fault;
        fault["path"] = "/xet-bridge/".into();
        let (result, _) = with_faults(&hub, &hub.repository(SMALL), WEIGHTS, &[fault.clone()]);
        assert!(result.unwrap() == local(SMALL, WEIGHTS), "{fault}");
    }
}

#[test]
fn faults_that_stay_are_typed_errors() {
    let hub = Hub::start();
    for (fault, on_hub, on_plain) in [
        (json!({ "kind": "cut", "at": 0 }), ("io", "broke off after 0 of"), ("io", "broke off after 0 of")),
        (json!({ "kind": "status", "status": 500 }), ("network", "500"), ("network", "500")),
        (json!({ "kind": "status", "status": 429 }), ("network", "later"), ("network", "later")),
        (json!({ "kind": "status", "status": 401 }), ("network", "private"), ("network", "private")),
        (json!({ "kind": "status", "status": 403 }), ("network", "403"), ("network", "403")),
        // What the manifest lists is there: that it is missing is no reason to do without.
        (json!({ "kind": "status", "status": 404 }), ("network", "404"), ("not-found", WEIGHTS)),
        (json!({ "kind": "html" }), ("network", "web page"), ("not-found", WEIGHTS)),
        (json!({ "kind": "length", "by": 7 }), ("integrity", "expected 304272"), ("integrity", "has 304279 bytes")),
        (json!({ "kind": "truncate", "at": 0 }), ("io", "broke off after 0 of 304272"), ("none", "")),
        (json!({ "kind": "corrupt", "at": 200_000 }), ("integrity", "expected sha256:2c4eb985"), ("none", "")),
    ] {
        for ((repository, path), (code, words)) in places(&hub).into_iter().zip([on_hub, on_plain]) {
            let mut fault = fault.clone();
            fault["path"] = path.into();
            fault["always"] = true.into();
            let (result, _) = with_faults(&hub, &repository, WEIGHTS, &[fault.clone()]);
            match code {
                // Without a manifest nobody knows better; the checkpoint's own header may.
                "none" => assert!(result.unwrap() != local(SMALL, WEIGHTS), "{fault}"),
                code => fails(result, code, words),
            }
        }
    }
}

#[test]
fn a_body_that_goes_on_never_adds_to_the_file() {
    let hub = Hub::start();
    for by in [1, 300_000] {
        let fault = json!({ "kind": "grow", "by": by, "path": "/xet-bridge/" });
        let (result, _) = with_faults(&hub, &hub.repository(SMALL), WEIGHTS, &[fault]);
        // What comes after the last byte, in a piece of its own, is not even read.
        match result {
            Ok(bytes) => assert!(bytes == local(SMALL, WEIGHTS)),
            result => fails(result, "integrity", "more than the 304272"),
        }
    }
}

#[test]
fn a_small_file_is_held_against_its_git_hash() {
    let hub = Hub::start();
    let fault = json!({ "kind": "corrupt", "at": 5, "path": "/resolve-cache/" });
    let (result, _) = with_faults(&hub, &hub.repository(SMALL), "config.json", &[fault]);
    fails(result, "integrity", "expected git-sha1:3919fb39b59c5b66098f6631a3df657c411fcbd7");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let hub = Hub::start();
    let cut = json!({ "kind": "cut", "at": 70_000, "path": WEIGHTS });
    for (fault, words) in [
        (json!({ "kind": "etag", "path": WEIGHTS }), "changed while"),
        (json!({ "kind": "status", "status": 416, "path": WEIGHTS }), "was to be read from byte 70000"),
    ] {
        let (result, _) = with_faults(&hub, &hub.plain(SMALL), WEIGHTS, &[cut.clone(), fault]);
        fails(result, "integrity", words);
    }
    let requests = hub.requests();
    let resumed: Vec<_> = requests.iter().filter(|r| r.range.as_deref() == Some("bytes=70000-")).collect();
    assert!(!resumed.is_empty() && resumed.iter().all(|r| r.if_range.as_deref().is_some_and(|t| t.starts_with('"'))));
}

#[test]
fn a_server_says_how_long_it_wants_to_be_left_alone() {
    let hub = Hub::start();
    let busy = |headers: Value| json!({ "kind": "status", "status": 429, "headers": headers, "path": WEIGHTS });
    for (headers, wait) in [
        (json!({ "Retry-After": "17" }), 17_000),
        (json!({ "RateLimit": "\"resolvers\";r=0;t=33" }), 33_000),
        (json!({ "Retry-After": "5", "RateLimit": "\"resolvers\";r=0;t=299" }), 299_000),
    ] {
        let (result, waits) = with_faults(&hub, &hub.repository(SMALL), WEIGHTS, &[busy(headers)]);
        assert!(result.is_ok());
        assert_eq!(waits, [wait]);
    }
    let (result, waits) =
        with_faults(&hub, &hub.repository(SMALL), WEIGHTS, &[busy(json!({ "Retry-After": "86400" }))]);
    fails(result, "network", "try again later");
    assert!(waits.is_empty(), "{waits:?}");
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
    command.args(["info", "--json", "--quiet", "--model", SMALL, "--endpoint", &hub.endpoint]);
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

/// A fault of any kind, of any request.
fn fault() -> impl Strategy<Value = Value> {
    let at = prop_oneof![Just(0_u32), 0..2000_u32, 0..400_000_u32];
    let by = prop_oneof![-9..0_i32, 1..9_i32];
    let status = prop_oneof![Just(429), Just(500), Just(503), Just(401), Just(403), Just(404), Just(416), Just(206)];
    let kind = prop_oneof![
        Just("status"),
        Just("cut"),
        Just("truncate"),
        Just("grow"),
        Just("corrupt"),
        Just("length"),
        Just("full"),
        Just("range"),
        Just("norange"),
        Just("etag"),
        Just("encode"),
        Just("html"),
        Just("stall"),
        Just("hang"),
    ];
    let path = prop_oneof![4 => Just(""), 1 => Just("/api/"), 3 => Just("/resolve"), 3 => Just("/xet-bridge/")];
    (kind, at, by, status, path).prop_map(|(kind, at, by, status, path)| {
        let by = if kind == "grow" { by.abs() } else { by };
        json!({ "kind": kind, "at": at, "by": by, "status": status, "path": path })
    })
}

#[test]
fn under_any_faults_the_bytes_are_right_or_an_error_is_typed() {
    let hub = Hub::start();
    let files = files(SMALL);
    let read_all = |stall| -> Result<(), Error> {
        let remote = open_with(&hub.repository(SMALL), stall)?;
        for (file, bytes) in &files {
            assert!(read(&remote, file)? == *bytes, "{file} has other bytes");
        }
        Ok(())
    };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 60, ..Default::default() });
    let outcome = runner.run(&prop::collection::vec(fault(), 0..8), |faults| {
        hub.faults(&faults);
        if let Err(error) = read_all(Duration::from_millis(300)) {
            says_no_secret(&error);
            prop_assert!(["network", "io", "integrity", "not-found"].contains(&error.code()), "{}", error);
        }
        hub.faults(&[]);
        if let Err(error) = read_all(Duration::from_secs(10)) {
            return Err(TestCaseError::fail(format!("without faults: {error}")));
        }
        Ok(())
    });
    keeps_the_token(&hub);
    outcome.unwrap();
}

proptest! {
    /// Whatever a server writes, nothing panics, and what is understood is consistent.
    #[test]
    fn foreign_text_is_understood_or_refused(text in "[ -~]{0,40}|\\PC{0,20}|bytes [0-9]{0,22}-[0-9]{0,22}/[0-9*]{0,22}|<[ -~]{0,20}>; ?rel=\"?[a-z ]{0,9}") {
        use pplx_embed::hub::headers::{ContentRange, join, next_link, retry_after};
        if let Some(ContentRange { bytes: Some((first, last)), total }) = ContentRange::parse(&text) {
            prop_assert!(first <= last && total.is_none_or(|total| last < total));
        }
        if let Some(link) = next_link(&text) {
            prop_assert!(text.contains(link));
        }
        let _ = retry_after(Some(&text), Some(&text));
        if let Some(url) = join("https://hub.example/a", &text) {
            prop_assert!(url.to_ascii_lowercase().starts_with("http"), "{}", url);
        }
    }

    #[test]
    fn foreign_manifests_are_understood_or_refused(text in "\\PC{0,60}|[\\[\\]{}\",:a-z0-9]{0,60}") {
        use pplx_embed::hub::Manifest;
        let mut manifest = Manifest::default();
        if manifest.add_page(text.as_bytes()).is_ok() {
            prop_assert!(manifest.files.values().all(|e| e.size.is_some() && e.digest.is_some()));
        }
        if let Ok(Some(commit)) = Manifest::parse_commit(text.as_bytes()) {
            prop_assert_eq!(commit.len(), 40);
        }
    }

    /// A page of the Hub with one byte changed, or cut: the files are safe names with a size and a digest.
    #[test]
    fn broken_manifests_are_understood_or_refused(at in 0_usize..500, byte in any::<u8>(), cut in any::<bool>()) {
        use pplx_embed::hub::Manifest;
        let oid = "0".repeat(64);
        let lfs = json!({ "oid": oid, "size": 4, "pointerSize": 134 });
        let page = json!([
            { "type": "file", "oid": &oid[..40], "size": 7, "path": "1_Pooling/config.json" },
            { "type": "file", "oid": &oid[..40], "size": 4, "path": "model.safetensors", "lfs": lfs },
        ]);
        let mut page = page.to_string().into_bytes();
        let at = at % page.len();
        if cut { page.truncate(at) } else { page[at] = byte }
        let mut manifest = Manifest::default();
        if manifest.add_page(&page).is_ok() {
            for (file, entry) in &manifest.files {
                prop_assert!(!file.starts_with('/') && !file.split('/').any(|part| part == ".." || part.is_empty()));
                prop_assert!(entry.size.is_some() && entry.digest.is_some());
            }
        }
    }
}
