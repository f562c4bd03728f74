//! Helpers that embed some of the texts, which here live in the same thread: the bits of one thread, whatever becomes of them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use pollster::block_on;
use pplx_embed::backend::{Answer, Link, refused};
use pplx_embed::hub::Folder;
use pplx_embed::index::{Index, IndexKind, IndexOptions, Item, ItemText, SearchOptions};
use pplx_embed::model::late::{EncodeOptions, Role};
use pplx_embed::model::{ContextOptions, EmbedOptions, LoadOptions, Model, TextHelper};
use pplx_embed::numbers::Dtype;
use pplx_embed::{Error, Progress, Watch};
use serde_json::Value;

use crate::support::Copy;

type Said = pplx_embed::Result<Vec<f32>>;

/// A helper whose answers come late, and which is gone after a few.
struct Near {
    helper: Mutex<TextHelper>,
    answers: Mutex<VecDeque<Said>>,
    /// How often an answer that is there is said not to be.
    delay: usize,
    /// Answers that it has given, and how many it gives.
    given: Arc<AtomicUsize>,
    most: usize,
}

impl Near {
    fn new(delay: usize, most: usize) -> (Box<Self>, Arc<AtomicUsize>) {
        let given = Arc::new(AtomicUsize::new(0));
        let (helper, answers) = (Mutex::new(TextHelper::new()), Mutex::default());
        (Box::new(Self { helper, answers, delay, given: Arc::clone(&given), most }), given)
    }
}

impl Link for Near {
    fn send(&self, header: &[u8], data: &[u8]) {
        self.helper.lock().unwrap().receive(&[header, data].concat(), |answer| {
            let answer = answer.map(bytemuck::pod_collect_to_vec).map_err(|why| refused(why.as_bytes()));
            self.answers.lock().unwrap().push_back(answer);
        });
    }

    fn receive(&self) -> Answer<'_> {
        let mut left = self.delay;
        Box::pin(std::future::poll_fn(move |context| {
            if left > 0 {
                left -= 1;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.given.fetch_add(1, Ordering::Relaxed) >= self.most {
                return Poll::Ready(Err(Error::DeviceLost { message: "a worker thread failed: killed".into() }));
            }
            let answer = self.answers.lock().unwrap().pop_front();
            Poll::Ready(answer.unwrap_or_else(|| Err(Error::Gpu { message: "nothing was asked for".into() })))
        }))
    }
}

/// Lets a helper take part in a model's calls. Gives what counts its answers.
fn join(model: &Model, delay: usize, most: usize) -> Arc<AtomicUsize> {
    let (link, given) = Near::new(delay, most);
    model.expects_helper();
    block_on(model.join(link)).unwrap();
    given
}

fn load(folder: impl AsRef<Path>) -> Model {
    let options = LoadOptions { device: "cpu".parse().unwrap(), threads: Some(1), ..LoadOptions::default() };
    block_on(Model::load(&Folder::new(folder.as_ref()), options, &())).unwrap()
}

fn fixture(name: &str) -> Model {
    load(format!("tests/fixtures/checkpoints/{name}"))
}

/// Texts of all lengths, more than a thousand tokens of them, and one that is long.
fn texts() -> Vec<String> {
    let words = ["red", "bicycle", "of", "Émile,", "1897.", "東京", "the", "wheel"];
    let text = |i: usize| (0..i % 31).map(|j| words[(i * 5 + j * 3) % words.len()]).collect::<Vec<_>>().join(" ");
    let mut texts: Vec<String> = (0..90).map(text).collect();
    texts.insert(40, text(30).repeat(4));
    texts
}

fn embed(model: &Model, options: &EmbedOptions, watch: &dyn Watch) -> pplx_embed::Result<pplx_embed::model::Data> {
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Ok(block_on(model.embed(&texts, options.clone(), watch))?.data)
}

/// What a call told, and after how many tokens it is cancelled.
struct Hears {
    heard: RefCell<Vec<(usize, usize)>>,
    notices: RefCell<Vec<String>>,
    until: Cell<usize>,
}

impl Hears {
    fn until(tokens: usize) -> Self {
        Self { heard: RefCell::default(), notices: RefCell::default(), until: Cell::new(tokens) }
    }
}

impl Watch for Hears {
    fn cancelled(&self) -> bool {
        self.heard.borrow().last().is_some_and(|(_, tokens)| *tokens >= self.until.get())
    }

