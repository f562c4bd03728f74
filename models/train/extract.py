"""Texts out of the files of Debian packages: index stanzas, WordNet, dictionaries, manual pages, HTML and Mallard."""

import gzip
import html
import re
import xml.etree.ElementTree as xml
from html.parser import HTMLParser

SPACES = re.compile(r"\s+")


def clean(text):
    return SPACES.sub(" ", html.unescape(text)).strip()


def cut(text, limit):
    """At most `limit` characters, ending at a sentence or a word."""
    if len(text) <= limit:
        return text
    head = text[:limit]
    stop = max(head.rfind(". "), head.rfind("? "), head.rfind("! "))
    return head[: stop + 1] if stop > limit // 2 else head[: head.rfind(" ")]


def read(path):
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return data.decode("utf-8", "replace")


# ------------------------------------------------------------- package index


def stanzas(text):
    """Field -> value of each stanza; continuation lines keep their newline."""
    for block in text.split("\n\n"):
        fields, name = {}, None
        for line in block.split("\n"):
            if line[:1] in (" ", "\t"):
                if name:
                    fields[name] += "\n" + line[1:]
            elif ": " in line or line.endswith(":"):
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            yield fields


def description(value):
    """Short description, and the first paragraphs of the long one."""
    short, _, long = value.partition("\n")
    paragraphs = [clean(p) for p in re.split(r"\n\s*\.\s*(?:\n|$)", long)]
    return clean(short), [p for p in paragraphs if len(p) > 30 and not p.startswith(("* ", "- "))]


# ------------------------------------------------------ WordNet, dictionaries


def wordnet(folder):
    """(words, definition, examples) of each synset."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text().splitlines():
            if line.startswith(" ") or "|" not in line:
                continue
            data, _, gloss = line.partition("|")
            fields = data.split()
            count = int(fields[3], 16)
            words = [re.sub(r"\(.*\)$", "", w).replace("_", " ") for w in fields[4 : 4 + 2 * count : 2]]
            examples = re.findall(r'"([^"]+)"', gloss)
            definition = clean(re.split(r';\s*"', gloss)[0].strip(' ;"'))
            yield words, definition, [clean(e) for e in examples]


def dictd(path):
    """(headwords, body) of the entries of a dictd file: entries begin in column 0, bodies are indented."""
    head, body = [], []
    for line in read(path).split("\n"):
        if line[:1].strip() and (body or not head):
            if body:
                yield head, "\n".join(body)
            head, body = [line], []
        elif line[:1].strip():
            head.append(line)
        elif head:
            body.append(line)
    if body:
        yield head, "\n".join(body)


def gcide(path):
    """(headword, first definition)."""
    for block in re.split(r"\n\n(?=\S)", read(path)):
        match = re.match(r"(\w[\w' -]*?) \\.*?\n((?:   .*\n?|\n)+)", block + "\n")
        if not match:
            continue
        word, body = match.groups()
        body = re.split(r"\n\s*\[|\n\n|--[A-Z]|\[1913|Syn:", body)[0]
        body = clean(re.sub(r"^\s*1\.\s*|[{}]|^\s*\([^)]*\)\s*", "", re.sub(r"^\s*1\.\s*", "", body)))
        body = re.sub(r"\[(R|Obs|Archaic)\.?[^\]]*\]|^.*?\]\s*", "", body).strip()
        if 15 < len(body):
            yield word, body


def foldoc(path):
    """(headword, definition without its headword)."""
    for head, body in dictd(path):
        word = head[0].strip()
        body = re.sub(r"^\s*<[^>]*>\s*", "", re.split(r"\n\s*\(\d{4}-|\n\s*\[", body)[0])
        first = clean(re.sub(r"[{}]", "", body.split("\n\n")[0]))
        first = re.sub(r'^\(.{0,60}?\)\s*', "", first)
        masked = clean(re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "it", first, flags=re.I))
        if 60 < len(masked) and not re.match(r"see |\W", masked, re.I):
            yield word, masked


def freedict(path):
    """(foreign word, English word)."""
    lines_of = read(path).split("\n")
    for lines in zip(lines_of, lines_of[1:]):
        if "/" not in lines[0] or not lines[0][:1].isalpha():
            continue
        word = clean(re.sub(r"/[^/]*/|<[^>]*>|\[[^\]]*\]", "", lines[0]))
        english = clean(re.sub(r"<[^>]*>|\[[^\]]*\]|\([^)]*\)|^\s*\d+\.", "", lines[1])).split(";")[0].split(",")[0]
        if 2 < len(word) < 40 and 2 < len(english) < 40 and ":" not in english:
            yield word, english.strip()


# ------------------------------------------------------------------ manuals

ROFF = [
    (r'^\.\\".*$|^\'\\".*$|\\".*$', ""), (r"\\f\[[^\]]*\]|\\f[A-Z0-9]|\\s[+-]?\d|\\[&|^/,%:]|\\d|\\u", ""),
    (r"\\\(em|\\\[em\]", " - "), (r"\\\(en|\\\[en\]", "-"), (r"\\\(aq|\\\[aq\]", "'"), (r"\\\(lq|\\\(rq|\\\[[lr]q\]", '"'),
    (r"\\\(bu|\\\[bu\]", "*"), (r"\\-", "-"), (r"\\e", r"\\"), (r"\\\*\(..|\\\*.|\\\(..|\\\[[^\]]*\]", " "), (r"\\ |\\~|\\0", " "),
]  # fmt: skip


def manual(path):
    """(name, one line, {section: paragraphs}) of a manual page in man or mdoc macros; None if it is another's alias."""
    text = read(path)
    if text.startswith(".so ") or len(text) < 400:
        return None
    for pattern, new in ROFF:
        text = re.sub(pattern, new, text, flags=re.M)
    sections, title, paragraph, skip = {}, None, [], False

    def flush():
        line = clean(" ".join(paragraph))
        paragraph.clear()
        if title and line:
            sections.setdefault(title, []).append(line)

    for line in text.split("\n"):
        macro = re.match(r"^[.']\s*([A-Za-z]+)\s*(.*)$", line)
        if not macro:
            if not skip:
                paragraph.append(line) if line.strip() else flush()
            continue
        name, rest = macro.groups()
        rest = rest.replace('"', "")
        if name in ("SH", "Sh"):
            flush()
            title = rest.strip() or "NAME"
        elif name in ("PP", "P", "LP", "Pp", "TP", "IP", "SS", "Ss", "HP", "sp", "RS", "RE"):
            flush()
        elif name in ("nf", "EX", "Bd", "TS"):
            flush()
            skip = True
        elif name in ("fi", "EE", "Ed", "TE"):
            skip = False
        elif name in ("BR", "IR", "RB", "RI", "BI", "IB"):
            paragraph.append(rest.replace(" ", ""))
        elif name in ("B", "I", "SM", "Nm", "Xr", "Fl", "Ar", "Pa", "Nd", "Em", "Sy", "Dv", "Li", "Cm"):
            paragraph.append(("- " if name == "Nd" else "") + rest)
    flush()
    first = next(iter(sections.values()), [""])[0]
    names, dash, line = first.partition(" - ")
    if not dash:
        return None
    return names.split(",")[0].strip(), line.strip(), sections


