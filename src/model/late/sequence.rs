//! From a text to what goes through the model: marked as query or document, cut, filled up, and which tokens count.

use std::collections::BTreeSet;

use super::{ExpansionInfo, LateConfig, LateInfo, MarkerPosition, Role};
use crate::error::{Error, Result};
use crate::model::Tokenizer;

/// A query or document as the model sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// T ids.
    pub ids: Vec<u32>,
    /// Bytes of the text that each token stands for; `None` for the prompt, the filling and what the tokenizer adds.
    pub ranges: Vec<Option<(usize, usize)>>,
    /// Leading tokens that all others attend to.
    pub attended: u32,
    /// Places of the tokens whose vectors are part of the result, in order.
    pub scored: Vec<u32>,
    /// The text lost its end.
    pub truncated: bool,
}

/// A late interaction model's settings, with ids for tokens.
#[derive(Clone, Debug)]
pub struct Marking {
    config: LateConfig,
    /// The prompts' ids, where a prompt is one token.
    query_marker: Option<u32>,
    document_marker: Option<u32>,
    /// What queries are filled up with.
    filling: Option<u32>,
    skiplist: BTreeSet<u32>,
    /// Most tokens of a text.
    max_tokens: usize,
}

impl Marking {
    /// The settings `config` with the ids of `tokenizer`; `filling` is what queries are filled up with.
    ///
    /// # Errors
    /// [`Error::InvalidTokenizer`].
    pub fn new(config: &LateConfig, tokenizer: &Tokenizer, filling: Option<u32>) -> Result<Self> {
        let marker = |prompt: &str| match tokenizer.encode_whole(prompt)?[..] {
            [id] => Ok(Some(id)),
            _ => Ok::<_, Error>(None),
        };
        Ok(Self {
            query_marker: marker(&config.query_prompt)?,
            document_marker: marker(&config.document_prompt)?,
            filling,
            skiplist: config.skiplist.iter().filter_map(|word| tokenizer.token_id(word)).collect(),
            max_tokens: tokenizer.max_tokens() as usize,
            config: config.clone(),
        })
    }

    /// What is known of it.
    pub fn info(&self) -> LateInfo {
        let config = &self.config;
        let skipped = |skips: bool| if skips { self.skiplist.iter().copied().collect() } else { Vec::new() };
        let filled = config.expansion.as_ref().zip(self.filling);
        LateInfo {
            query_prompt: config.query_prompt.clone(),
            document_prompt: config.document_prompt.clone(),
            query_length: self.limit(Role::Query),
            document_length: self.limit(Role::Document),
            query_expansion: filled.map(|(e, token)| ExpansionInfo { token, length: e.length, attend: e.attend }),
            document_skiplist: skipped(config.skip_in_documents),
            query_skiplist: skipped(config.skip_in_queries),
        }
    }

    pub(super) fn normalizes(&self) -> bool {
        self.config.normalize
    }

    /// Most tokens of a text in this role.
    fn limit(&self, role: Role) -> usize {
        let config = &self.config;
        let limit = match (role, &config.expansion) {
            (Role::Document, _) => config.document_length,
            (Role::Query, None) => config.query_length,
            (Role::Query, Some(expansion)) if expansion.fixed => Some(expansion.length),
            (Role::Query, Some(expansion)) => config.query_length.map(|n| n.max(expansion.length)),
        };
        limit.map_or(self.max_tokens, |n| (n as usize).min(self.max_tokens))
    }

    /// Tokenizes `text` in its role.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a marker at place 1 where the prompt is not one token,
    /// [`Error::InvalidTokenizer`].
    pub fn mark(&self, tokenizer: &Tokenizer, role: Role, text: &str, position: MarkerPosition) -> Result<Marked> {
        let (prompt, marker, skips) = match role {
            Role::Query => (&self.config.query_prompt, self.query_marker, self.config.skip_in_queries),
            Role::Document => (&self.config.document_prompt, self.document_marker, self.config.skip_in_documents),
        };
        let limit = self.limit(role);
        let (placed, marker) = match position {
            MarkerPosition::First => {
                let mut placed = tokenizer.encode_placed(&format!("{prompt}{text}"), limit)?;
                for range in &mut placed.ranges {
                    let own = |&(_, to): &(usize, usize)| to > prompt.len();
                    let moved = |(from, to): (usize, usize)| (from.saturating_sub(prompt.len()), to - prompt.len());
                    *range = range.filter(own).map(moved);
                }
                (placed, None)
            }
            MarkerPosition::Second => {
                let marker = marker.ok_or_else(|| {
                    let message = format!("1, which needs a prompt of one token; this model's is {prompt:?}");
                    Error::argument("markerPosition", message)
                })?;
                // PyLate strips texts, as Python understands it, and counts the marker to the limit.
                let space = |c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c);
                let from = text.len() - text.trim_start_matches(space).len();
                let mut placed = tokenizer.encode_placed(text.trim_matches(space), limit.saturating_sub(1))?;
                for (start, end) in placed.ranges.iter_mut().flatten() {
                    (*start, *end) = (*start + from, *end + from);
                }
                (placed, Some(marker))
            }
        };
        let (mut ids, mut ranges, truncated) = (placed.ids, placed.ranges, placed.truncated);

        let mut own = ids.len();
        let filling = self.config.expansion.as_ref().zip(self.filling).filter(|_| role == Role::Query);
        if let Some((expansion, token)) = filling {
            let length = expansion.length as usize - usize::from(marker.is_some());
            ids.resize(own.max(length), token);
            ranges.resize(ids.len(), None);
        }
        if let Some(marker) = marker {
            // After the first token, be it of the filling; but before a filling that nobody is to attend to.
            let attend = filling.is_none_or(|(expansion, _)| expansion.attend);
            let at = if attend { ids.len() } else { own }.min(1);
            ids.insert(at, marker);
            ranges.insert(at, None);
            own += 1;
        }
        let attended = match filling {
            Some((expansion, _)) if !expansion.attend && own > 0 => own,
            _ => ids.len(),
        };
        let counts = |i: &u32| !(skips && self.skiplist.contains(&ids[*i as usize]));
        let scored = (0..ids.len() as u32).filter(counts).collect();
        Ok(Marked { ids, ranges, attended: attended as u32, scored, truncated })
    }
}