    fn progress(&self, progress: Progress) {
        match progress {
            Progress::Embed { texts, tokens, .. } => self.heard.borrow_mut().push((texts, tokens)),
            Progress::Notice { message } => self.notices.borrow_mut().push(message),
            _ => {}
        }
    }
}

#[test]
fn vectors_have_the_same_bits_however_texts_are_shared_out() {
    for name in ["f32-odd", "causal-last-f32", "bf16-gqa4-sharded", "f16-mha"] {
        let model = fixture(name);
        let of = |dtype, normalize| EmbedOptions { dtype, normalize, ..EmbedOptions::default() };
        let forms = [of(None, None), of(Some(Dtype::Float32), Some(true)), of(Some(Dtype::Ubinary), None)];
        let alone: Vec<_> = forms.iter().map(|form| embed(&model, form, &()).unwrap()).collect();
        let first = join(&model, 3, usize::MAX);
        assert_eq!(model.info().threads, 2);
        for more in [0, 1, 3] {
            let others: Vec<_> = (0..more).map(|delay| join(&model, delay, usize::MAX)).collect();
            for (form, alone) in forms.iter().zip(&alone) {
                let hears = Hears::until(usize::MAX);
                assert!(embed(&model, form, &hears).unwrap() == *alone, "{name}, {more} helpers more");
                let heard = hears.heard.into_inner();
                assert!(heard.is_sorted_by_key(|(texts, _)| *texts), "{heard:?}");
                assert_eq!(heard.last().unwrap().0, 91);
                assert_eq!(heard.last().unwrap().1, heard.iter().map(|(_, tokens)| *tokens).max().unwrap());
            }
            assert!(others.iter().chain([&first]).all(|given| given.load(Ordering::Relaxed) > 0), "{name} {more}");
        }
    }
}

/// All that a repository may set: biases, windows, positions, layers after pooling, ways to pool.
#[test]
fn helpers_have_all_settings_of_a_model() {
    let cases: Value = serde_json::from_slice(&std::fs::read("tests/fixtures/settings/cases.json").unwrap()).unwrap();
    let mut tried = 0;
    for case in cases["cases"].as_array().unwrap() {
        let (name, files) = (&case["name"], case["files"].as_object().unwrap());
        let copy = Copy::of("causal-last-f32");
        for (file, content) in files {
            let path = copy.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match content {
                Value::Null => std::fs::remove_file(path).unwrap(),
                Value::String(fixture) => {
                    std::fs::copy(Path::new("tests/fixtures").join(fixture), path).unwrap();
                }
                json => std::fs::write(path, json.to_string()).unwrap(),
            }
        }
        let reads = |file: &&String| ["config.json", "modules.json", "1_Pooling/config.json"].contains(&file.as_str());
        if !files.keys().any(|file| reads(&file)) {
            continue;
        }
        let model = load(copy.path());
        let texts = ["Scientists explore the universe, driven by curiosity. "; 40];
        let embedded = || block_on(model.embed(&texts, EmbedOptions::default(), &())).unwrap().data;
        let alone = embedded();
        let given = join(&model, 0, usize::MAX);
        assert!(embedded() == alone, "{name}");
        assert!(given.load(Ordering::Relaxed) > 0, "{name}");
        tried += 1;
    }
    assert!(tried > 10, "{tried} cases");
}

#[test]
fn token_vectors_documents_and_indexes_are_shared_out_too() {
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let names: Vec<String> = (0..texts.len()).map(|i| i.to_string()).collect();
    let items: Vec<Item<'_>> = names.iter().map(|id| Item { id, data: None }).collect();
    let contents: Vec<ItemText<'_>> = texts.iter().map(|text| ItemText::One(text)).collect();

    for (name, kind) in [("late-st", IndexKind::Late), ("context", IndexKind::Dense)] {
        let model = fixture(name);
        let of = |model: &Model| {
            let options = IndexOptions::of_model(&model.info(), Some(kind), None);
            let mut index = Index::new(model.backend().clone(), options).unwrap();
            let added = block_on(index.add_texts(model, &items, &contents, Default::default(), &())).unwrap();
            let hits = block_on(index.search_texts(model, &texts[..60], SearchOptions::default(), &())).unwrap();
            let hits: Vec<_> = hits.iter().flatten().map(|hit| (hit.position, hit.score.to_bits())).collect();
            let vectors = if kind == IndexKind::Late {
                let made = block_on(model.encode(Role::Query, &texts, EncodeOptions::default(), &())).unwrap();
                format!("{:?}", made.data)
            } else {
                let chunks: Vec<&[&str]> = texts.chunks(7).collect();
                let made = block_on(model.embed_context(&chunks, ContextOptions::default(), &())).unwrap();
                format!("{:?}", made.iter().map(|document| &document.data).collect::<Vec<_>>())
            };
            (added.tokens, hits, vectors)
        };
        let alone = of(&model);
        let given = join(&model, 2, usize::MAX);
        assert!(of(&model) == alone, "{name}");
        assert!(given.load(Ordering::Relaxed) > 2, "{name}");
    }
}

