//! Late interaction models against sentence-transformers and PyLate, on the adapter that `VK_ICD_FILENAMES` chooses.

use pplx_embed::hub::Folder;
use pplx_embed::model::late::{self, EncodeOptions, MarkerPosition, Role, TokenEmbeddings};
use pplx_embed::model::{EmbedOptions, LoadOptions, Model, ModelKind};
use pplx_embed::numbers::{RowBuf, RowFormat};
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::support;
use crate::support::{Copy, cosine, floats};

#[derive(Deserialize)]
struct Expected {
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    name: String,
    text: String,
    query: Tokens,
    document: Tokens,
    min_query: Option<Tokens>,
    min_document: Option<Tokens>,
}

#[derive(Deserialize)]
struct Tokens {
    ids: Vec<u32>,
    scored: Vec<usize>,
    /// Code points of the text.
    places: Option<Vec<Option<(usize, usize)>>>,
}

fn load(folder: impl Into<std::path::PathBuf>) -> Model {
    pollster::block_on(Model::load(
        &Folder::new(folder),
        LoadOptions { device: support::device(), ..LoadOptions::default() },
        &(),
    ))
    .unwrap()
}

fn checkpoint(name: &str) -> Model {
    load(format!("tests/fixtures/checkpoints/{name}"))
}

fn expected(name: &str) -> (Vec<Text>, Vec<u8>) {
    let json = std::fs::read(format!("tests/fixtures/expected/{name}.json")).unwrap();
    let expected: Expected = serde_json::from_slice(&json).unwrap();
    (expected.texts, std::fs::read(format!("tests/fixtures/expected/{name}.safetensors")).unwrap())
}

fn encode(model: &Model, role: Role, texts: &[&str], options: EncodeOptions) -> TokenEmbeddings {
    pollster::block_on(model.encode(role, texts, options, &())).unwrap()
}

fn float32(embeddings: &TokenEmbeddings) -> &[f32] {
    let RowBuf::Float32(data) = &embeddings.data else { panic!("not float32") };
    data
}

fn of(embeddings: &TokenEmbeddings, i: usize) -> &[f32] {
    let rows = embeddings.tokens.rows(i);
    &float32(embeddings)[rows.start * embeddings.tokens.dim..rows.end * embeddings.tokens.dim]
}

#[track_caller]
fn same_vectors(got: &[f32], want: &[f32], dim: usize, name: &str) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (row, (got, want)) in got.chunks(dim).zip(want.chunks(dim)).enumerate() {
        let cosine = cosine(got, want);
        assert!(cosine >= 0.99999, "{name} row {row}: cosine {cosine}");
        let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{name} row {row}: off by {worst}");
    }
}

/// Ids, scored tokens, places in the text and vectors of every text; `key` is what the tensors are called.
fn equals_the_oracle(model: &Model, role: Role, name: &str, position: MarkerPosition, prefix: &str) {
    let (texts, tensors) = expected(name);
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    let options = EncodeOptions { marker_position: position, ..Default::default() };
    let all: Vec<&str> = texts.iter().map(|t| t.text.as_str()).collect();
    let got = encode(model, role, &all, options);
    assert_eq!(got.tokens.texts(), texts.len());
    let mut tokens = 0;
    for (i, text) in texts.iter().enumerate() {
        let (want, key) = match (role, prefix) {
            (Role::Query, "") => (&text.query, "query"),
            (Role::Document, "") => (&text.document, "document"),
            (Role::Query, _) => (text.min_query.as_ref().unwrap(), "query"),
            (Role::Document, _) => (text.min_document.as_ref().unwrap(), "document"),
        };
        let name = format!("{name} {prefix}{} {key}", text.name);
        tokens += want.ids.len();
        let rows = got.tokens.rows(i);
        let scored: Vec<u32> = want.scored.iter().map(|&at| want.ids[at]).collect();
        assert_eq!(got.tokens.ids[rows.clone()], scored, "ids of {name}");
        if let Some(places) = &want.places {
            let starts: Vec<usize> = text.text.char_indices().map(|(at, _)| at).chain([text.text.len()]).collect();
            let places: Vec<_> = places.iter().map(|p| p.map(|(from, to)| (starts[from], starts[to]))).collect();
            assert_eq!(got.tokens.ranges[rows], places, "places of {name}");
        }
        same_vectors(of(&got, i), &floats(&tensors, &format!("{prefix}{}.{key}", text.name)), got.tokens.dim, &name);
    }
    assert_eq!(got.tokens.usage.tokens, tokens);
}

