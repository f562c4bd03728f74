//! Cuts a long text into chunks of so many tokens, at the ends of paragraphs and sentences.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::Tokenizer;
use crate::error::{Error, Result};

/// How a text is to be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitOptions {
    /// Most tokens of a chunk, 1 or more. A single grapheme (what a reader takes for one character) that has more is a
    /// chunk of its own.
    pub max_tokens: usize,
    /// Tokens of a chunk's end, at most, that the next chunk repeats; less than `max_tokens`.
    pub overlap: usize,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self { max_tokens: 256, overlap: 0 }
    }
}

/// A chunk of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextChunk {
    /// Bytes of the text. Chunks cover all of it, in order; where they do not overlap, each starts where the one before
    /// ends.
    pub range: Range<usize>,
    /// Tokens of the chunk on its own.
    pub tokens: usize,
}

impl Tokenizer {
    /// Splits `text` into chunks of at most `max_tokens` tokens each: as many whole sentences as fit, ending with a
    /// paragraph where one ends in the second half of that. A sentence that is too long is cut between words, and a word
    /// that is too long between graphemes. Sentences, words and graphemes are those of Unicode's UAX 29, so it works for
    /// languages without spaces; a chunk keeps the spaces after its last word. The empty text has no chunks.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] naming `maxTokens` or `overlap`, [`Error::InvalidTokenizer`].
    pub fn split(&self, text: &str, options: SplitOptions) -> Result<Vec<TextChunk>> {
        let SplitOptions { max_tokens, overlap } = options;
        if max_tokens == 0 {
            return Err(Error::argument("maxTokens", "0, allowed is 1 or more"));
        }
        if overlap >= max_tokens {
            return Err(Error::argument("overlap", format!("{overlap}, allowed is less than maxTokens, {max_tokens}")));
        }
        let splitter = Splitter::new(self, text)?;
        let mut chunks: Vec<TextChunk> = Vec::new();
        let (mut start, mut covered) = (0, 0);
        while covered < text.len() {
            let chunk = match splitter.longest(start, covered, max_tokens)? {
                Some(chunk) => chunk,
                // Nothing new fits behind what is repeated: then nothing is repeated.
                None => splitter.longest_or_one(covered, max_tokens)?,
            };
            (covered, start) = (chunk.range.end, splitter.repeated(&chunk.range, overlap)?);
            chunks.push(chunk);
        }
        Ok(chunks)
    }
}

struct Splitter<'a> {
    tokenizer: &'a Tokenizer,
    text: &'a str,
    /// Where each token of the whole text ends, ascending: good for a guess at how many tokens a part has.
    tokens: Vec<usize>,
    /// Where paragraphs, sentences, words and graphemes end, ascending, each a subset of the next.
    paragraphs: Vec<usize>,
    sentences: Vec<usize>,
    words: Vec<usize>,
    graphemes: Vec<usize>,
}

impl<'a> Splitter<'a> {
    fn new(tokenizer: &'a Tokenizer, text: &'a str) -> Result<Self> {
        let ends = |parts: &mut dyn Iterator<Item = (usize, &str)>| parts.map(|(at, part)| at + part.len()).collect();
        let graphemes: Vec<usize> = ends(&mut text.grapheme_indices(true));
        // A cut anywhere must not part a grapheme: "\r\n" and the like aside, the rules for words and sentences see to it.
        let whole = |mut ends: Vec<usize>| {
            ends.retain(|end| graphemes.binary_search(end).is_ok());
            ends
        };
        let words: Vec<usize> = whole(ends(&mut text.split_word_bound_indices()));
        // The spaces between words belong to the word before.
        let spaces = |at: usize| text[at..].chars().next().is_some_and(char::is_whitespace);
        let words: Vec<usize> = words.into_iter().filter(|&end| !spaces(end)).collect();
        let mut sentences: Vec<usize> = whole(ends(&mut text.split_sentence_bound_indices()));
        sentences.retain(|&end| !spaces(end));
        // A paragraph ends with an empty line.
        let blank = |end: usize| {
            let space = &text[text[..end].trim_end().len()..end];
            end == text.len() || space.replace("\r\n", "\n").matches(['\n', '\r', '\u{2028}', '\u{2029}']).count() > 1
        };
        let paragraphs = sentences.iter().copied().filter(|&end| blank(end)).collect();
        let mut tokens: Vec<usize> = tokenizer.places(text)?.into_iter().map(|(_, end)| end).collect();
        tokens.sort_unstable();
        Ok(Self { tokenizer, text, tokens, paragraphs, sentences, words, graphemes })
    }