#[test]
fn what_a_helper_leaves_that_dies_or_refuses_others_do() {
    let model = fixture("f32-odd");
    let alone = embed(&model, &EmbedOptions::default(), &()).unwrap();
    for answers in [0, 1, 2] {
        join(&model, 1, answers);
        join(&model, 0, usize::MAX);
        let hears = Hears::until(usize::MAX);
        assert!(embed(&model, &EmbedOptions::default(), &hears).unwrap() == alone, "{answers} answers");
        let notices = hears.notices.into_inner();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(notices[0].contains("a thread less") && notices[0].contains("killed"), "{notices:?}");
        assert_eq!(model.info().threads, 2 + answers as u32);
    }

    // One that never got a model says so.
    let model = fixture("f32-odd");
    let (link, _) = Near::new(0, usize::MAX);
    struct Deaf(Near);
    impl Link for Deaf {
        fn send(&self, header: &[u8], data: &[u8]) {
            // All but a part of the model arrives.
            if header[0] != 1 {
                self.0.send(header, data);
            }
        }
        fn receive(&self) -> Answer<'_> {
            self.0.receive()
        }
    }
    model.expects_helper();
    block_on(model.join(Box::new(Deaf(*link)))).unwrap();
    let hears = Hears::until(usize::MAX);
    assert!(embed(&model, &EmbedOptions::default(), &hears).unwrap() == alone);
    assert!(hears.notices.borrow()[0].contains("a part of a model"), "{:?}", hears.notices);
    assert_eq!(model.info().threads, 1);

    model.expects_helper();
    assert_eq!(model.info().threads, 2);
    model.lacks_helper();
    assert!(embed(&model, &EmbedOptions::default(), &()).unwrap() == alone);
    assert_eq!(model.info().threads, 1);
}

#[test]
fn a_cancelled_call_leaves_helpers_that_go_on() {
    let model = fixture("f32-odd");
    let alone = embed(&model, &EmbedOptions::default(), &()).unwrap();
    let given = join(&model, 5, usize::MAX);
    for tokens in [0, 100, 400, 700] {
        let error = embed(&model, &EmbedOptions::default(), &Hears::until(tokens)).unwrap_err();
        assert_eq!(error.code(), "aborted", "{tokens}");
        let before = given.load(Ordering::Relaxed);
        // What it was asked for before is taken from it, and then it works for this call.
        let hears = Hears::until(usize::MAX);
        assert!(embed(&model, &EmbedOptions::default(), &hears).unwrap() == alone, "after {tokens} tokens");
        assert!(given.load(Ordering::Relaxed) > before && hears.notices.borrow().is_empty());
    }
    assert_eq!(model.info().threads, 2);
}

#[test]
fn numbers_that_are_not_finite_are_found_in_a_helper() {
    let copy = Copy::of("f32-odd");
    let model = load(copy.path());
    let (link, _) = Near::new(0, usize::MAX);
    /// Answers with vectors that are marked as wrong.
    struct Wrong(Pin<Box<Near>>);
    impl Link for Wrong {
        fn send(&self, header: &[u8], data: &[u8]) {
            self.0.send(header, data);
        }
        fn receive(&self) -> Answer<'_> {
            Box::pin(async {
                let mut words = self.0.receive().await?;
                let last = words.len() - 1;
                words[last] = f32::from_bits(1);
                Ok(words)
            })
        }
    }
    model.expects_helper();
    block_on(model.join(Box::new(Wrong(Pin::from(link))))).unwrap();
    let error = embed(&model, &EmbedOptions::default(), &()).unwrap_err();
    assert!(error.code() == "not-finite" && error.to_string().contains("texts["), "{error}");
}
