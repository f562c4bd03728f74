//! Late chunking against transformers, and the splitter, on the adapter that `VK_ICD_FILENAMES` chooses.

use std::ops::Range;

use pplx_embed::hub::Folder;
use pplx_embed::model::{
    ContextOptions, Data, EmbedOptions, Embeddings, LoadOptions, LongDocuments, Model, ModelKind, SplitOptions,
    TextChunk, Tokenizer,
};
use pplx_embed::numbers::Dtype;
use pplx_embed::{Progress, Watch};
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::support;
use crate::support::{Copy, cosine, floats, real_tokenizer};

const MODEL: &str = "tests/fixtures/checkpoints/context";
const SEPARATOR: u32 = 995;

#[derive(Deserialize)]
struct Expected {
    texts: Vec<Document>,
}

#[derive(Deserialize)]
struct Document {
    name: String,
    chunks: Vec<String>,
    ids: Vec<u32>,
    spans: Vec<(u32, u32)>,
}

fn load(folder: &str) -> Model {
    pollster::block_on(Model::load(
        &Folder::new(folder),
        LoadOptions { device: support::device(), ..LoadOptions::default() },
        &(),
    ))
    .unwrap()
}

fn expected() -> (Vec<Document>, Vec<u8>) {
    let json = std::fs::read("tests/fixtures/expected/context.json").unwrap();
    let expected: Expected = serde_json::from_slice(&json).unwrap();
    (expected.texts, std::fs::read("tests/fixtures/expected/context.safetensors").unwrap())
}

fn options(dtype: Dtype) -> ContextOptions {
    ContextOptions { embed: EmbedOptions { dtype: Some(dtype), ..Default::default() }, ..Default::default() }
}

fn embed(model: &Model, documents: &[Vec<String>], options: ContextOptions) -> Vec<Embeddings> {
    pollster::block_on(model.embed_context(documents, options, &())).unwrap()
}

fn float32(embeddings: &Embeddings) -> &[f32] {
    let Data::Float32(data) = &embeddings.data else { panic!("not float32") };
    data
}

fn ranges(spans: &[(u32, u32)]) -> Vec<Range<u32>> {
    spans.iter().map(|&(from, to)| from..to).collect()
}

#[test]
fn vectors_of_chunks_equal_transformers_in_every_form() {
    let model = load(MODEL);
    let info = model.info();
    let separator = info.separator.unwrap();
    assert_eq!((info.kind, info.max_tokens), (ModelKind::Context, 1024));
    assert_eq!((separator.token.as_str(), separator.id), ("<|endoftext|>", SEPARATOR));

    let (documents, tensors) = expected();
    let tensors = SafeTensors::deserialize(&tensors).unwrap();
    let pooled = floats(&tensors, "pooled");
    let bytes = |name: &str| tensors.tensor(name).unwrap().data().to_vec();
    let (codes, signs, bits) = (bytes("int8"), bytes("binary"), bytes("ubinary"));
    let chunks: Vec<Vec<String>> = documents.iter().map(|d| d.chunks.clone()).collect();
    let [got, int8, binary, ubinary] = [Dtype::Float32, Dtype::Int8, Dtype::Binary, Dtype::Ubinary]
        .map(|dtype| embed(&model, &chunks, options(dtype)));
    let mut row = 0;
    for (i, document) in documents.iter().enumerate() {
        let (ids, spans) = model.tokenizer().join(&document.chunks).unwrap();
        assert_eq!((&ids, spans), (&document.ids, ranges(&document.spans)), "{}", document.name);
        assert_eq!((got[i].rows, got[i].usage.tokens), (document.chunks.len(), ids.len()), "{}", document.name);
        let rows = row * 32..(row + document.chunks.len()) * 32;
        for (chunk, (got, want)) in float32(&got[i]).chunks(32).zip(pooled[rows.clone()].chunks(32)).enumerate() {
            let cosine = cosine(got, want);
            assert!(cosine >= 0.99999, "{} [{chunk}]: cosine {cosine}", document.name);
            let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-3, "{} [{chunk}]: off by {worst}", document.name);
        }
        let Data::Int8(got) = &int8[i].data else { panic!("not int8") };
        for (at, (got, want)) in got.iter().zip(&codes[rows.clone()]).enumerate() {
            assert!(got.abs_diff(*want as i8) <= 1, "{} int8 {at}", document.name);
        }
        let (Data::Binary(plus), Data::Ubinary(packed)) = (&binary[i].data, &ubinary[i].data) else { panic!("forms") };
        assert_eq!((plus.len(), packed.len()), (rows.len(), rows.len() / 8));
        for (at, place) in rows.clone().enumerate().filter(|&(_, p)| pooled[p].abs() > 1e-4 || pooled[p] == 0.0) {
            assert_eq!(plus[at], signs[place] as i8, "{} binary {at}", document.name);
            assert_eq!(packed[at / 8] >> (7 - at % 8) & 1, bits[place / 8] >> (7 - place % 8) & 1);
        }
        row += document.chunks.len();
    }
    assert_eq!(row * 32, pooled.len());
}

