//! The text of a web page.

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{Token, Tokenizer};

/// Elements whose content is no text for readers.
const SILENT: [&[u8]; 9] =
    [b"script", b"style", b"template", b"noscript", b"svg", b"math", b"iframe", b"object", b"select"];
/// Elements within a line. Any other begins a new one.
const INLINE: [&[u8]; 30] = [
    b"a", b"abbr", b"b", b"bdi", b"bdo", b"big", b"cite", b"code", b"data", b"del", b"dfn", b"em", b"font", b"i",
    b"img", b"ins", b"kbd", b"mark", b"q", b"s", b"samp", b"small", b"span", b"strong", b"sub", b"sup", b"time", b"tt",
    b"u", b"var",
];
/// Elements that a paragraph ends with: an empty line follows.
const PARAGRAPHS: [&[u8]; 16] = [
    b"p",
    b"h1",
    b"h2",
    b"h3",
    b"h4",
    b"h5",
    b"h6",
    b"ul",
    b"ol",
    b"dl",
    b"table",
    b"pre",
    b"blockquote",
    b"section",
    b"article",
    b"title",
];

/// What a reader of the page sees: its title and the text of its body, a line for each block, with spaces as a browser
/// shows them. Tags may be broken in any way; the tokens are those of the WHATWG's standard.
pub(crate) fn text(html: &str) -> String {
    let mut emitter = DefaultEmitter::default();
    // Without it, what is in a script would be read as tags.
    emitter.naively_switch_states(true);
    let mut text = HtmlText::default();
    let mut silent: Option<(Vec<u8>, usize)> = None;
    for Ok(token) in Tokenizer::new_with_emitter(html, emitter) {
        match token {
            Token::StartTag(tag) => match &mut silent {
                Some((name, depth)) if **name == **tag.name => *depth += usize::from(!tag.self_closing),
                Some(_) => {}
                None if SILENT.contains(&&**tag.name) => {
                    silent = (!tag.self_closing).then(|| (tag.name.to_vec(), 1));
                }
                None => text.tag(&tag.name, false),
            },
            Token::EndTag(tag) => match &mut silent {
                Some((name, depth)) if **name == **tag.name => {
                    *depth -= 1;
                    if *depth == 0 {
                        silent = None;
                    }
                }
                Some(_) => {}
                None if SILENT.contains(&&**tag.name) => {}
                None => text.tag(&tag.name, true),
            },
            Token::String(string) if silent.is_none() => text.push(&String::from_utf8_lossy(&string)),
            _ => {}
        }
    }
    text.done
}

/// The text so far.
#[derive(Default)]
struct HtmlText {
    done: String,
    /// Line ends that come before the next word, and whether a space does.
    lines: usize,
    space: bool,
    /// Within `pre`, how deep.
    preformatted: usize,
}

impl HtmlText {
    fn tag(&mut self, name: &[u8], end: bool) {
        if name == b"pre" {
            self.preformatted = if end { self.preformatted.saturating_sub(1) } else { self.preformatted + 1 };
        }
        if name == b"td" || name == b"th" {
            self.space = true;
        } else if !INLINE.contains(&name) {
            self.lines = self.lines.max(if PARAGRAPHS.contains(&name) { 2 } else { 1 });
        }
    }

    fn push(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\n' if self.preformatted > 0 => self.lines += 1,
                // The one space that readers see.
                ' ' | '\t' | '\n' | '\r' | '\u{c}' if self.preformatted == 0 => self.space = true,
                c => {
                    if !self.done.is_empty() && self.lines > 0 {
                        self.done.extend(std::iter::repeat_n('\n', self.lines.min(2)));
                    } else if !self.done.is_empty() && self.space {
                        self.done.push(' ');
                    }
                    (self.lines, self.space) = (0, false);
                    self.done.push(c);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn readers_see_words_and_no_markup() {
        for (html, want) in [
            (
                "<!doctype html><html><head><title>Of wheels</title><style>p { color: red }</style></head><body><p>A <b>red</b>\n  bicycle.<p>Two",
                "Of wheels\n\nA red bicycle.\n\nTwo",
            ),
            ("a&amp;b &lt;p&gt; &#x61; &nbsp;&eacute;", "a&b <p> a \u{a0}é"),
            ("<script>if (a < b) { document.write('<p>no') }</script>yes<!-- no -->", "yes"),
            ("<svg><text>no</text><svg></svg></svg>yes<svg/>!", "yes!"),
            ("<ul><li>one<li>two</ul><table><tr><td>a<td>b</tr></table>", "one\ntwo\n\na b"),
            ("<pre>let a;\n  let b;</pre>", "let a;\n  let b;"),
            ("one<br>two<div>three</div>four", "one\ntwo\nthree\nfour"),
            ("<p", ""),
            ("</p></div><p>a</script>b", "ab"),
            ("<textarea><p></textarea><script>", "<p>"),
            ("", ""),
            ("plain  text", "plain text"),
        ] {
            assert_eq!(text(html), want, "{html}");
        }
    }
}
