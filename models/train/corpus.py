"""Texts and pairs for training, and the held-out evaluation sets, from the packages that sources.py fetched.

    python corpus.py --work DIR [--eval DIR]

writes `DIR`/texts.jsonl (text, language, and `of`: the line of the English text that it says the same as, itself for an
English one, or null), `DIR`/pairs.jsonl (two lines of texts.jsonl that belong together, and their source), and one BEIR
folder a held-out set. A held-out text is in no training text: sets are split by package, and what is equal is dropped.
"""

import argparse
import hashlib
import json
import random
import re
from pathlib import Path

import extract
import sources

QUERY_LIMIT, BODY_LIMIT = 160, 300  # characters
EVERY = 12  # one source package of so many is held out
QUERIES, DOCUMENTS, CHUNKS = 300, 800, 8


def held_out(package):
    return int(hashlib.sha256(package.encode()).hexdigest(), 16) % EVERY == 0


def norm(text):
    return re.sub(r"\W+", " ", text.lower()).strip()


class Corpus:
    def __init__(self):
        self.lines, self.at, self.pairs, self.seen = [], {}, [], set()

    def text(self, text, lang="en", of=None):
        key = (text, lang)
        if key not in self.at:
            self.at[key] = len(self.lines)
            self.lines.append({"text": text, "lang": lang, "of": self.at[key] if lang == "en" else of})
        elif of is not None and self.lines[self.at[key]]["of"] is None:
            self.lines[self.at[key]]["of"] = of
        return self.at[key]

    def pair(self, query, body, source, lang="en"):
        query, body = extract.cut(query, QUERY_LIMIT), extract.cut(body, BODY_LIMIT)
        if len(query) < 3 or len(body) < 3 or norm(query) == norm(body):
            return
        a, b = self.text(query, lang), self.text(body, lang)
        if (a, b) not in self.seen:
            self.seen.add((a, b))
            self.pairs.append((a, b, source))

    def translation(self, foreign, english, lang, source):
        """`foreign` says the same as `english`."""
        foreign, english = extract.cut(foreign, BODY_LIMIT), extract.cut(english, BODY_LIMIT)
        if norm(foreign) == norm(english) or len(foreign) < 3:
            return
        b = self.text(english)
        a = self.text(foreign, lang, of=b)
        if (a, b) not in self.seen:
            self.seen.add((a, b))
            self.pairs.append((a, b, source))


# ---------------------------------------------------------------- packages


def package_index(work):
    """Description-md5 -> (source package, short, paragraphs) in English, and the same translated: lang -> md5 -> …"""
    owner, english, translated = {}, {}, {}
    for text in sources.index_files(work, "binary-"):
        for s in extract.stanzas(text):
            if "Description-md5" in s:
                owner[s["Description-md5"]] = s.get("Source", s["Package"]).split()[0]
    for lang in ["en", *sources.LANGUAGES]:
        for text in sources.index_files(work, f"Translation-{lang}"):
            for s in extract.stanzas(text):
                value = s.get(f"Description-{lang}")
                if value and s["Description-md5"] in owner:
                    short, long = extract.description(value)
                    into = english if lang == "en" else translated.setdefault(lang[:2], {})
                    into[s["Description-md5"]] = (owner[s["Description-md5"]], short, long)
    return english, translated


BORING = re.compile(r"\((development|documentation|debug|common|data|transitional)|transitional|dummy|^lib.*headers", re.I)
FILLER = re.compile(r"^(This package (contains|provides|is)|This is a (dummy|transitional))", re.I)


def body_of(paragraphs):
    kept = [p for p in paragraphs if not FILLER.match(p)]
    return " ".join(kept[:2]) if kept else ""


def packages(corpus, english, translated, sets, rng):
    by_body = {}
    for md5, (owner, short, long) in english.items():
        body = body_of(long)
        if body and not BORING.search(short):
            by_body.setdefault(norm(body), (md5, owner, short, body, long))
    test = []
    for md5, owner, short, body, long in by_body.values():
        if held_out(owner):
            test.append((md5, short, body))
            continue
        corpus.pair(short, body, "packages")
        if len(long) > 1:
            corpus.pair(long[0], long[1], "paragraphs")
    rng.shuffle(test)
    test = test[:DOCUMENTS]
    sets["packages"] = [(short, body) for _, short, body in test]
    for lang in ("de", "fr"):
        pool = [(translated[lang].get(md5, (0, None))[1], body) for md5, _, body in test]
        sets[f"packages-{lang}-en"] = [(q, b) for q, b in pool]
    for lang, found in translated.items():
        for md5, (owner, short, long) in found.items():
            if md5 not in english or held_out(owner) or BORING.search(english[md5][1]):
                continue
            _, english_short, english_long = english[md5]
            corpus.translation(short, english_short, lang, f"packages-{lang}")
            if len(long) == len(english_long) and long:
                corpus.translation(long[0], english_long[0], lang, f"paragraphs-{lang}")