# --------------------------------------------------------------------- HTML


class Sections(HTMLParser):
    """Headings and the paragraphs under each."""

    def __init__(self):
        super().__init__()
        self.sections, self.text, self.into, self.skip = [], [], None, 0

    def flush(self, into=None):
        text = clean("".join(self.text)).rstrip("¶").strip()
        self.text = []
        if text and self.into == "title":
            self.sections.append((text, []))
        elif text and self.into == "p" and self.sections:
            self.sections[-1][1].append(text)
        self.into = into

    def handle_starttag(self, tag, attributes):
        if tag in ("script", "style", "pre", "table", "nav"):
            self.skip += 1
        elif tag in ("h1", "h2", "h3", "h4"):
            self.flush("title")
        elif tag in ("p", "dd"):
            self.flush("p")
        elif tag in ("div", "li", "dt", "ul", "ol"):
            self.flush()

    def handle_endtag(self, tag):
        if tag in ("script", "style", "pre", "table", "nav"):
            self.skip = max(self.skip - 1, 0)
        elif tag in ("h1", "h2", "h3", "h4", "p", "dd", "div", "li"):
            self.flush()

    def handle_data(self, data):
        if self.into and not self.skip:
            self.text.append(data)


NUMBER = re.compile(r"^(?:Chapter|Appendix|Part|Kapitel|Chapitre|Capítulo|Capitolo)?\s*[\dA-Z]*(?:\.\d+)*[.:]\s+(?=\w)")


def sections(path):
    """(title, paragraphs) of an HTML page."""
    parser = Sections()
    parser.feed(read(path))
    parser.flush()
    for title, paragraphs in parser.sections:
        yield NUMBER.sub("", title), [p for p in paragraphs if len(p) > 40]


def mallard(path):
    """(title, paragraphs) of a Mallard page, without its sections' titles."""
    space = "{http://projectmallard.org/1.0/}"
    try:
        root = xml.parse(path).getroot()
    except xml.ParseError:
        return None
    title = root.find(f"{space}title")
    paragraphs = [clean("".join(p.itertext())) for p in root.iter(f"{space}p")]
    if title is None:
        return None
    return clean("".join(title.itertext())), [p for p in paragraphs if len(p) > 40]
