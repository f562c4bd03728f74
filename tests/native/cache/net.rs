//! A Hub without a network: answers in this process, breaks off where it is told to, and keeps a log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pplx_embed::Error;
use pplx_embed::hub::{ByteStream, HttpResponse, Repository, Retry, Transport};
use sha1::Digest as _;

pub(crate) const ENDPOINT: &str = "https://hub.test";
pub(crate) const ID: &str = "owner/name";
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const SMALL: [&str; 3] = ["1_Pooling/config.json", "config.json", "empty.json"];
pub(crate) const RETRY: Retry = Retry { attempts: 1, base: Duration::ZERO, most: Duration::ZERO };

#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<State>>);

#[derive(Clone)]
pub(crate) struct State {
    /// Of each commit, the last being `main`.
    pub(crate) commits: Vec<(String, BTreeMap<String, Vec<u8>>)>,
    /// Without commits and digests, but for the tag of each file.
    pub(crate) plain: bool,
    pub(crate) tag: Option<String>,
    /// Nothing can be reached.
    pub(crate) down: bool,
    /// The API answers, but no file can be reached.
    pub(crate) files_down: bool,
    /// The request that fails, counted from 0, and how many there were.
    pub(crate) fails_at: Option<u64>,
    pub(crate) requests: u64,
    /// Bodies break off at this byte of the file.
    pub(crate) cut: Option<u64>,
    /// What is sent in place of each of the weights' bytes is one more.
    pub(crate) lie: bool,
    /// Between two pieces of a body.
    pub(crate) pause: Duration,
    /// What was asked for: the file, and from which byte on.
    pub(crate) log: Vec<(String, u64)>,
}

/// Bytes in no simple pattern.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(step).collect()
}

/// A model whose weights are `length` bytes.
pub(crate) fn model(length: usize, seed: u64) -> BTreeMap<String, Vec<u8>> {
    let small = [b"{\"pooling\":1}".to_vec(), b"{\"model_type\":\"qwen3\"}".to_vec(), Vec::new()];
    let files = SMALL.iter().map(|s| (*s).to_owned()).zip(small);
    files.chain([(WEIGHTS.to_owned(), noise(length, seed))]).collect()
}

impl Net {
    pub(crate) fn new(length: usize) -> Self {
        let commits = vec![("1".repeat(40), model(length, 1))];
        let (tag, pause) = (Some("\"v1\"".into()), Duration::ZERO);
        let state = State {
            commits,
            plain: false,
            tag,
            down: false,
            files_down: false,
            fails_at: None,
            requests: 0,
            cut: None,
            lie: false,
            pause,
            log: Vec::new(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    /// What was asked for since the last call, without the API.
    pub(crate) fn take_log(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.0.lock().unwrap().log)
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository { endpoint: Some(format!("{ENDPOINT}/")), id: ID.into(), ..Default::default() }
    }

    pub(crate) fn weights(&self) -> Vec<u8> {
        self.0.lock().unwrap().commits.last().unwrap().1[WEIGHTS].clone()
    }

    fn answer(&self, url: &str, range: Option<&str>) -> Result<HttpResponse<Body>, Error> {
        let mut state = self.0.lock().unwrap();
        state.requests += 1;
        if state.down || state.fails_at == Some(state.requests - 1) {
            return Err(Error::Network { url: url.into(), status: None, message: "unreachable".into() });
        }
        let path = url.strip_prefix(ENDPOINT).unwrap();
        if let Some(api) = path.strip_prefix("/api/models/owner/name/") {
            return Ok(if state.plain { not_found() } else { state.api(api) });
        }
        if state.files_down {
            return Err(Error::Network { url: url.into(), status: None, message: "unreachable".into() });
        }
        let rest = path.strip_prefix("/owner/name/resolve/").unwrap();
        let (revision, file) = rest.split_once('/').unwrap();
        let from = range.map_or(0, |r| r.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap());
        let commit = state.commits.iter().rfind(|(commit, _)| *commit == revision || revision == "main").unwrap();
        let Some(mut bytes) = commit.1.get(file).cloned() else { return Ok(not_found()) };
        state.log.push((file.into(), from));
        if state.lie && file == WEIGHTS {
            bytes.iter_mut().for_each(|b| *b = b.wrapping_add(1));
        }
        let size = bytes.len() as u64;
        let mut headers = vec![("content-type", "application/octet-stream".to_owned())];
        headers.extend(state.tag.clone().filter(|_| state.plain).map(|tag| ("etag", tag)));
        headers.push(("content-length", (size - from).to_string()));
        if range.is_some() {
            headers.push(("content-range", format!("bytes {from}-{}/{size}", size - 1)));
        }
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let status = if range.is_some() { 206 } else { 200 };
        let body = Body {
            size: size - from,
            cut: state.cut.filter(|_| file == WEIGHTS).map(|cut| cut.saturating_sub(from) as usize),
            left: bytes.split_off(from as usize),
            pause: state.pause,
        };
        Ok(HttpResponse { status, headers, body })
    }
}

impl State {
    fn api(&self, path: &str) -> HttpResponse<Body> {
        let (commit, files) = match path.strip_prefix("tree/") {
            Some(rest) => self.commits.iter().find(|(c, _)| rest.starts_with(c.as_str())).unwrap(),
            None => self.commits.iter().rfind(|(c, _)| path == "revision/main" || path.ends_with(c.as_str())).unwrap(),
        };
        let entry = |(path, bytes): (&String, &Vec<u8>)| {
            let size = bytes.len();
            let git = hex(&sha1::Sha1::digest([format!("blob {size}\0").as_bytes(), bytes].concat()));
            let lfs =
                (path == WEIGHTS).then(|| serde_json::json!({"oid": hex(&sha2::Sha256::digest(bytes)), "size": size}));
            serde_json::json!({"type": "file", "path": path, "size": size, "oid": git, "lfs": lfs})
        };
        let json = match path.starts_with("tree/") {
            true => serde_json::Value::from_iter(files.iter().map(entry)),
            false => serde_json::json!({"sha": commit}),
        };
        let left = json.to_string().into_bytes();
        let headers = vec![("content-type".into(), "application/json".into())];
        HttpResponse {
            status: 200,
            headers,
            body: Body { size: left.len() as u64, left, cut: None, pause: Duration::ZERO },
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn not_found() -> HttpResponse<Body> {
    HttpResponse {
        status: 404,
        headers: Vec::new(),
        body: Body { left: Vec::new(), size: 0, cut: None, pause: Duration::ZERO },
    }
}

impl Transport for Net {
    type Body = Body;

    async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<HttpResponse<Body>, Error> {
        let range = headers.iter().find(|(name, _)| *name == "Range").map(|(_, value)| *value);
        self.answer(url, range)
    }

    async fn wait(&self, _time: Duration) -> Result<(), Error> {
        Ok(())
    }
}

/// Comes in pieces of an odd size.
pub(crate) struct Body {
    left: Vec<u8>,
    size: u64,
    /// Bytes until it breaks off.
    cut: Option<usize>,
    pause: Duration,
}

impl ByteStream for Body {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        std::thread::sleep(self.pause);
        let step = self.left.len().min(999).min(self.cut.unwrap_or(usize::MAX));
        if step == 0 {
            let broken = || Error::Network { url: "body".into(), status: None, message: "broke off".into() };
            return if self.left.is_empty() { Ok(None) } else { Err(broken()) };
        }
        self.cut = self.cut.map(|cut| cut - step);
        Ok(Some(self.left.drain(..step).collect()))
    }
}