# --------------------------------------------------- dictionaries, manuals


def lexicons(corpus, root):
    for words, definition, examples in extract.wordnet(root / "wordnet-base/usr/share/wordnet"):
        corpus.pair(", ".join(words[:4]), definition, "wordnet")
        for example in examples[:1]:
            corpus.pair(example, f"{words[0]}: {definition}", "examples")
    for word, definition in extract.gcide(root / "dict-gcide/usr/share/dictd/gcide.dict.dz"):
        corpus.pair(word, definition, "gcide")
    for head, body in extract.dictd(root / "dict-vera/usr/share/dictd/vera.dict.dz"):
        corpus.pair(head[0], extract.clean(body), "vera")
    for code, lang in (("deu", "de"), ("fra", "fr"), ("spa", "es"), ("ita", "it"), ("por", "pt")):
        (path,) = root.glob(f"dict-freedict-{code}-eng/usr/share/dictd/*.dict.dz")
        for foreign, english in extract.freedict(path):
            corpus.translation(foreign, english, lang, f"words-{lang}")


def manuals_of(root, packages):
    for package in packages:
        for path in sorted((root / package).glob("usr/share/man/**/man*/*.gz")):
            found = extract.manual(path)
            if found:
                yield path.name, *found


def manuals(corpus, root, sets):
    tested, test, english = set(), [], {}
    for file, name, line, sections in manuals_of(root, ["coreutils", "git-man"]):
        tested.add(file)
        body = " ".join(sections.get("DESCRIPTION", [])[:3])
        if len(body) > 80:
            test.append((line, extract.clean(f"{name}: {body}")))
    sets["manuals"] = test
    for file, name, line, sections in manuals_of(root, ["manpages", "manpages-dev", "perl-doc"]):
        english[file] = line
        body = sections.get("DESCRIPTION", [])
        if body:
            corpus.pair(f"{name}: {line}", body[0], "manuals")
        for title, paragraphs in sections.items():
            if title not in ("NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO", "COLOPHON", "LIBRARY", "AUTHOR") and paragraphs:
                corpus.pair(f"{name} {title.lower()}", paragraphs[0], "manuals")
        for a, b in zip(body, body[1:4]):
            if len(a) > 60 and len(b) > 60:
                corpus.pair(a, b, "paragraphs")
    for lang in ("de", "fr", "es", "it"):
        for file, name, line, _ in manuals_of(root, [f"manpages-{lang}"]):
            if file in english and file not in tested:
                corpus.translation(line, english[file], lang, f"manuals-{lang}")


# ------------------------------------------------------------ documentation


def pages(root, package, only=""):
    for path in sorted((root / package).rglob("*.html*")):
        if only in str(path) and path.is_file() and not path.name.startswith(("genindex", "py-modindex")):
            yield path, list(extract.sections(path))


SITES = {
    "python3.11-doc": "", "debian-reference-en": "", "developers-reference": "", "debmake-doc": "html/", "postgresql-doc-15": "",
    "apache2-doc": "manual/en", "vim-doc": "", "sqlite3-doc": "", "python-django-doc": "", "aptitude-doc-en": "/en/",
    "nodejs-doc": "", "postfix-doc": "", "libreoffice-help-en-us": "",
}  # fmt: skip
DULL = re.compile(r"^(example|note|see also|syntax|parameters?|synopsis|description|return value|help content|index|contents)", re.I)


def documentation(corpus, root):
    for package, only in SITES.items():
        for _, sections in pages(root, package, only):
            page = sections[0][0] if sections else ""
            for title, paragraphs in sections:
                if not paragraphs or DULL.match(title) or title.startswith("Changed"):
                    continue
                name = title if len(title.split()) > 2 or title == page else f"{page}: {title}"
                corpus.pair(name, " ".join(paragraphs[:2]), package)
                for a, b in zip(paragraphs[:6], paragraphs[1:6]):
                    if len(a) > 60 and len(b) > 60:
                        corpus.pair(a, b, "paragraphs")
    here = "usr/share/libreoffice/help"
    for lang in ("de", "fr", "es", "it"):
        theirs = root / f"libreoffice-help-{lang}" / here / lang
        for path in sorted((root / "libreoffice-help-en-us" / here / "en-US/text").rglob("*.html")):
            other = theirs / path.relative_to(root / "libreoffice-help-en-us" / here / "en-US")
            if not other.exists():
                continue
            a, b = list(extract.sections(path)), list(extract.sections(other))
            if len(a) != len(b):
                continue
            for (title, first), (foreign_title, foreign) in zip(a, b):
                corpus.translation(foreign_title, title, lang, f"help-{lang}")
                if first and len(first) == len(foreign):
                    corpus.translation(foreign[0], first[0], lang, f"help-{lang}")