#[test]
fn vectors_equal_sentence_transformers() {
    let model = checkpoint("late-st");
    equals_the_oracle(&model, Role::Query, "late-st", MarkerPosition::First, "");
    equals_the_oracle(&model, Role::Document, "late-st", MarkerPosition::First, "");
    let info = model.info();
    let late = info.late.unwrap();
    assert_eq!((info.kind, info.dimensions), (ModelKind::Late, 24));
    assert_eq!((late.query_length, late.document_length), (32, 48));
    assert_eq!((late.query_prompt.as_str(), late.document_prompt.as_str()), ("[Q] ", "[D] "));
    let filling = late.query_expansion.unwrap();
    assert_eq!((filling.token, filling.length, filling.attend), (994, 32, true));
    assert_eq!((late.document_skiplist.len(), late.query_skiplist.len()), (32, 0));
}

#[test]
fn vectors_equal_pylate_with_its_marker_at_place_1_and_sentence_transformers_at_0() {
    let model = checkpoint("late-pylate");
    for role in [Role::Query, Role::Document] {
        equals_the_oracle(&model, role, "late-pylate", MarkerPosition::Second, "");
        equals_the_oracle(&model, role, "late-pylate-st", MarkerPosition::First, "");
    }
}

#[test]
fn filling_to_at_least_a_length_that_the_words_do_not_see() {
    let copy = Copy::of("late-st");
    copy.edit("sentence_bert_config.json", |config| {
        config["query_length"] = 40.into();
        config["query_expansion"] = serde_json::json!({"strategy": "min", "attend": false, "length": 20, "token": "!"});
    });
    copy.edit("2_MultiVectorMask/config.json", |config| config["skiplist_tasks"] = serde_json::json!(["query"]));
    let model = load(copy.path());
    equals_the_oracle(&model, Role::Query, "late-st", MarkerPosition::First, "min.");
    equals_the_oracle(&model, Role::Document, "late-st", MarkerPosition::First, "min.");
}

#[test]
fn weights_as_f16_stay_close() {
    let options =
        LoadOptions { weights: pplx_embed::model::WeightChoice::F16, device: support::device(), ..Default::default() };
    let folder = Folder::new("tests/fixtures/checkpoints/late-st");
    let model = pollster::block_on(Model::load(&folder, options, &())).unwrap();
    let (texts, tensors) = expected("late-st");
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    let got = encode(&model, Role::Query, &[&texts[3].text], EncodeOptions::default());
    let want = floats(&tensors, &format!("{}.query", texts[3].name));
    for (got, want) in float32(&got).chunks(24).zip(want.chunks(24)) {
        assert!(cosine(got, want) > 0.9999);
    }
}

#[test]
fn a_text_has_the_same_bits_alone_and_in_any_batch() {
    let model = checkpoint("late-st");
    let (texts, _) = expected("late-st");
    // Enough for several batches of 4,096 tokens.
    let all: Vec<&str> = texts.iter().cycle().take(texts.len() * 12).map(|t| t.text.as_str()).collect();
    for role in [Role::Query, Role::Document] {
        for dtype in [RowFormat::Float32, RowFormat::Binary] {
            let options = EncodeOptions { dtype, ..Default::default() };
            let batch = encode(&model, role, &all, options);
            let reversed: Vec<&str> = all.iter().rev().copied().collect();
            let reversed = encode(&model, role, &reversed, options);
            let row = |e: &TokenEmbeddings, i: usize| -> Vec<u8> {
                let rows = e.tokens.rows(i).start * e.data.format().row_len(e.tokens.dim)
                    ..e.tokens.rows(i).end * e.data.format().row_len(e.tokens.dim);
                match &e.data {
                    RowBuf::Float32(data) => bytemuck::cast_slice(&data[rows]).to_vec(),
                    RowBuf::Binary(data) => data[rows].to_vec(),
                    _ => panic!("another dtype"),
                }
            };
            for (i, text) in all.iter().enumerate() {
                assert_eq!(row(&reversed, all.len() - 1 - i), row(&batch, i), "reversed: {text:.30}");
                if i < texts.len() {
                    assert_eq!(row(&encode(&model, role, &[text], options), 0), row(&batch, i), "alone: {text:.30}");
                }
            }
        }
    }
}