#[test]
fn a_document_has_the_same_bits_alone_and_in_any_batch() {
    let model = load(MODEL);
    let (documents, _) = expected();
    let chunks: Vec<Vec<String>> = documents.iter().map(|d| d.chunks.clone()).collect();
    let bits = |documents: &[Vec<String>]| -> Vec<Vec<u32>> {
        let got = embed(&model, documents, options(Dtype::Float32));
        got.iter().map(|e| float32(e).iter().map(|v| v.to_bits()).collect()).collect()
    };
    // Enough for several batches, by their tokens and by their vectors.
    let many: Vec<Vec<String>> = chunks.iter().cycle().take(chunks.len() * 9).cloned().collect();
    let batch = bits(&many);
    let reversed = bits(&many.iter().rev().cloned().collect::<Vec<_>>());
    for (i, got) in batch.iter().enumerate() {
        assert_eq!(&reversed[many.len() - 1 - i], got, "reversed: {}", documents[i % chunks.len()].name);
        assert_eq!(&batch[i % chunks.len()], got, "again: {}", documents[i % chunks.len()].name);
    }
    for (i, document) in chunks.iter().enumerate() {
        assert_eq!(bits(std::slice::from_ref(document))[0], batch[i], "alone: {}", documents[i].name);
    }
}

#[test]
fn a_query_is_a_document_of_one_chunk() {
    let model = load(MODEL);
    let texts = ["Which river runs under the bridge?", "", "before<|endoftext|>after"];
    let plain = EmbedOptions { dtype: Some(Dtype::Float32), ..Default::default() };
    let flat = pollster::block_on(model.embed(&texts, plain, &())).unwrap();
    let documents: Vec<Vec<String>> = texts.iter().map(|t| vec![(*t).to_owned()]).collect();
    let nested = embed(&model, &documents, options(Dtype::Float32));
    let joined: Vec<f32> = nested.iter().flat_map(float32).copied().collect();
    assert_eq!(float32(&flat), joined);
    assert!(embed(&model, &[], options(Dtype::Int8)).is_empty());
}

#[test]
fn the_separator_can_be_the_token_that_ends_a_text() {
    let copy = Copy::of("context");
    copy.edit("tokenizer_config.json", |c| drop(c.as_object_mut().unwrap().remove("sep_token")));
    let model = load(copy.path().to_str().unwrap());
    assert_eq!(model.tokenizer().separator().unwrap().id, SEPARATOR);
    for (change, code) in [(serde_json::json!("no such token"), "invalid-tokenizer"), (3.into(), "invalid-config")] {
        copy.edit("tokenizer_config.json", |c| c["sep_token"] = change);
        let result = pollster::block_on(Model::load(
            &Folder::new(copy.path()),
            LoadOptions { device: support::device(), ..LoadOptions::default() },
            &(),
        ));
        assert_eq!(result.err().unwrap().code(), code);
    }
}

/// A document of `chunks` chunks of 4 tokens each ("a" and a newline never merge).
fn fours(chunks: usize) -> Vec<String> {
    vec!["a\nb\n".to_owned(); chunks]
}