def held_out_sets(root, sets):
    sets["foldoc"] = list(extract.foldoc(root / "dict-foldoc/usr/share/dictd/foldoc.dict.dz"))
    handbook = "html/en-US"
    sets["handbook"] = [
        (t, " ".join(p[:2])) for _, ss in pages(root, "debian-handbook", handbook) for t, p in ss if p and not DULL.match(t)
    ]
    sets["faq"] = [
        (t, " ".join(p[:2])) for path, ss in pages(root, "debian-faq") if ".en." in path.name or "." not in path.stem
        for t, p in ss if p
    ]  # fmt: skip
    help_ = root / "gnome-user-docs/usr/share/help"
    found = {p.relative_to(help_ / "C"): extract.mallard(p) for p in sorted((help_ / "C").rglob("*.page"))}
    found = {k: v for k, v in found.items() if v and v[1]}
    english = {k: (title, " ".join(paragraphs[:2])) for k, (title, paragraphs) in found.items()}
    sets["help"] = list(english.values())
    german = {k: extract.mallard(help_ / "de" / k) for k in english if (help_ / "de" / k).exists()}
    sets["help-chunks"] = [(v[0], v[1][:CHUNKS]) for v in found.values()]
    sets["help-de-en"] = [(german[k][0] if german.get(k) else None, body) for k, (_, body) in english.items()]


def write_set(folder, pairs, rng):
    """BEIR files: every body is a document; queries are a sample. Of equal queries or bodies the first stays.

    A body that is a list of paragraphs is a document in chunks. Gives what is not to be trained on.
    """
    queries, bodies, kept = set(), set(), []
    for query, body in pairs:
        parts = [extract.cut(p, BODY_LIMIT) for p in (body if isinstance(body, list) else [body])]
        key = norm(" ".join(parts))
        if len(parts[0]) < 40 or key in bodies:
            continue
        usable = query and len(query) > 2 and norm(query) not in queries and norm(query) != key
        bodies.add(key)
        queries.add(norm(query or ""))
        kept.append((extract.cut(query, QUERY_LIMIT) if usable else None, parts, isinstance(body, list)))
    rng.shuffle(kept)
    kept = kept[:DOCUMENTS]
    asked = [i for i, (q, *_) in enumerate(kept) if q][:QUERIES]
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    write = lambda name, rows: (folder / name).write_text("".join(rows), encoding="utf-8")  # noqa: E731
    line = lambda **fields: json.dumps(fields, ensure_ascii=False) + "\n"  # noqa: E731
    text = lambda parts, chunked: {"chunks": parts} if chunked else {"text": parts[0]}  # noqa: E731
    write("corpus.jsonl", [line(_id=f"d{i}", title="", **text(*body)) for i, (_, *body) in enumerate(kept)])
    write("queries.jsonl", [line(_id=f"q{i}", text=kept[i][0]) for i in asked])
    write("qrels/test.tsv", ["query-id\tcorpus-id\tscore\n", *(f"q{i}\td{i}\t1\n" for i in asked)])
    return [p for _, parts, _ in kept for p in parts], [kept[i][0] for i in asked]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--eval", type=Path, default=Path(__file__).parent.parent / "mini/eval")
    options = parser.parse_args()
    root, rng = options.work / "apt/root", random.Random(1)
    sources.fetch(options.work)
    corpus, sets = Corpus(), {}
    english, translated = package_index(options.work)
    packages(corpus, english, translated, sets, rng)
    lexicons(corpus, root)
    manuals(corpus, root, sets)
    documentation(corpus, root)
    held_out_sets(root, sets)
    tested = set()
    for name, pairs in sorted(sets.items()):
        bodies, queries = write_set(options.eval / name, pairs, random.Random(2))
        tested |= {norm(t) for t in (*bodies, *queries) if len(t) > 20}
        print(f"{name}: {len(queries)} queries, {len(bodies)} documents")
    dropped = {i for i, line in enumerate(corpus.lines) if norm(line["text"]) in tested}
    pairs = [p for p in corpus.pairs if p[0] not in dropped and p[1] not in dropped]
    for line in corpus.lines:
        if line["of"] in dropped:
            line["of"] = None
    for i in dropped:
        corpus.lines[i]["text"] = ""
    for name, rows in (("texts", corpus.lines), ("pairs", pairs)):
        with open(options.work / f"{name}.jsonl", "w", encoding="utf-8") as f:
            f.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    count = {}
    for *_, source in pairs:
        count[source] = count.get(source, 0) + 1
    print(f"{len(corpus.lines)} texts, {len(pairs)} pairs, {len(dropped)} texts dropped")
    print(", ".join(f"{k} {v}" for k, v in sorted(count.items(), key=lambda x: -x[1])))


if __name__ == "__main__":
    main()
