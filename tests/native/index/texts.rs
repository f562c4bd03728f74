//! Texts in and out, through models.

use std::cell::Cell;
use std::sync::OnceLock;

use pollster::block_on;
use pplx_embed::hub::Folder;
use pplx_embed::index::{
    AddMode, Hit, Index, IndexKind, IndexOptions, Item, ItemText, OpenOptions, SearchOptions, SegmentSizes,
};
use pplx_embed::maxsim::TokenVectors;
use pplx_embed::model::late::{EncodeOptions, Role};
use pplx_embed::model::{ContextOptions, Data, EmbedOptions, LoadOptions, LongDocuments, Model, Prompt};
use pplx_embed::numbers::{Dtype, RowBuf, RowData, RowFormat};
use pplx_embed::{Progress, Watch};
use safetensors::SafeTensors;

use super::corpus::{self, Home, cosine, gpu, options};
use crate::support::floats;

/// Room for texts of up to 48 tokens, or 400 chunks.
const SMALL: SegmentSizes = SegmentSizes { max_segment: 16_384, ..corpus::SMALL };

fn load(checkpoint: &str) -> Model {
    let folder = Folder::new(format!("tests/fixtures/checkpoints/{checkpoint}"));
    block_on(Model::load(
        &folder,
        LoadOptions { id: checkpoint.into(), device: crate::support::device(), ..LoadOptions::default() },
        &(),
    ))
    .unwrap()
}

fn late() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| load("late-st"))
}

fn dense() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| load("f32-gqa2"))
}

const TEXTS: [&str; 9] = [
    "a red bicycle",
    "the history of the wheel",
    "",
    "Émile Zola, 1897.",
    "東京タワー",
    "a red bicycle, and another one",
    "how to mend a puncture in the rain",
    "x",
    "bread and butter",
];

fn items(ids: &[String]) -> Vec<Item<'_>> {
    ids.iter().map(|id| Item { id, data: None }).collect()
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("text {i}")).collect()
}

fn add(index: &mut Index, model: &Model, texts: &[ItemText<'_>]) -> pplx_embed::Result<pplx_embed::model::Usage> {
    let ids: Vec<String> = (index.len()..index.len() + texts.len()).map(|i| format!("text {i}")).collect();
    block_on(index.add_texts(model, &items(&ids), texts, AddMode::Add, &()))
}

fn add_all(index: &mut Index, model: &Model, texts: &[&str]) {
    add(index, model, &texts.iter().map(|text| ItemText::One(text)).collect::<Vec<_>>()).unwrap();
}

fn wide() -> SearchOptions<'static> {
    SearchOptions { k: 1000, rescore: 1000, candidates: 1000, ..Default::default() }
}

fn bits(hits: &[Vec<Hit>]) -> Vec<Vec<(usize, u32, u32)>> {
    hits.iter().map(|hits| hits.iter().map(|h| (h.position, h.score.to_bits(), h.chunk)).collect()).collect()
}

fn numbers(data: &Data) -> Vec<f64> {
    match data {
        Data::Int8(codes) => codes.iter().map(|&c| c.into()).collect(),
        Data::Float32(numbers) => numbers.iter().map(|&v| v.into()).collect(),
        _ => panic!("another dtype"),
    }
}

#[test]
fn dense_scores_are_the_cosines_of_what_embed_gives() {
    for (rows, dim, dtype) in [
        (RowFormat::Int8, 128, Dtype::Int8),
        (RowFormat::Binary, 50, Dtype::Int8),
        (RowFormat::Float32, 128, Dtype::Float32),
    ] {
        let mut index = Home::Resident.index(options(IndexKind::Dense, rows, dim, SMALL));
        add_all(&mut index, dense(), &TEXTS);
        let embed = EmbedOptions {
            dtype: Some(dtype),
            dimensions: Some(dim as u32),
            normalize: None,
            ..EmbedOptions::default()
        };
        let vectors = numbers(&block_on(dense().embed(&TEXTS, embed, &())).unwrap().data);
        let hits = block_on(index.search_texts(dense(), &TEXTS, wide(), &())).unwrap();
        for (query, hits) in hits.iter().enumerate() {
            assert_eq!(hits.len(), TEXTS.len());
            for hit in hits {
                let row = |i: usize| &vectors[i * dim..(i + 1) * dim];
                let want = cosine(row(query), row(hit.position));
                assert!((f64::from(hit.score) - want).abs() < 1e-6, "{rows:?} {query} {hit:?}, not {want}");
            }
            assert!(TEXTS[query].is_empty() || hits[0].position == query);
        }
    }
}