#[test]
fn a_document_at_the_limit_fits_and_one_over_is_named() {
    let model = load(MODEL);
    assert_eq!(model.tokenizer().encode("a\nb\n").unwrap().ids.len(), 4);
    // 205 chunks of 4 and 204 separators: 1,024.
    let mut document = fours(205);
    let got = embed(&model, &[document.clone()], options(Dtype::Int8));
    assert_eq!((got[0].rows, got[0].usage.tokens), (205, 1024));
    document[7].push('\n');
    document[7].push('a');
    let tokens = model.tokenizer().join(&document).unwrap().0.len();
    assert!(tokens > 1024);
    let documents = [fours(1), document];
    let error = pollster::block_on(model.embed_context(&documents, options(Dtype::Int8), &())).err().unwrap();
    assert_eq!(error.code(), "invalid-argument");
    for word in ["documents[1]", &tokens.to_string(), "1024", "longDocuments"] {
        assert!(error.to_string().contains(word), "no {word} in {error}");
    }
}

#[test]
fn a_long_document_goes_through_in_windows() {
    let model = load(MODEL);
    let windowed = ContextOptions { long_documents: LongDocuments::Window, ..options(Dtype::Float32) };
    let (documents, _) = expected();
    // What fits is not cut.
    let short = documents.iter().find(|d| d.name == "many_chunks").unwrap().chunks.clone();
    let whole = embed(&model, std::slice::from_ref(&short), options(Dtype::Float32));
    assert_eq!(embed(&model, std::slice::from_ref(&short), windowed.clone()), whole);

    // 300 different chunks, several windows. Each vector is that of the chunk in some window of whole chunks.
    let long: Vec<String> = (0..300).map(|i| format!("Chunk {i}, {} of it.", i * i % 97)).collect();
    let lengths: Vec<usize> = long.iter().map(|c| model.tokenizer().encode(c).unwrap().ids.len()).collect();
    let got = embed(&model, std::slice::from_ref(&long), windowed.clone());
    assert_eq!(got[0].rows, 300);
    assert!(got[0].usage.tokens > lengths.iter().sum::<usize>() + 299, "{}", got[0].usage.tokens);
    let rows: Vec<&[f32]> = float32(&got[0]).chunks(32).collect();
    // The first window, made by hand: its first chunk is from there, and the last chunk from the last window.
    let mut end = 0;
    while lengths[..=end].iter().sum::<usize>() + end <= 1024 {
        end += 1;
    }
    let mut start = 300;
    while lengths[start - 1..].iter().sum::<usize>() + (300 - start) <= 1024 {
        start -= 1;
    }
    let first = embed(&model, &[long[..end].to_vec()], options(Dtype::Float32));
    assert_eq!(rows[0], &float32(&first[0])[..32]);
    assert_eq!(rows[end / 4], &float32(&first[0])[end / 4 * 32..][..32]);
    // Each is close to itself in other company, and closer than to its neighbour.
    for (i, chunk) in long.iter().enumerate().step_by(13) {
        let own = embed(&model, &[long[i.saturating_sub(20)..(i + 20).min(300)].to_vec()], options(Dtype::Float32));
        let own = &float32(&own[0])[(i - i.saturating_sub(20)) * 32..][..32];
        let other = rows[(i + 1) % 300];
        assert!(cosine(rows[i], own) > cosine(other, own), "{chunk}");
        assert!(cosine(rows[i], own) > 0.9, "{chunk}: {}", cosine(rows[i], own));
    }
    // In any company, the same bits.
    let both = embed(&model, &[short, long], windowed.clone());
    assert_eq!((&both[0], &both[1]), (&whole[0], &got[0]));

    let chunk = "a\n".repeat(600);
    let error = pollster::block_on(model.embed_context(&[["b", &chunk]], windowed.clone(), &())).err().unwrap();
    assert_eq!(error.code(), "invalid-argument");
    assert!(error.to_string().contains("documents[0]") && error.to_string().contains("[1]"), "{error}");
}

