//! A local Hub that refuses, breaks off and lies: each fault alone, and any of them together.

use std::time::Duration;

use pplx_embed::Error;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::hub::*;

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
            fails(read(&remote, file), "network", "is a Hub by what it says of this file, but");
            fails(read(&remote, file), "network", "check the endpoint and its path");
        }
    }
    hub.faults(&[]);
    assert!(open(&hub.repository(SMALL)).is_ok());
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
    // Each case is dozens of requests.
    let config = ProptestConfig { cases: ProptestConfig::default().cases / 4, ..Default::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
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