#[test]
fn a_model_that_has_no_int8_fills_any_row_type() {
    let model = load("causal-last-f32");
    let dim = model.info().dimensions as usize;
    for rows in [RowFormat::Int8, RowFormat::Binary, RowFormat::Float32] {
        let mut index = Home::Resident.index(options(IndexKind::Dense, rows, dim, SegmentSizes::default()));
        add_all(&mut index, &model, &TEXTS);
        // Its repository puts an instruction before queries, and nothing before documents.
        let [queries, documents] = [Prompt::Query, Prompt::Document].map(|prompt| {
            let embed = EmbedOptions { prompt, ..EmbedOptions::default() };
            numbers(&block_on(model.embed(&TEXTS, embed, &())).unwrap().data)
        });
        let row = |vectors: &[f64], i: usize| vectors[i * dim..(i + 1) * dim].to_vec();
        let hits = block_on(index.search_texts(&model, &TEXTS, wide(), &())).unwrap();
        for (query, hit) in hits.iter().enumerate().flat_map(|(q, hits)| hits.iter().map(move |hit| (q, hit))) {
            let want = cosine(&row(&queries, query), &row(&documents, hit.position));
            let close = if rows == RowFormat::Binary { 0.5 } else { 1e-2 };
            assert!((f64::from(hit.score) - want).abs() < close, "{rows:?} {query} {hit:?}, not {want}");
        }
    }
}

#[test]
fn chunks_are_rows_that_a_context_model_reads_together_and_others_apart() {
    let context = load("context");
    let documents: [&[&str]; 3] = [&["a red bicycle", "and its wheel", ""], &[], &["Émile Zola"]];
    let mixed = [
        ItemText::Chunks(documents[0]),
        ItemText::One("a red bicycle"),
        ItemText::Chunks(documents[1]),
        ItemText::Chunks(documents[2]),
    ];
    let mut index = Home::Resident.index(options(IndexKind::Dense, RowFormat::Int8, 32, SMALL));
    let usage = add(&mut index, &context, &mixed).unwrap();
    let embedded = block_on(context.embed_context(&documents, ContextOptions::default(), &())).unwrap();
    let tokens: usize = embedded.iter().map(|e| e.usage.tokens).sum();
    assert_eq!(usage.tokens, tokens + context.tokenizer().encode("a red bicycle").unwrap().ids.len());
    let codes: Vec<Vec<f64>> = embedded.iter().map(|e| numbers(&e.data)).collect();
    let query = numbers(&block_on(context.embed(&["and its wheel"], EmbedOptions::default(), &())).unwrap().data);
    let hits = block_on(index.search_texts(&context, &["and its wheel"], wide(), &())).unwrap().remove(0);
    assert_eq!(hits.len(), 3, "no chunks, no hit");
    for (position, document) in [(0, 0), (3, 2)] {
        let cosines = codes[document].chunks(32).map(|row| cosine(&query, row)).collect::<Vec<_>>();
        let best = (0..cosines.len()).max_by(|&a, &b| cosines[a].total_cmp(&cosines[b]).then(b.cmp(&a))).unwrap();
        let hit = hits.iter().find(|h| h.position == position).unwrap();
        assert_eq!(hit.chunk as usize, best);
        assert!((f64::from(hit.score) - cosines[best]).abs() < 1e-6);
    }
    // Longer than the limit, in windows.
    let long = vec!["a red bicycle, and its wheel "; 400];
    add(&mut index, &context, &[ItemText::Chunks(&long)]).unwrap();
    let windows = ContextOptions { long_documents: LongDocuments::Window, ..Default::default() };
    let of_long = numbers(&block_on(context.embed_context(&[&long[..]], windows, &())).unwrap()[0].data);
    let best = of_long.chunks(32).map(|row| cosine(&query, row)).fold(f64::MIN, f64::max);
    let hits = block_on(index.search_texts(&context, &["and its wheel"], wide(), &())).unwrap().remove(0);
    let hit = hits.iter().find(|h| h.position == 4).unwrap();
    assert!((f64::from(hit.score) - best).abs() < 1e-6);

    let mut apart = Home::Resident.index(options(IndexKind::Dense, RowFormat::Int8, 128, SMALL));
    let usage = add(
        &mut apart,
        dense(),
        &[ItemText::Chunks(&TEXTS[..4]), ItemText::One(TEXTS[4]), ItemText::Chunks(&TEXTS[5..])],
    )
    .unwrap();
    assert!(usage.truncated.is_empty());
    let hits =
        block_on(apart.search_texts(dense(), &[TEXTS[3], TEXTS[4], TEXTS[6]], SearchOptions::default(), &())).unwrap();
    let best: Vec<(usize, u32)> = hits.iter().map(|hits| (hits[0].position, hits[0].chunk)).collect();
    assert_eq!(best, [(0, 3), (1, 0), (2, 1)]);
}