#[test]
fn only_context_models_embed_documents() {
    let model = load("tests/fixtures/checkpoints/f32-odd");
    assert_eq!(model.info().kind, ModelKind::Embed);
    let error = pollster::block_on(model.embed_context(&[["a"]], ContextOptions::default(), &())).err().unwrap();
    assert_eq!(error.code(), "unsupported");
    assert!(error.to_string().contains("embedContext"), "{error}");
}

#[test]
fn progress_counts_documents_and_a_call_can_be_cancelled() {
    struct Hears(std::cell::RefCell<Vec<(usize, usize)>>, bool);
    impl Watch for Hears {
        fn cancelled(&self) -> bool {
            self.1
        }
        fn progress(&self, progress: Progress) {
            if let Progress::Embed { texts, tokens, .. } = progress {
                self.0.borrow_mut().push((texts, tokens));
            }
        }
    }
    let model = load(MODEL);
    let documents = [fours(300), vec![], fours(150), fours(290), vec![String::new()]];
    let windowed = ContextOptions { long_documents: LongDocuments::Window, ..Default::default() };
    let hears = Hears(Default::default(), false);
    let got = pollster::block_on(model.embed_context(&documents, windowed.clone(), &hears)).unwrap();
    let heard = hears.0.into_inner();
    assert_eq!(heard.last(), Some(&(5, got.iter().map(|e| e.usage.tokens).sum())));
    assert!(heard.is_sorted(), "{heard:?}");
    let error = pollster::block_on(model.embed_context(&documents, windowed.clone(), &Hears(Default::default(), true)));
    assert_eq!(error.err().unwrap().code(), "aborted");
}

#[test]
fn a_chunk_with_the_text_of_the_separator_stays_in_one_piece() {
    let plain = real_tokenizer();
    let mut tokenizer = real_tokenizer();
    tokenizer.separate_by("<|endoftext|>").unwrap();
    let id = tokenizer.separator().unwrap().id;
    assert_eq!(plain.encode("a<|endoftext|>b<|im_end|>").unwrap().ids, [64, id, 65, 151_645]);
    let (ids, spans) = tokenizer.join(&["a<|endoftext|>b<|im_end|>", "<|endoftext|>"]).unwrap();
    assert_eq!(ids.iter().filter(|&&i| i == id).count(), 1);
    assert_eq!((spans.len(), ids[spans[0].end as usize]), (2, id));
    // Other special tokens are what they were.
    assert_eq!(ids[spans[0].end as usize - 1], 151_645);
    assert!(spans.iter().all(|s| s.len() > 3), "{spans:?}");
}

// ---------------------------------------------------------------------------------------------------- splitter

/// Chunks within bounds that cover the text and never part a grapheme.
#[track_caller]
fn split(tokenizer: &Tokenizer, text: &str, max_tokens: usize, overlap: usize) -> Vec<TextChunk> {
    use unicode_segmentation::UnicodeSegmentation;
    let chunks = tokenizer.split(text, SplitOptions { max_tokens, overlap }).unwrap();
    let graphemes: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).chain([text.len()]).collect();
    let (mut start, mut covered) = (0, 0);
    for chunk in &chunks {
        let TextChunk { range, tokens } = chunk;
        assert!(range.start >= start && range.start <= covered && range.end > covered, "{chunk:?} after {covered}");
        for end in [range.start, range.end] {
            assert!(graphemes.binary_search(&end).is_ok(), "{end} is within a grapheme");
        }
        assert_eq!(tokenizer.encode(&text[range.clone()]).unwrap().ids.len(), *tokens);
        let alone = graphemes.iter().filter(|g| range.contains(g)).count() == 1;
        assert!(*tokens <= max_tokens || alone, "{tokens} tokens: {:?}", &text[range.clone()]);
        let repeated = &text[range.start..covered];
        assert!(tokenizer.encode(repeated).unwrap().ids.len() <= overlap, "{repeated:?}");
        (start, covered) = (range.start, range.end);
    }
    assert_eq!(covered, text.len());
    chunks
}

