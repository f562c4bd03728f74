"""Write models/demo/: a small checkpoint of the pplx-embed architecture whose vectors follow shared words.

Nothing is trained but the tokenizer (on the docstrings of Python's standard library and the fixture corpus, so its
merges depend a little on the Python version; the committed one was made with 3.11 or later). Token vectors are random
but built from letter trigrams, ignoring case, so related spellings are close; common tokens are made to weigh less;
the layers are random and small. Needs numpy, tokenizers and safetensors.
"""

import argparse
import ast
import itertools
import sys
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "fixtures"))

import common  # noqa: E402
from reference import cosine, numpy_forward, pool  # noqa: E402
from texts import CORPUS  # noqa: E402

SEED = 2024
TOKENIZER_VOCAB = 3000
BALLAST = 16  # leading dimensions that only take up norm; the norm weights hide them
LAYER_GAIN = 0.12


def docstrings():
    """Docstrings of the standard library's top-level modules, read without importing anything."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8", errors="ignore"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                yield ast.get_docstring(node) or ""


def unit(x):
    return x / np.linalg.norm(x)


def hashed_vector(key, size):
    return common.tensor_rng(SEED, key).standard_normal(size)


def token_vector(text, size):
    """The same for "Search", " search" and "SEARCH", and near that of " searching"."""
    word = text.strip().lower() or text
    padded = f"<{word}>"
    grams = [padded[i : i + 3] for i in range(max(1, len(padded) - 2))]
    return unit(hashed_vector(word, size)) + unit(sum(hashed_vector(g, size) for g in grams))


def embedding_rows(tokenizer, lines, config):
    """[V, H]: RMS 1 in every row; the rarer a token, the more of that is in the visible dimensions."""
    counts = Counter(itertools.chain.from_iterable(e.ids for e in tokenizer.encode_batch(lines)))
    total, hidden = sum(counts.values()), config["hidden_size"]
    rows = np.zeros((config["vocab_size"], hidden))
    for i in range(tokenizer.get_vocab_size()):
        rarity = np.log(total / (1 + counts[i])) / np.log(total)  # 0 for one that is everywhere, 1 for a rare one
        share = np.clip((rarity - 0.3) / 0.5, 0.05, 1.0)
        visible = share * unit(token_vector(tokenizer.decode([i], skip_special_tokens=False), hidden - BALLAST))
        ballast = np.sqrt(1 - share**2) * np.full(BALLAST, BALLAST**-0.5)
        rows[i] = np.sqrt(hidden) * np.concatenate([ballast, visible])
    return rows


def make_weights(config, embeddings):
    weights = {}
    for name, shape in common.tensor_shapes(config).items():
        x = common.tensor_rng(SEED, name).standard_normal(shape)
        if name == "embed_tokens.weight":
            x = embeddings
        elif shape == (config["hidden_size"],):
            x = np.where(np.arange(shape[0]) < BALLAST, 0.02, 2.0 if name == "norm.weight" else np.exp(0.1 * x))
        elif len(shape) == 1:
            x = np.exp(0.1 * x)
        else:
            writes_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            x = (LAYER_GAIN if writes_residual else 1.0) / np.sqrt(shape[1]) * x
        weights[name] = x.astype(np.float32)
    return weights


def check(folder, config, tokenizer):
    """Each query must be closest to the document that shares its words."""
    weights = common.read_weights(folder)
    pairs = {
        "How do I reset my password?": "To reset a forgotten password, open the settings page.",
        "sort a list of numbers": "Return a new sorted list; the numbers are compared by value.",
        "bread and cheese recipes": "The market sells bread, cheese, apples and honey.",
        "river under the old bridge": "The rivers run past the mill and below stone bridges to the sea.",
        "Wann öffnet die Bibliothek?": "Die Bibliothek öffnet um neun Uhr.",
    }
    embed = lambda text: pool(numpy_forward(weights, config, tokenizer.encode(text).ids)[-1], False)  # noqa: E731
    queries, documents = (np.stack([embed(t) for t in ts]) for ts in (pairs.keys(), pairs.values()))
    scores = cosine(queries[:, None], documents[None])
    print(np.round(scores, 2), f"pooled std {documents.std():.2f}", sep="\n")
    assert (scores.argmax(1) == np.arange(len(pairs))).all()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", type=Path, default=ROOT / "models" / "demo")
    out = p.parse_args().out
    lines = [*CORPUS.read_text(encoding="utf-8").splitlines() * 4, *docstrings()]
    spec = common.train_tokenizer(lines, TOKENIZER_VOCAB)
    config = common.make_config(layers=2, hidden=128, heads=4, kv_heads=2, head_dim=64, ffn=256, vocab=3008,
                                dtype="BF16", eos=spec["added_tokens"][0]["id"])  # fmt: skip
    common.write_side_files(out, config, spec)
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    common.write_sharded(out, make_weights(config, embedding_rows(tokenizer, lines, config)), "BF16", 1)
    check(out, config, tokenizer)
    print(f"{out}: {sum(f.stat().st_size for f in out.rglob('*') if f.is_file())} bytes")


if __name__ == "__main__":
    main()