/// Late indexes of every row type, and of a first pass.
fn late_options() -> Vec<IndexOptions> {
    let types = [RowFormat::Float16, RowFormat::Float32, RowFormat::Int8, RowFormat::Binary];
    let mut all: Vec<IndexOptions> = types.map(|rows| options(IndexKind::Late, rows, 24, SMALL)).into();
    all.push(IndexOptions { first_pass: true, ..options(IndexKind::Late, RowFormat::Float16, 24, SMALL) });
    all.push(IndexOptions { first_pass: true, ..options(IndexKind::Late, RowFormat::Int8, 24, SMALL) });
    all
}

#[test]
fn late_rows_that_the_encoder_leaves_on_the_device_are_those_that_went_through_host_memory() {
    let model = late();
    // Several batches of 4,096 tokens.
    let many: Vec<String> =
        (0..220).map(|i| format!("{} {i} {}", TEXTS[i % 9], TEXTS[i * 7 % 9].repeat(i % 5))).collect();
    let texts: Vec<&str> = many.iter().map(String::as_str).collect();
    let encoded = block_on(model.encode(Role::Document, &texts, EncodeOptions::default(), &())).unwrap();
    let RowBuf::Float32(numbers) = &encoded.data else { panic!("not float32") };
    let offsets: Vec<u64> = encoded.tokens.offsets.iter().map(|&o| o as u64).collect();
    let vectors = TokenVectors { data: RowData::Float32(numbers), offsets: &offsets, dim: 24 };
    let ranges: Vec<(u32, u32)> =
        encoded.tokens.ranges.iter().map(|r| r.map_or((0, 0), |(from, to)| (from as u32, to as u32))).collect();
    let few = SearchOptions { k: 7, candidates: 30, ..Default::default() };
    for made in late_options() {
        let names = ids(texts.len());
        let mut host = Index::new(model.backend().clone(), made.clone()).unwrap();
        block_on(host.add(&items(&names), vectors, Some(&ranges), AddMode::Add, &())).unwrap();
        let expected = block_on(host.search_texts(model, &TEXTS, few, &())).unwrap();
        let file = |index: &Index| {
            let mut bytes = Vec::new();
            block_on(index.save(&mut bytes, &())).unwrap();
            bytes
        };
        let saved = file(&host);
        // Rows partly here and partly there, in every form; all the other ways, with the form that is the default.
        let ways = [(Some(20_000), SMALL), (None, SMALL), (None, SegmentSizes::default()), (Some(0), SMALL)];
        let usual = made.rows == RowFormat::Float16 && !made.first_pass;
        for (memory, sizes) in ways.into_iter().take(if usual { ways.len() } else { 1 }) {
            let made = IndexOptions { memory, sizes: SegmentSizes { block: SMALL.block, ..sizes }, ..made.clone() };
            let mut index = Index::new(model.backend().clone(), made.clone()).unwrap();
            add_all(&mut index, model, &texts[..100]);
            add_all(&mut index, model, &texts[100..]);
            let what = format!("{made:?}");
            assert_eq!(file(&index), saved, "{what}");
            assert_eq!(
                bits(&block_on(index.search_texts(model, &TEXTS, few, &())).unwrap()),
                bits(&expected),
                "{what}"
            );
            let opened = OpenOptions { memory, sizes, ..Default::default() };
            let opened = block_on(Index::open(model.backend().clone(), &saved[..], opened, &())).unwrap();
            assert_eq!(
                bits(&block_on(opened.search_texts(model, &TEXTS, few, &())).unwrap()),
                bits(&expected),
                "{what}"
            );
        }
    }
}