fn texts<'a>(text: &'a str, chunks: &[TextChunk]) -> Vec<&'a str> {
    chunks.iter().map(|c| &text[c.range.clone()]).collect()
}

#[test]
fn sentences_and_paragraphs_are_where_a_text_is_cut() {
    let tokenizer = real_tokenizer();
    let text = "One sentence here. Another one there!  A third?\n\nA new paragraph starts. It ends.\nA line of it.";
    assert_eq!(
        texts(text, &split(&tokenizer, text, 8, 0)),
        [
            "One sentence here. ",
            "Another one there!  A third?\n\n",
            "A new paragraph starts. It ends.\n",
            "A line of it."
        ]
    );
    // The paragraph's end wins over a longer chunk; a whole text that fits stays whole.
    assert_eq!(texts(text, &split(&tokenizer, text, 18, 0))[0], "One sentence here. Another one there!  A third?\n\n");
    assert_eq!(split(&tokenizer, text, 100, 0).len(), 1);
    assert!(split(&tokenizer, "", 8, 0).is_empty());
    assert_eq!(texts(" \n", &split(&tokenizer, " \n", 8, 0)), [" \n"]);
    // With an overlap the next chunk repeats whole sentences.
    assert_eq!(
        texts(text, &split(&tokenizer, text, 12, 6))[..2],
        ["One sentence here. Another one there!  A third?\n\n", "A third?\n\nA new paragraph starts. It ends.\n"]
    );
}

#[test]
fn long_words_and_languages_without_spaces_are_cut_between_graphemes() {
    let tokenizer = real_tokenizer();
    let chinese = "图书馆早上九点开门,请问火车站在哪里?河水流过石桥。".repeat(9);
    let thai = "สถานีรถไฟอยู่ที่ไหนห้องสมุดเปิดเก้าโมงเช้า".repeat(9);
    let hindi = "नदी पत्थर के पुल के नीचे से बहती है। ".repeat(5);
    let word = "Donaudampfschifffahrtsgesellschaft".repeat(20);
    let emoji =
        "\u{1F469}\u{1F3FD}\u{200D}\u{1F4BB}\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}\u{1F1E9}\u{1F1EA}".repeat(7);
    let marks = "cafe\u{301} q\u{307}\u{323}\u{302} a\r\n\r\nb \u{1112}\u{1161}\u{11AB}".repeat(8);
    for text in [&chinese, &thai, &hindi, &word, &emoji, &marks] {
        for (max_tokens, overlap) in [(1, 0), (2, 1), (5, 0), (16, 0), (16, 4), (16, 15), (64, 10)] {
            let chunks = split(&tokenizer, text, max_tokens, overlap);
            assert!(chunks.len() > 1, "{max_tokens}: {text:.20}");
        }
    }
    // Sentences where there are some, without spaces.
    assert!(texts(&chinese, &split(&tokenizer, &chinese, 30, 0)).iter().all(|c| c.ends_with(['。', '?'])));
}

#[test]
fn a_long_text_is_split_in_reasonable_time_and_nearly_full_chunks() {
    let tokenizer = real_tokenizer();
    let text = "The river runs under the bridge. It is wide there, and slow. Boats pass. ".repeat(2000);
    let chunks = split(&tokenizer, &text, 128, 0);
    let short = chunks[..chunks.len() - 1].iter().filter(|c| c.tokens < 110).count();
    assert_eq!(short, 0, "of {}", chunks.len());
    // Nothing in it ends before it does.
    let endless = "word ".repeat(60_000);
    assert!(split(&tokenizer, &endless, 64, 8).len() > 900);
}

#[test]
fn impossible_sizes_are_named() {
    let tokenizer = real_tokenizer();
    for (max_tokens, overlap, argument) in [(0, 0, "maxTokens"), (8, 8, "overlap")] {
        let error = tokenizer.split("a", SplitOptions { max_tokens, overlap }).err().unwrap();
        assert_eq!(error.code(), "invalid-argument");
        assert!(error.to_string().starts_with(argument), "{error}");
    }
}
