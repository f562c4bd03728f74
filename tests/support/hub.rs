//! The Hub of `tests/hub/server.mjs`, as long as a test runs, and ways to ask it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pplx_embed::hub::{self, Http, HttpResponse, Remote, Repository, Retry, Source, Transport};
use pplx_embed::{Error, Result};
use serde_json::{Value, json};

/// The token of every request.
pub const TOKEN: &str = "hf_secret";

/// A model in three shards, and a small one in a single file.
pub const SHARDED: &str = "bf16-gqa4-sharded";
pub const SMALL: &str = "f32-odd";
pub const WEIGHTS: &str = "model.safetensors";

/// A Hub and its CDN, in a process of their own.
pub struct Hub {
    process: Child,
    /// Its address.
    pub endpoint: String,
    /// The address of its CDN.
    pub cdn: String,
}

impl Hub {
    /// Serves `tests/fixtures/checkpoints`, three files on a page.
    pub fn start() -> Self {
        Self::serving(Path::new("tests/fixtures/checkpoints"))
    }

    /// The same of the models in another folder.
    pub fn serving(root: &Path) -> Self {
        let mut command = Command::new("node");
        command
            .args(["tests/hub/server.mjs", "--page", "3", "--root"])
            .arg(std::path::absolute(root).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses: Value = serde_json::from_str(&line).unwrap();
        let address = |name: &str| addresses[name].as_str().unwrap().into();
        Self { process, endpoint: address("hub"), cdn: address("cdn") }
    }

    /// Changes how it behaves from now on; see there.
    pub fn control(&self, change: &Value) {
        ureq::post(&format!("{}/control", self.endpoint)).send(change.to_string()).unwrap();
    }

    /// The faults of the next requests.
    pub fn faults(&self, faults: &[Value]) {
        self.control(&json!({ "faults": faults }));
    }

    /// What was asked of it, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        let mut answer = ureq::get(&format!("{}/log", self.endpoint)).call().unwrap();
        let log: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        let text = |value: &Value| value.as_str().map(String::from);
        let request = |r: &Value| Request {
            origin: text(&r["origin"]).unwrap(),
            path: text(&r["path"]).unwrap(),
            authorization: text(&r["headers"]["authorization"]),
            range: text(&r["headers"]["range"]),
            if_range: text(&r["headers"]["if-range"]),
        };
        log["requests"].as_array().unwrap().iter().map(request).collect()
    }

    /// The model `id` on it.
    pub fn repository(&self, id: &str) -> Repository {
        Repository { endpoint: Some(self.endpoint.clone()), id: id.into(), revision: None, token: Some(TOKEN.into()) }
    }

    /// The same on a host that has no manifests.
    pub fn plain(&self, id: &str) -> Repository {
        Repository { endpoint: Some(format!("{}/plain", self.endpoint)), ..self.repository(id) }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}

/// What a request said.
#[derive(Debug)]
pub struct Request {
    pub origin: String,
    pub path: String,
    pub authorization: Option<String>,
    pub range: Option<String>,
    pub if_range: Option<String>,
}

/// HTTP that writes down how long it should wait, and does not.
pub struct Hasty {
    http: Http,
    pub waits: Arc<Mutex<Vec<Duration>>>,
}

impl Hasty {
    /// Gives a connection up after `stall`.
    pub fn new(stall: Duration) -> Self {
        Self { http: Http::new(stall), waits: Arc::default() }
    }
}

impl Transport for Hasty {
    type Body = <Http as Transport>::Body;

    async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<HttpResponse<Self::Body>> {
        self.http.get(url, headers).await
    }

    async fn wait(&self, time: Duration) -> Result<()> {
        self.waits.lock().unwrap().push(time);
        Ok(())
    }
}

/// Opens `repository`, without waiting between tries.
pub fn open(repository: &Repository) -> Result<Remote<Hasty>, Error> {
    open_with(repository, Duration::from_secs(10))
}

/// The same, with a stall time.
pub fn open_with(repository: &Repository, stall: Duration) -> Result<Remote<Hasty>, Error> {
    pollster::block_on(Remote::open(repository, Hasty::new(stall), Retry::default()))
}

pub fn read(source: &impl Source, file: &str) -> Result<Vec<u8>, Error> {
    pollster::block_on(hub::read(source, file, 1 << 30))
}

pub fn local(id: &str, file: &str) -> Vec<u8> {
    std::fs::read(Path::new("tests/fixtures/checkpoints").join(id).join(file)).unwrap()
}

/// Every file of a model, by its path.
pub fn files(id: &str) -> BTreeMap<String, Vec<u8>> {
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
pub fn says_no_secret(error: &Error) {
    for words in [error.to_string(), format!("{error:?}")] {
        assert!(!words.contains(TOKEN) && !words.contains("s3cret"), "{words}");
    }
}

#[track_caller]
pub fn fails<T>(result: Result<T, Error>, code: &str, words: &str) {
    let Err(error) = result else { panic!("it succeeds all the same") };
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(words), "no {words:?} in: {error}");
    says_no_secret(&error);
}

#[track_caller]
pub fn keeps_the_token(hub: &Hub) {
    for request in hub.requests() {
        let (of_hub, has) = (request.origin == "hub", request.authorization.as_deref() == Some("Bearer hf_secret"));
        assert_eq!(of_hub, has, "{request:?}");
    }
}

/// Reads a file of a fresh remote while the hub has these faults, and then without.
pub fn with_faults(
    hub: &Hub,
    repository: &Repository,
    file: &str,
    faults: &[Value],
) -> (Result<Vec<u8>, Error>, Vec<u64>) {
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
pub fn places(hub: &Hub) -> [(Repository, &'static str); 2] {
    [(hub.repository(SMALL), "/xet-bridge/"), (hub.plain(SMALL), "/resolve/")]
}