#[test]
fn late_scores_are_those_of_the_vectors_of_sentence_transformers() {
    #[derive(serde::Deserialize)]
    struct Expected {
        texts: Vec<Named>,
    }
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
        text: String,
    }
    let json = std::fs::read("tests/fixtures/expected/late-st.json").unwrap();
    let expected: Expected = serde_json::from_slice(&json).unwrap();
    let tensors = std::fs::read("tests/fixtures/expected/late-st.safetensors").unwrap();
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    let model = late();
    let texts: Vec<&str> = expected.texts.iter().map(|t| t.text.as_str()).collect();
    let mut index =
        Index::new(model.backend().clone(), options(IndexKind::Late, RowFormat::Float32, 24, SMALL)).unwrap();
    add_all(&mut index, model, &texts);
    let hits = block_on(index.search_texts(model, &texts, wide(), &())).unwrap();
    for (query, hits) in expected.texts.iter().zip(&hits) {
        let query = floats(&tensors, &format!("{}.query", query.name));
        let tokens = query.len() / 24;
        for hit in hits {
            let document = floats(&tensors, &format!("{}.document", expected.texts[hit.position].name));
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
            let best = |q: &[f32]| document.chunks(24).map(|d| dot(q, d)).fold(f64::NEG_INFINITY, f64::max);
            let want: f64 = query.chunks(24).map(best).sum();
            assert!((f64::from(hit.score) - want).abs() <= 1e-4 * tokens as f64, "{hit:?}, not {want}");
        }
        let without = expected
            .texts
            .iter()
            .filter(|t| tensors.tensor(&format!("{}.document", t.name)).is_ok_and(|t| t.shape()[0] == 0));
        assert_eq!(hits.len(), texts.len() - without.count());
    }
}

#[test]
fn an_explanation_says_where_in_the_text_each_match_is() {
    let model = late();
    let text = "how to mend a puncture in the rain";
    let mut index =
        Index::new(model.backend().clone(), options(IndexKind::Late, RowFormat::Float32, 24, SMALL)).unwrap();
    add_all(&mut index, model, &["bread", text]);
    let ranges = index.ranges("text 1").unwrap().to_vec();
    let encoded = block_on(model.encode(Role::Document, &[text], EncodeOptions::default(), &())).unwrap();
    assert_eq!(ranges.len(), encoded.tokens.ids.len());
    for (range, want) in ranges.iter().zip(&encoded.tokens.ranges) {
        assert_eq!(want.map_or((0, 0), |(from, to)| (from as u32, to as u32)), *range);
    }
    let query = block_on(model.encode(Role::Query, &["puncture"], EncodeOptions::default(), &())).unwrap();
    let RowBuf::Float32(numbers) = &query.data else { panic!("not float32") };
    let offsets = [0, query.tokens.ids.len() as u64];
    let query = TokenVectors { data: RowData::Float32(numbers), offsets: &offsets, dim: 24 };
    let matches = block_on(index.explain(query, "text 1", &())).unwrap();
    assert_eq!(matches.len(), offsets[1] as usize);
    let hits = block_on(index.search_texts(model, &["puncture"], wide(), &())).unwrap();
    let score = hits[0].iter().find(|h| h.position == 1).unwrap().score;
    assert_eq!(matches.iter().fold(0.0, |sum, m| sum + m.similarity).to_bits(), score.to_bits());
    assert!(
        matches
            .iter()
            .all(|m| text.get(ranges[m.token as usize].0 as usize..ranges[m.token as usize].1 as usize).is_some())
    );
}

