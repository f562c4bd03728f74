//! Models from a server: a local one that redirects, refuses, breaks off and lies.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use pplx_embed::Error;
use pplx_embed::hub::{Folder, Http, Repository};
use pplx_embed::model::{EmbedOptions, LoadOptions, Model};

const CHECKPOINT: &str = "tests/fixtures/checkpoints/bf16-gqa4-sharded";
const TOKEN: &str = "hf_secret";

/// What a request said: its path, and its Authorization header.
#[derive(Clone, Debug, PartialEq)]
struct Request {
    path: String,
    authorization: Option<String>,
}

/// A server on a port of its own, as long as the test runs.
struct Server {
    endpoint: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request with the bytes that `answer` gives for it.
    fn start(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read_request(&stream);
                log.lock().unwrap().push(request.clone());
                // A client that has seen enough hangs up.
                drop(stream.write_all(&answer(&request.path)));
            }
        });
        Self { endpoint, requests }
    }

    fn repository(&self) -> Repository {
        Repository {
            endpoint: Some(self.endpoint.clone()),
            id: "owner/name".into(),
            revision: Some("refs/pr/1".into()),
            token: Some(TOKEN.into()),
        }
    }

    fn load(&self) -> Result<Model, Error> {
        let source = Http::new(&self.repository()).unwrap();
        pollster::block_on(Model::load(&source, LoadOptions::default(), &()))
    }
}

fn read_request(stream: &TcpStream) -> Request {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|l| !l.is_empty());
    let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
    let authorization = lines.filter_map(|l| {
        let (name, value) = l.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| value.trim().to_owned())
    });
    Request { path, authorization: authorization.last() }
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

const BASE: &str = "/owner/name/resolve/refs%2Fpr%2F1/";

/// The file of the checkpoint that `path` asks for, or 404.
fn serve(path: &str) -> Vec<u8> {
    let file = path.strip_prefix(BASE).and_then(|file| std::fs::read(format!("{CHECKPOINT}/{file}")).ok());
    file.map_or_else(|| response("404 Not Found", "", b"no such file"), |bytes| response("200 OK", "", &bytes))
}

fn error(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Error {
    let error = Server::start(answer).load().err().unwrap();
    assert!(!error.to_string().contains(TOKEN), "{error}");
    assert!(!format!("{error:?}").contains(TOKEN), "{error:?}");
    error
}

#[test]
fn a_served_model_gives_the_vectors_of_its_folder() {
    let server = Server::start(serve);
    let remote = server.load().unwrap();
    let options = LoadOptions::default();
    let local = pollster::block_on(Model::load(&Folder::new(CHECKPOINT), options, &())).unwrap();
    let embed = |model: &Model| pollster::block_on(model.embed(&["a river"], EmbedOptions::default(), &())).unwrap();
    assert_eq!(embed(&remote), embed(&local));
    let requests = server.requests.lock().unwrap();
    assert!(requests.iter().all(|r| r.authorization.as_deref() == Some("Bearer hf_secret")));
    // Each shard is asked for once.
    assert_eq!(requests.iter().filter(|r| r.path.ends_with("00002-of-00003.safetensors")).count(), 1);
}

#[test]
fn a_redirect_is_followed_and_the_token_stays_behind() {
    let other = Server::start(serve);
    let target = other.endpoint.clone();
    let hub = Server::start(move |path| response("302 Found", &format!("Location: {target}{path}\r\n"), b""));
    assert!(hub.load().is_ok());
    assert!(hub.requests.lock().unwrap().iter().all(|r| r.authorization.is_some()));
    assert!(other.requests.lock().unwrap().iter().all(|r| r.authorization.is_none()));
    assert!(other.requests.lock().unwrap().len() >= 5);
}

#[test]
fn refusals_say_what_the_server_said() {
    for (status, code, word) in [
        ("401 Unauthorized", "network", "private"),
        ("404 Not Found", "not-found", "config.json"),
        ("429 Too Many Requests", "network", "later"),
        ("500 Internal Server Error", "network", "500"),
    ] {
        let error = error(move |_| response(status, "", b""));
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_start_page_in_place_of_a_file_is_no_file() {
    let error = error(|_| response("200 OK", "Content-Type: text/html\r\n", b"<!doctype html>"));
    assert_eq!(error.code(), "not-found");
}

#[test]
fn a_body_that_breaks_off_or_is_too_short_is_an_error() {
    let cut = error(|path| {
        let mut bytes = serve(path);
        if path.contains("00002-of-00003") {
            bytes.truncate(bytes.len() / 2);
        }
        bytes
    });
    assert_eq!(cut.code(), "io");
    assert!(cut.to_string().contains("00002-of-00003"), "{cut}");
    // The server's length is right, but the file on it is not whole.
    let short = error(|path| {
        let file = path.strip_prefix(BASE).unwrap_or_default();
        match std::fs::read(format!("{CHECKPOINT}/{file}")) {
            Ok(bytes) if file.contains("00002-of-00003") => response("200 OK", "", &bytes[..bytes.len() - 9]),
            _ => serve(path),
        }
    });
    assert_eq!(short.code(), "invalid-checkpoint");
}

#[test]
fn a_server_that_is_not_there_is_a_network_error() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let repository = Repository { endpoint: Some(format!("http://{free}")), id: "a".into(), ..Default::default() };
    let source = Http::new(&repository).unwrap();
    let error = pollster::block_on(Model::load(&source, LoadOptions::default(), &())).err().unwrap();
    assert_eq!(error.code(), "network");
}