    fn count(&self, range: Range<usize>) -> Result<usize> {
        Ok(self.tokenizer.encode_whole(&self.text[range])?.len())
    }

    /// Spares the counting of what has far too many tokens, as a text without a full stop would have every time.
    fn may_fit(&self, range: Range<usize>, max_tokens: usize) -> bool {
        let before = |at: usize| self.tokens.partition_point(|&end| end <= at);
        before(range.end) - before(range.start) <= max_tokens.saturating_mul(2).saturating_add(32)
    }

    /// The longest chunk from `start` that fits and goes beyond `covered`: to the end of a sentence, else of a word, else
    /// of a grapheme.
    fn longest(&self, start: usize, covered: usize, max_tokens: usize) -> Result<Option<TextChunk>> {
        for ends in [&self.sentences, &self.words, &self.graphemes] {
            let Some(chunk) = self.longest_among(ends, start, covered, max_tokens)? else { continue };
            if std::ptr::eq(ends, &self.sentences)
                && chunk.range.end < self.text.len()
                && let Some(shorter) = self.paragraph(&chunk, covered, max_tokens)?
            {
                return Ok(Some(shorter));
            }
            return Ok(Some(chunk));
        }
        Ok(None)
    }

    /// [`Splitter::longest`], or one grapheme, however many tokens that has.
    fn longest_or_one(&self, start: usize, max_tokens: usize) -> Result<TextChunk> {
        if let Some(chunk) = self.longest(start, start, max_tokens)? {
            return Ok(chunk);
        }
        let next = self.graphemes.partition_point(|&end| end <= start);
        let end = self.graphemes.get(next).map_or(self.text.len(), |&end| end);
        Ok(TextChunk { range: start..end, tokens: self.count(start..end)? })
    }

    /// The chunk, ended with the last paragraph that ends within it, where that leaves at least half of `max_tokens`.
    fn paragraph(&self, chunk: &TextChunk, covered: usize, max_tokens: usize) -> Result<Option<TextChunk>> {
        let after = self.paragraphs.partition_point(|&end| end <= chunk.range.end);
        let Some(&end) = self.paragraphs[..after].last().filter(|&&end| end > covered) else { return Ok(None) };
        let range = chunk.range.start..end;
        let tokens = self.count(range.clone())?;
        // A part of a text may have more tokens than the whole.
        Ok((max_tokens.div_ceil(2)..=max_tokens).contains(&tokens).then_some(TextChunk { range, tokens }))
    }

    /// The chunk from `start` to the last of `ends` with which it fits, if that is beyond `covered`.
    fn longest_among(
        &self,
        ends: &[usize],
        start: usize,
        covered: usize,
        max_tokens: usize,
    ) -> Result<Option<TextChunk>> {
        let ends = &ends[ends.partition_point(|&end| end <= covered)..];
        // A guess from the whole text's tokens, then by counting: a part's tokens differ from the whole's at its edges.
        let first = self.tokens.partition_point(|&end| end <= start);
        let guess = self.tokens.get(first.saturating_add(max_tokens)).map_or(self.text.len(), |&end| end);
        let fits = |at: usize| -> Result<Option<TextChunk>> {
            let Some(range) = ends.get(at).map(|&end| start..end) else { return Ok(None) };
            if !self.may_fit(range.clone(), max_tokens) {
                return Ok(None);
            }
            let tokens = self.count(range.clone())?;
            Ok((tokens <= max_tokens).then_some(TextChunk { range, tokens }))
        };
        let mut at = ends.partition_point(|&end| end < guess);
        let mut best = fits(at)?;
        while best.is_none() && at > 0 {
            at -= 1;
            best = fits(at)?;
        }
        while best.is_some()
            && let Some(longer) = fits(at + 1)?
        {
            (at, best) = (at + 1, Some(longer));
        }
        Ok(best)
    }

    /// Where the chunk after `chunk` starts, so that it repeats at most `overlap` tokens: with a sentence, else a word.
    fn repeated(&self, chunk: &Range<usize>, overlap: usize) -> Result<usize> {
        if overlap == 0 {
            return Ok(chunk.end);
        }
        for ends in [&self.sentences, &self.words] {
            let within = &ends[ends.partition_point(|&end| end <= chunk.start)..];
            let within = &within[..within.partition_point(|&end| end < chunk.end)];
            // The longest repetition that fits; they get shorter towards the end.
            let mut found = None;
            for &start in within.iter().rev() {
                if !self.may_fit(start..chunk.end, overlap) || self.count(start..chunk.end)? > overlap {
                    break;
                }
                found = Some(start);
            }
            if let Some(start) = found {
                return Ok(start);
            }
        }
        Ok(chunk.end)
    }
}
