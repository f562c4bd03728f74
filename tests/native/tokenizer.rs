//! The limit on the length of a text.

use pplx_embed::hub::Folder;
use pplx_embed::model::{Data, EmbedOptions, LoadOptions, Model, Tokenizer};
use pplx_embed::numbers::Dtype;

#[test]
fn a_text_beyond_the_limit_is_cut_at_its_end_and_reported() {
    // Its 2,048 positions are fewer than the tokenizer's own limit.
    let folder = Folder::new("tests/fixtures/checkpoints/f32-odd");
    let model = pollster::block_on(Model::load(&folder, LoadOptions::default(), &())).unwrap();
    assert_eq!(model.info().max_tokens, 2048);
    // "a" and a newline never merge: two tokens a pair.
    let pair = model.tokenizer().encode("a\na\n").unwrap().ids.len() / 2;
    let text = |tokens: usize| "a\n".repeat(tokens / pair);
    let (fits, long) = (text(2048), text(2600));
    assert_eq!(model.tokenizer().encode(&fits).unwrap().ids.len(), 2048);
    let options = EmbedOptions { dtype: Some(Dtype::Float32), ..Default::default() };
    let got = pollster::block_on(model.embed(&["a", &long, &fits], options, &())).unwrap();
    assert_eq!(got.usage.truncated, [1]);
    assert_eq!(got.usage.tokens, 1 + 2048 + 2048);
    let Data::Float32(data) = got.data else { panic!("not float32") };
    assert_eq!(data[got.dimensions..2 * got.dimensions], data[2 * got.dimensions..]);
}

#[test]
fn a_cut_text_keeps_the_token_that_the_tokenizer_appends() {
    let json = std::fs::read("tests/fixtures/checkpoints/causal-last-f32/tokenizer.json").unwrap();
    let tokenizer = Tokenizer::parse(&json, 1024, 8).unwrap();
    let tokens = tokenizer.encode(&"a\n".repeat(40)).unwrap();
    assert!(tokens.truncated);
    assert_eq!((tokens.ids.len(), tokens.ids.last()), (8, Some(&995)));
}
