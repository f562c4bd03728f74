//! Texts of exactly so many tokens.

use pplx_embed::model::Tokenizer;
use pplx_embed::{Error, Result};

/// Ordinary words: what a token is worth depends on them.
const WORDS: &str = "the library opens at nine on Sunday and the train to the coast leaves from the second platform \
                     water tomatoes every morning before the sun is high because dry soil takes it up slowly a small \
                     engine in the page reads notes letters and manuals nobody else can see them";
/// What makes up for the last tokens: in every tokenizer some of these is one token.
const FILLERS: [&str; 5] = ["7", " a", ".", " I", "\n"];

/// A text of `tokens` tokens; `seed` chooses where it begins, so that texts of a batch differ.
///
/// # Errors
/// Of the tokenizer, or if it makes no text of that length.
pub(super) fn of(tokenizer: &Tokenizer, tokens: usize, seed: usize) -> Result<String> {
    let words: Vec<&str> = WORDS.split(' ').collect();
    let text = |count: usize| {
        let words: Vec<&str> = (0..count).map(|i| words[(7 * seed + i) % words.len()]).collect();
        words.join(" ")
    };
    let count = |text: &str| Ok::<_, Error>(tokenizer.encode(text)?.ids.len());
    // The most words whose tokens are not too many: a word is at least one.
    let (mut fits, mut beyond) = (0, tokens + 1);
    while beyond - fits > 1 {
        let middle = (fits + beyond) / 2;
        if count(&text(middle))? <= tokens { fits = middle } else { beyond = middle }
    }
    let mut text = text(fits);
    let mut now = count(&text)?;
    while now < tokens {
        let mut grown = None;
        for filler in FILLERS {
            let longer = format!("{text}{filler}");
            let then = count(&longer)?;
            if then > now && then <= tokens {
                grown = Some((longer, then));
                break;
            }
        }
        let Some((longer, then)) = grown else { break };
        (text, now) = (longer, then);
    }
    if now != tokens {
        let message = format!("{tokens}, of which this model's tokenizer makes no text; the nearest has {now}");
        return Err(Error::InvalidArgument { argument: "--cases".into(), message });
    }
    Ok(text)
}