#[test]
fn every_form_is_the_float32_vectors_rounded() {
    let model = checkpoint("late-st");
    let (texts, _) = expected("late-st");
    let all: Vec<&str> = texts.iter().map(|t| t.text.as_str()).collect();
    let form = |dtype, pool_factor| {
        encode(&model, Role::Document, &all, EncodeOptions { dtype, pool_factor, ..Default::default() })
    };
    for factor in [None, Some(2)] {
        let whole = form(RowFormat::Float32, factor);
        let RowBuf::Float16(halves) = form(RowFormat::Float16, factor).data else { panic!("not float16") };
        let RowBuf::Int8 { codes, scales: Some(scales) } = form(RowFormat::Int8, factor).data else {
            panic!("not int8")
        };
        let RowBuf::Binary(bits) = form(RowFormat::Binary, factor).data else { panic!("not binary") };
        assert_eq!((codes.len(), scales.len()), (whole.tokens.ids.len() * 24, whole.tokens.ids.len()));
        assert_eq!(bits.len(), whole.tokens.ids.len() * 3);
        for (i, &v) in float32(&whole).iter().enumerate() {
            let (row, column) = (i / 24, i % 24);
            assert!((halves[i].to_f32() - v).abs() <= v.abs() / 2048.0 + 1e-7, "float16 {i}");
            assert!((f32::from(codes[i]) * scales[row] - v).abs() <= scales[row] * 0.5001, "int8 {i}");
            assert_eq!(bits[row * 3 + column / 8] >> (7 - column % 8) & 1 == 1, v >= 0.0, "binary {i}");
        }
        for row in codes.chunks(24) {
            assert_eq!(row.iter().map(|c| c.unsigned_abs()).max(), Some(127));
        }
    }
}

#[test]
fn pooling_equals_pylate_on_its_own_vectors() {
    let tensors = std::fs::read("tests/fixtures/expected/late-pooling.safetensors").unwrap();
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    for n in [1, 2, 3, 4, 7, 50, 180] {
        let x = floats(&tensors, &format!("x{n}"));
        for factor in [2, 3, 5] {
            let (got, first) = late::pool(&x, 16, factor);
            let want = floats(&tensors, &format!("x{n}.{factor}"));
            assert_eq!(got.len(), want.len(), "{n} by {factor}");
            assert_eq!(first.len(), want.len() / 16);
            let worst = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-6, "{n} by {factor}: off by {worst}");
        }
    }
    assert_eq!(late::pool(&[], 16, 2), (Vec::new(), Vec::new()));
    // All alike, and not numbers at all: nothing to part them by, but an end is found.
    assert_eq!(late::pool(&[0.5; 4 * 9], 4, 2).0, [0.5; 8]);
    late::pool(&[f32::NAN; 4 * 9], 4, 2);
}

#[test]
fn pooled_documents_equal_pylate() {
    let model = checkpoint("late-pylate");
    let (texts, tensors) = expected("late-pylate");
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    let all: Vec<&str> = texts.iter().map(|t| t.text.as_str()).collect();
    for factor in [2, 3, 100] {
        let marker_position = MarkerPosition::Second;
        let options = EncodeOptions { pool_factor: Some(factor), marker_position, ..Default::default() };
        let got = encode(&model, Role::Document, &all, options);
        assert_eq!(got.tokens.ids.len(), *got.tokens.offsets.last().unwrap());
        for (i, text) in texts.iter().enumerate() {
            let want = floats(&tensors, &format!("{}.pooled{factor}", text.name));
            same_vectors(of(&got, i), &want, got.tokens.dim, &format!("{} by {factor}", text.name));
            // The first vector is the document's own first, with its token.
            if let Some(first) = got.tokens.rows(i).next() {
                assert_eq!(got.tokens.ids[first], text.document.ids[text.document.scored[0]], "{}", text.name);
            }
        }
    }
}

#[test]
fn a_text_beyond_the_limit_is_cut_and_reported() {
    let model = checkpoint("late-st");
    let long = "a\n".repeat(60);
    let got = encode(&model, Role::Document, &["a", &long], EncodeOptions::default());
    assert_eq!(got.tokens.usage.truncated, [1]);
    assert_eq!(got.tokens.rows(1).len(), 48);
    // Its 47 tokens after the marker are its first 47 characters.
    assert_eq!(got.tokens.ranges[got.tokens.rows(1).end - 1], Some((46, 47)));
    let got = encode(&model, Role::Query, &[&long, "a"], EncodeOptions::default());
    assert_eq!(got.tokens.usage.truncated, [0]);
    assert_eq!((got.tokens.rows(0).len(), got.tokens.rows(1).len(), got.tokens.usage.tokens), (32, 32, 64));
    let none = encode(&model, Role::Query, &[], EncodeOptions::default());
    assert_eq!((none.tokens.texts(), none.tokens.offsets.len(), float32(&none).len()), (0, 1, 0));
}