/// Cancels once `n` texts are embedded.
struct After(usize, Cell<usize>);

impl Watch for After {
    fn cancelled(&self) -> bool {
        self.1.get() > self.0
    }

    fn progress(&self, progress: Progress) {
        if let Progress::Embed { .. } = progress {
            self.1.set(self.1.get() + 1);
        }
    }
}

#[test]
fn texts_that_are_cancelled_or_do_not_fit_leave_the_index_as_it_was() {
    let model = late();
    for made in late_options() {
        let sizes = SegmentSizes { max_segment: 47 * 96, ..SMALL };
        let mut index = Index::new(model.backend().clone(), IndexOptions { sizes, ..made.clone() }).unwrap();
        add_all(&mut index, model, &TEXTS);
        let before = (bits(&block_on(index.search_texts(model, &TEXTS, wide(), &())).unwrap()), index.bytes());
        let many: Vec<ItemText<'_>> = (0..1500).map(|i| ItemText::One(TEXTS[(i * 4 + 1) % 9])).collect();
        let names = ids(1500);
        let usual = made.rows == RowFormat::Float16 && !made.first_pass;
        for n in if usual { vec![0, 1, 4, 7] } else { vec![4] } {
            let watch = After(n, Cell::new(0));
            let result = block_on(index.add_texts(model, &items(&names), &many, AddMode::Upsert, &watch));
            assert_eq!(result.err().unwrap().code(), "aborted");
            let after = (bits(&block_on(index.search_texts(model, &TEXTS, wide(), &())).unwrap()), index.bytes());
            assert_eq!(after, before, "{made:?}, {n}");
        }
        if made.rows == RowFormat::Float32 {
            // 48 rows of 96 bytes are more than a segment.
            let long = "a b c d e f g h i j k l m n o p q r s t u v w x y z ".repeat(3);
            let texts = [ItemText::One("short"), ItemText::One(&long)];
            let error = add(&mut index, model, &texts).err().unwrap();
            assert_eq!(error.code(), "adapter-too-small");
            assert!(error.to_string().contains("items[1] has"), "{error}");
            assert_eq!((index.len(), index.bytes()), (9, before.1));
        }
    }
}

#[test]
fn what_a_model_and_an_index_cannot_do_together_is_named() {
    let refused = |error: Option<pplx_embed::Error>, words: &[&str]| {
        let error = error.unwrap();
        assert_eq!(error.code(), "invalid-argument", "{error}");
        words.iter().for_each(|word| assert!(error.to_string().contains(word), "no {word:?} in {error}"));
    };
    let one = [ItemText::One("a")];
    let index = |kind, dim| Index::new(gpu(), options(kind, RowFormat::Float32, dim, SMALL)).unwrap();
    refused(add(&mut index(IndexKind::Dense, 24), late(), &one).err(), &["model", "late interaction"]);
    refused(add(&mut index(IndexKind::Late, 128), dense(), &one).err(), &["model", "one vector"]);
    refused(add(&mut index(IndexKind::Dense, 129), dense(), &one).err(), &["model", "128", "129"]);
    refused(add(&mut index(IndexKind::Late, 16), late(), &one).err(), &["model", "24", "16"]);
    refused(
        add(&mut index(IndexKind::Late, 24), late(), &[one[0], ItemText::Chunks(&["a"])]).err(),
        &["texts[1]", "chunks"],
    );
    let mut named = options(IndexKind::Dense, RowFormat::Int8, 128, SMALL);
    named.model = Some("another/model".into());
    let mut named = Index::new(gpu(), named).unwrap();
    refused(add(&mut named, dense(), &one).err(), &["model", "another/model", "f32-gqa2"]);
    refused(block_on(named.search_texts(dense(), &["a"], wide(), &())).err(), &["model", "another/model"]);
    let mut plain = index(IndexKind::Dense, 128);
    let items = [Item { id: "a", data: None }, Item { id: "b", data: None }];
    refused(block_on(plain.add_texts(dense(), &items, &one, AddMode::Add, &())).err(), &["texts", "1", "2"]);
    assert!(plain.is_empty() && block_on(plain.search_texts(dense(), &["a"], wide(), &())).unwrap() == [Vec::new()]);
}
