//! What the environment says of the Hub: its caches, tokens and proxies, and servers in front of it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use pplx_embed::hub::Repository;
use serde_json::json;

use crate::support::hub::*;

/// Variables that the machine of the tests may have.
const VARIABLES: [&str; 20] = [
    "HF_HOME",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "XDG_CACHE_HOME",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_ENDPOINT",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "PPLX_EMBED_CACHE",
];

/// A home with nothing in it, removed at the end.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pplx-embed-environment-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn holding(&self, name: &str, text: &str) -> String {
        std::fs::create_dir_all(self.0.join(name).parent().unwrap()).unwrap();
        std::fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }

    /// The model as Hugging Face's tools keep it in `cache`, a folder here, under the commit that the hub has of it.
    fn copy(&self, cache: &str, commit: &str) -> PathBuf {
        let model = self.0.join(cache).join(format!("models--{SMALL}"));
        let folder = model.join("snapshots").join(commit);
        for (file, bytes) in files(SMALL) {
            std::fs::create_dir_all(folder.join(&file).parent().unwrap()).unwrap();
            std::fs::write(folder.join(file), bytes).unwrap();
        }
        std::fs::create_dir_all(model.join("refs")).unwrap();
        std::fs::write(model.join("refs/main"), commit).unwrap();
        folder
    }

    /// A run with this home and these variables, and no others that say anything of the Hub.
    fn run(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pplx-embed"));
        for name in VARIABLES {
            command.env_remove(name);
        }
        command.env("HOME", &self.0).env("PPLX_EMBED_CACHE", self.0.join("own")).envs(variables.iter().copied());
        command.args(arguments).output().unwrap()
    }

    fn info(&self, variables: &[(&str, &str)]) -> Output {
        self.run(variables, &["info", "--device", "cpu", "--json", "--model", SMALL])
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The revision that a run which went well has loaded.
#[track_caller]
fn revision(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    info["revision"].as_str().unwrap().into()
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in {error}"));
}

/// An address where nobody answers.
fn nowhere() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

fn commit(hub: &Hub) -> String {
    open(&hub.repository(SMALL)).unwrap().commit().unwrap().into()
}

#[test]
fn a_whole_copy_in_hugging_face_s_cache_loads_without_a_network() {
    let hub = Hub::start();
    let commit = commit(&hub);
    let endpoint = nowhere();
    for (place, variables) in [
        (".cache/huggingface/hub", vec![]),
        ("a/hub", vec![("HF_HOME", "a")]),
        ("b", vec![("HF_HUB_CACHE", "b"), ("HF_HOME", "elsewhere")]),
        ("c", vec![("HUGGINGFACE_HUB_CACHE", "c")]),
        ("d/huggingface/hub", vec![("XDG_CACHE_HOME", "d")]),
        ("e/hub", vec![("HF_HOME", "~/e")]),
    ] {
        let home = Home::new("copy");
        let folder = home.copy(place, &commit);
        let expand = |value: &str| if value.starts_with('~') { value.into() } else { home.path(value) };
        let variables: Vec<(&str, String)> = variables.into_iter().map(|(name, value)| (name, expand(value))).collect();
        let with = |more: &[(&'static str, &str)]| {
            let own = variables.iter().map(|(name, value)| (*name, value.as_str()));
            home.info(&own.chain(more.iter().copied()).collect::<Vec<_>>())
        };
        // Nobody answers; nobody may be asked; and the server that is up is asked for the commit, but for no file.
        let unreachable = with(&[("HF_ENDPOINT", &endpoint)]);
        assert_eq!(revision(&unreachable), commit, "{place}");
        assert!(String::from_utf8_lossy(&unreachable.stderr).contains("from Hugging Face's cache"));
        hub.control(&json!({ "log": [] }));
        let offline = with(&[("HF_ENDPOINT", &hub.endpoint), ("HF_HUB_OFFLINE", "1")]);
        assert_eq!((revision(&offline), hub.requests().len()), (commit.clone(), 0));
        assert_eq!(revision(&with(&[("HF_ENDPOINT", &hub.endpoint)])), commit);
        assert!(hub.requests().iter().all(|r| r.path.contains("/revision/") || r.path.contains("/tree/")));
        // A file less, and it is no copy: a network is needed, or what is missing is named.
        std::fs::remove_file(folder.join("1_Pooling/config.json")).unwrap();
        let lacking = with(&[("HF_ENDPOINT", &hub.endpoint), ("HF_HUB_OFFLINE", "true")]);
        refused(&lacking, &["f32-odd at revision main", "lacks 1_Pooling/config.json", "HF_HUB_OFFLINE"]);
    }
}

#[test]
fn offline_is_asked_for_in_the_words_of_hugging_face_s_tools() {
    let hub = Hub::start();
    let home = Home::new("offline");
    let with = |more: &[(&str, &str)]| home.info(&[&[("HF_ENDPOINT", hub.endpoint.as_str())][..], more].concat());
    for variable in [("HF_HUB_OFFLINE", "1"), ("HF_HUB_OFFLINE", "yes"), ("TRANSFORMERS_OFFLINE", "ON")] {
        refused(&with(&[variable]), &["f32-odd", &format!("{} is set", variable.0)]);
    }
    assert!(hub.requests().is_empty());
    // What was loaded before is in the cache of this program.
    let online = revision(&with(&[("HF_HUB_OFFLINE", "0")]));
    hub.control(&json!({ "log": [] }));
    assert_eq!(revision(&with(&[("HF_HUB_OFFLINE", "1")])), online);
    assert!(hub.requests().is_empty());
    // Once more with a network: the commit and the list of its files, and no file.
    assert_eq!(revision(&with(&[])), online);
    let asked: Vec<String> = hub.requests().into_iter().map(|request| request.path).collect();
    assert!(!asked.is_empty() && asked.iter().all(|path| path.starts_with("/api/models/f32-odd/")), "{asked:?}");
    let other = ["info", "--model", SMALL, "--revision", "v2"];
    refused(&home.run(&[("HF_HUB_OFFLINE", "1")], &other), &["f32-odd at revision v2"]);
}

#[test]
fn tokens_are_found_where_hugging_face_s_tools_look_and_go_to_their_own_server() {
    let hub = Hub::start();
    let home = Home::new("token");
    let file = home.holding("secrets/token", &format!("{TOKEN}\n"));
    home.holding(".cache/huggingface/token", "hf_of_the_hub_itself");
    type Variables<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Variables<'_>, Option<&str>); 8] = [
        (&[], None),
        (&[("HF_TOKEN", TOKEN)], Some(TOKEN)),
        (&[("HUGGING_FACE_HUB_TOKEN", TOKEN)], Some(TOKEN)),
        (&[("HF_TOKEN", " "), ("HF_TOKEN_PATH", &file)], Some(TOKEN)),
        (&[("HF_TOKEN", "hf_first"), ("HF_TOKEN_PATH", &file)], Some("hf_first")),
        (&[("HF_TOKEN_PATH", "/nowhere")], None),
        (&[("HF_TOKEN", TOKEN), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")], None),
        (&[("HF_HOME", "/nowhere")], None),
    ];
    for (variables, token) in cases {
        hub.control(&json!({ "log": [] }));
        let own = [("HF_ENDPOINT", hub.endpoint.as_str())];
        let arguments = ["info", "--device", "cpu", "--json", "--no-cache", "--model", SMALL];
        revision(&home.run(&[&own[..], variables].concat(), &arguments));
        let want = token.map(|token| format!("Bearer {token}"));
        for request in hub.requests() {
            let want = if request.origin == "hub" { want.clone() } else { None };
            assert_eq!(request.authorization, want, "{variables:?}: {request:?}");
        }
    }
}

#[test]
fn an_api_that_leads_to_another_server_takes_no_token_there() {
    let hub = Hub::start();
    for path in ["/revision/", "/tree/", "/resolve/"] {
        hub.control(&json!({ "log": [] }));
        let headers = json!({ "Location": format!("{}/elsewhere", hub.cdn) });
        hub.faults(&[json!({ "kind": "status", "status": 307, "headers": headers, "path": path, "origin": "hub", "always": true })]);
        let opened = open(&hub.repository(SMALL));
        drop(opened.and_then(|remote| read(&remote, "config.json")));
        keeps_the_token(&hub);
        assert!(hub.requests().iter().any(|request| request.origin == "cdn"), "{path}");
    }
}

#[test]
fn a_hub_may_be_at_a_path_and_call_its_json_anything() {
    let hub = Hub::start();
    let mirror =
        |id: &str| Repository { endpoint: Some(format!("{}/mirror/hub/", hub.endpoint)), ..hub.repository(id) };
    let home = Home::new("mirror");
    for kind in ["application/json", "text/plain", "text/plain; charset=utf-8", "application/octet-stream", "text/html"]
    {
        hub.control(&json!({ "log": [], "type": kind }));
        for repository in [mirror(SMALL), hub.repository(SMALL)] {
            let remote = open(&repository).unwrap();
            let names: Vec<&String> = remote.manifest().unwrap().files.keys().collect();
            assert!(names.into_iter().eq(files(SMALL).keys()), "{kind}");
            assert_eq!(read(&remote, WEIGHTS).unwrap(), local(SMALL, WEIGHTS));
            assert_eq!(read(&remote, "config.json").unwrap(), local(SMALL, "config.json"));
        }
        keeps_the_token(&hub);
        // An answer that breaks off is not taken for a server without an API.
        hub.faults(&[json!({ "kind": "truncate", "at": 20, "path": "/revision/", "always": true })]);
        fails(open(&mirror(SMALL)), "network", "is not JSON");
        hub.faults(&[]);
    }
    hub.control(&json!({ "log": [] }));
    let endpoint = format!("{}/mirror/hub", hub.endpoint);
    assert_eq!(revision(&home.info(&[("HF_ENDPOINT", &endpoint)])), commit(&hub));
    assert!(hub.requests().iter().any(|request| request.path.starts_with("/mirror/hub/api/")));
}

#[test]
fn a_server_that_is_no_hub_is_told_with_what_to_check() {
    let hub = Hub::start();
    let home = Home::new("no-hub");
    let endpoint = format!("{}/wrong/path", hub.endpoint);
    let lost = home.info(&[("HF_ENDPOINT", &endpoint)]);
    refused(&lost, &["config.json", &endpoint, "did not answer as a Hub", "check the endpoint, its path"]);
}

#[test]
fn repositories_of_a_hub_may_lack_an_index_and_say_what_they_have_instead_of_weights() {
    let home = Home::new("repositories");
    for (model, from, without) in [("shards", SHARDED, ".index.json"), ("pickle", SMALL, ".safetensors")] {
        for (file, bytes) in files(from).into_iter().filter(|(file, _)| !file.ends_with(without)) {
            let path = home.0.join("models").join(model).join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
    home.holding("models/adapter/adapter_model.safetensors", "");
    home.holding("models/pickle/pytorch_model.bin", "");
    let hub = Hub::serving(&home.0.join("models"));
    let info = |model: &str| {
        let arguments = ["info", "--device", "cpu", "--json", "--endpoint", &hub.endpoint, "--model", model];
        (home.run(&[], &arguments), home.run(&[], &[&arguments[..], &["--no-cache"]].concat()))
    };
    let (cached, uncached) = info("shards");
    assert_eq!(revision(&cached), revision(&uncached));
    // And from what is kept, without a network.
    let offline = home.run(
        &[("HF_HUB_OFFLINE", "1")],
        &["info", "--device", "cpu", "--json", "--endpoint", &hub.endpoint, "--model", "shards"],
    );
    assert_eq!(revision(&offline), revision(&cached));
    for (model, words) in
        [("adapter", &["adapter_model.safetensors", "MODEL"][..]), ("pickle", &["pytorch_model.bin", "MODEL"])]
    {
        refused(&info(model).0, words);
    }
}

/// A proxy that writes down the first line and the headers of what it is asked, and leads on to where it is asked to, if it
/// is allowed to.
struct Proxy {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(leads_on: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || serve(stream, &log, leads_on));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>, leads_on: bool) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    let target = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
    log.lock().unwrap().push(head);
    let Some(upstream) = leads_on.then(|| TcpStream::connect(target).unwrap()) else {
        return drop(stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let (mut from, mut to) = (upstream.try_clone().unwrap(), stream.try_clone().unwrap());
    std::thread::spawn(move || drop(std::io::copy(&mut from, &mut to)));
    drop(std::io::copy(&mut reader, &mut &upstream));
}

#[test]
fn proxies_of_the_environment_are_for_their_schemes_and_not_for_exempt_hosts() {
    let hub = Hub::start();
    let host = hub.endpoint.trim_start_matches("http://").to_owned();
    let home = Home::new("proxy");
    let run = |variables: &[(&str, &str)], endpoint: &str| {
        let arguments = ["info", "--device", "cpu", "--json", "--no-cache", "--model", SMALL, "--endpoint", endpoint];
        home.run(&[&[("HF_TOKEN", TOKEN)][..], variables].concat(), &arguments)
    };
    let refusing = Proxy::start(false);
    let proxy = format!("http://{}", refusing.address);
    // A secure server is asked through the proxy, and only there.
    let output = run(&[("HTTPS_PROXY", &proxy)], "https://hub.invalid/mirror");
    refused(&output, &["hub.invalid"]);
    let asked = refusing.asked();
    assert!(!asked.is_empty() && asked.iter().all(|head| head.starts_with("CONNECT hub.invalid:443 ")), "{asked:?}");
    assert!(asked.iter().all(|head| !head.contains(TOKEN)), "{asked:?}");
    // Servers without TLS are none of its business, nor are those that need no proxy.
    for variables in [
        &[("HTTPS_PROXY", proxy.as_str())][..],
        &[("HTTP_PROXY", &proxy), ("NO_PROXY", "localhost, 127.0.0.1")],
        &[("ALL_PROXY", &proxy), ("no_proxy", "*")],
    ] {
        revision(&run(variables, &hub.endpoint));
    }
    assert_eq!(refusing.asked().len(), asked.len());
    refused(&run(&[("http_proxy", &proxy)], &hub.endpoint), &[&hub.endpoint]);
    // One that leads on brings the whole model.
    let leading = Proxy::start(true);
    revision(&run(&[("HTTP_PROXY", &leading.address)], &hub.endpoint));
    assert!(leading.asked().iter().any(|head| head.starts_with(&format!("CONNECT {host} "))));
}

/// `modules.json` may be missing only where the Hub has none.
#[test]
fn a_copy_says_what_the_hub_does_not_have() {
    let home = Home::new("absent");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let folder = home.copy("hub", commit);
    std::fs::remove_file(folder.join("modules.json")).unwrap();
    let cache = home.path("hub");
    let offline = [("HF_HUB_CACHE", cache.as_str()), ("HF_HUB_OFFLINE", "1")];
    refused(&home.info(&offline), &["lacks modules.json"]);
    home.holding(&format!("hub/models--{SMALL}/.no_exist/{commit}/modules.json"), "");
    assert_eq!(revision(&home.info(&offline)), commit);
    // Newer tools keep a list of what the Hub has: what is on it and read has to be there.
    std::fs::remove_dir_all(home.0.join(format!("hub/models--{SMALL}/.no_exist"))).unwrap();
    let list = |files: &[&str]| {
        let files: serde_json::Map<_, _> =
            files.iter().map(|file| ((*file).to_owned(), json!({ "size": 1 }))).collect();
        let tree = json!({ "format_version": 1, "files": files });
        home.holding(&format!("hub/models--{SMALL}/trees/{commit}.json"), &tree.to_string());
    };
    list(&["config.json", "README.md"]);
    assert_eq!(revision(&home.info(&offline)), commit);
    list(&["config.json", "sentence_bert_config.json"]);
    refused(&home.info(&offline), &["lacks sentence_bert_config.json"]);
    list(&[]);
    // A commit may be asked for by itself, and is not led out of the cache.
    let of = |revision: &str| {
        home.run(&offline, &["info", "--device", "cpu", "--json", "--model", SMALL, "--revision", revision])
    };
    assert_eq!(revision(&of(commit)), commit);
    refused(&of("../main"), &["revision"]);
    std::fs::write(Path::new(&cache).join(format!("models--{SMALL}/refs/main")), "../../../..").unwrap();
    refused(&home.info(&offline), &["f32-odd at revision main"]);
}