#[test]
fn what_a_model_cannot_be_asked_is_a_typed_error() {
    let late = checkpoint("late-st");
    let dense = checkpoint("f32-odd");
    let code =
        |result: Result<_, pplx_embed::Error>| result.err().map(|e: pplx_embed::Error| (e.code(), e.to_string()));
    let embed = pollster::block_on(late.embed(&["a"], EmbedOptions::default(), &())).map(drop);
    let (found, message) = code(embed).unwrap();
    assert_eq!(found, "unsupported");
    assert!(message.contains("encodeQuery"), "{message}");
    let query = pollster::block_on(dense.encode(Role::Query, &["a"], EncodeOptions::default(), &())).map(drop);
    let (found, message) = code(query).unwrap();
    assert_eq!(found, "unsupported");
    assert!(message.contains("encodeQuery"), "{message}");
    for (role, pool_factor, words) in [(Role::Query, 2, "only documents"), (Role::Document, 0, "1 or more")] {
        let options = EncodeOptions { pool_factor: Some(pool_factor), ..Default::default() };
        let (found, message) = code(pollster::block_on(late.encode(role, &["a"], options, &())).map(drop)).unwrap();
        assert_eq!(found, "invalid-argument");
        assert!(message.starts_with("poolFactor") && message.contains(words), "{message}");
    }
}

#[test]
fn a_broken_repository_names_the_file_and_the_field() {
    type Edit = fn(&mut serde_json::Value);
    let edits: [(&str, Edit, &str, &str); 12] = [
        ("1_Dense/config.json", |c| c["in_features"] = 64.into(), "invalid-config", "hidden_size"),
        ("1_Dense/config.json", |c| c["out_features"] = 0.into(), "invalid-config", "out_features is 0"),
        ("1_Dense/config.json", |c| c["out_features"] = 32.into(), "invalid-checkpoint", "linear.weight"),
        ("1_Dense/config.json", |c| c["bias"] = true.into(), "invalid-checkpoint", "linear.bias is missing"),
        ("1_Dense/config.json", |c| c["activation_function"] = "torch.nn.ReLU".into(), "unsupported", "ReLU"),
        ("1_Dense/config.json", |c| c["use_residual"] = true.into(), "unsupported", "use_residual"),
        ("1_Dense/config.json", |c| c["module_input_name"] = "sentence_embedding".into(), "unsupported", "token_emb"),
        ("sentence_bert_config.json", |c| c["query_expansion"]["strategy"] = "max".into(), "invalid-config", "max"),
        ("sentence_bert_config.json", |c| c["query_expansion"]["length"] = 0.into(), "invalid-config", "is 0"),
        ("sentence_bert_config.json", |c| c["query_expansion"]["length"] = 600.into(), "invalid-config", "600"),
        (
            "sentence_bert_config.json",
            |c| c["query_expansion"]["token"] = "no such".into(),
            "invalid-config",
            "no such",
        ),
        ("2_MultiVectorMask/config.json", |c| c["keep_only_token_ids"] = vec![7].into(), "unsupported", "keep_only"),
    ];
    for (file, edit, code, word) in edits {
        let copy = Copy::of("late-st");
        copy.edit(file, edit);
        let result = pollster::block_on(Model::load(
            &Folder::new(copy.path()),
            LoadOptions { device: support::device(), ..LoadOptions::default() },
            &(),
        ));
        let error = result.err().unwrap();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    // A projection whose header lies about its size, and one cut short.
    for cut in [7, 20, 400] {
        let copy = Copy::of("late-st");
        let path = copy.path().join("1_Dense/model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let result = pollster::block_on(Model::load(
            &Folder::new(copy.path()),
            LoadOptions { device: support::device(), ..LoadOptions::default() },
            &(),
        ));
        let error = result.err().unwrap();
        assert_eq!(error.code(), "invalid-checkpoint", "{error}");
    }
    // A Dense layer of a model with one vector a text is not taken for a late one.
    let copy = Copy::of("late-pylate");
    copy.edit("config_sentence_transformers.json", |c| *c = serde_json::json!({"prompts": {}}));
    let result = pollster::block_on(Model::load(
        &Folder::new(copy.path()),
        LoadOptions { device: support::device(), ..LoadOptions::default() },
        &(),
    ));
    assert_eq!(result.err().unwrap().code(), "unsupported");
}
