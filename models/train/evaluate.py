"""nDCG@10 on the held-out sets: the model in all its forms beside the teacher, where it began, and random weights.

    python evaluate.py --work DIR [--checkpoint FILE] [--output scores.json]

The command line's own `eval` measures an exported model; this is for the log of training.
"""

import argparse
import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

import losses
from batches import padded
from encoder import Encoder, mean
from late import LateHead, late_rows

EVAL = Path(__file__).resolve().parent.parent / "mini/eval"
LONGEST = 128


@dataclass
class Set:
    """A BEIR folder. `texts` are the documents, or their chunks end to end; `starts` says where each document begins."""

    texts: list
    starts: list
    queries: list
    relevant: list  # for each query the index of its one document

    @classmethod
    def load(cls, folder):
        rows = lambda name: [json.loads(x) for x in (folder / name).read_text(encoding="utf-8").splitlines()]  # noqa: E731
        documents, queries = rows("corpus.jsonl"), rows("queries.jsonl")
        at = {d["_id"]: i for i, d in enumerate(documents)}
        relevant = dict(x.split("\t")[:2] for x in (folder / "qrels/test.tsv").read_text().splitlines()[1:])
        chunks = [d.get("chunks") or [d["text"]] for d in documents]
        starts = [0, *itertools.accumulate(map(len, chunks[:-1]))]
        return cls(list(itertools.chain(*chunks)), starts, [q["text"] for q in queries], [at[relevant[q["_id"]]] for q in queries])

    def ndcg(self, scores):
        """Mean nDCG@10 of scores [queries, texts]; a document has its best chunk's, of equal ones the earlier is first."""
        total, scores = 0.0, np.maximum.reduceat(scores, self.starts, axis=1)
        for row, best in zip(scores, self.relevant):
            rank = int((row > row[best]).sum() + (row[:best] == row[best]).sum())
            total += 1 / math.log2(rank + 2) if rank < 10 else 0.0
        return total / len(self.relevant)


def cosines(q, d):
    q, d = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9) for x in (q, d))
    return q @ d.T


class Model:
    """An encoder, a late head and a tokenizer, asked for vectors of texts."""

    def __init__(self, encoder, head, tokenizer):
        self.encoder, self.head, self.tokenizer = encoder.eval(), head, tokenizer

    def ids(self, texts):
        return [e.ids for e in self.tokenizer.encode_batch(texts)]

    def hidden(self, rows, take, batch=2048):
        """`take(hidden, keep)` of each row, in order; rows of like length go together."""
        out, order, i = [None] * len(rows), sorted(range(len(rows)), key=lambda i: len(rows[i])), 0
        while i < len(order):
            n = max(1, batch // max(len(rows[order[min(i + 31, len(order) - 1)]]), 1))
            part = order[i : i + n]
            ids, keep = padded([rows[j] for j in part], max(len(rows[part[-1]]), 1))
            with torch.inference_mode():
                result = take(self.encoder(ids, keep), keep)
            for j, row in zip(part, result):
                out[j] = row
            i += len(part)
        return out

    def dense(self, texts):
        """Pooled vectors before the quantizer, float32 [n, 256]."""
        rows = [r[:LONGEST] for r in self.ids(texts)]
        return np.stack(self.hidden(rows, lambda h, k: mean(h, k).numpy()))

    def late(self, texts, query):
        rows, kept = late_rows(self.ids(texts), query, LONGEST)
        vectors = self.hidden(rows, lambda h, k: list(self.head(h)))
        return [v[torch.tensor(k, dtype=torch.long)] for v, k in zip(vectors, kept)]

    def scores(self, of, full=True):
        """Name of a form -> nDCG@10 on a set."""
        d, q = self.dense(of.texts), self.dense(of.queries)
        codes = lambda x: np.round(127 * np.tanh(x))  # noqa: E731
        out = {}
        for size in losses.SIZES[::-1] if full else (256,):
            out[f"float {size}"] = of.ndcg(cosines(q[:, :size], d[:, :size]))
            out[f"int8 {size}"] = of.ndcg(cosines(codes(q[:, :size]), codes(d[:, :size])))
            sign = lambda x: np.where(x[:, :size] >= 0, 1.0, -1.0)  # noqa: B023, E731
            out[f"binary {size}"] = of.ndcg(sign(q) @ sign(d).T)
        if full and self.head is not None:
            dv, qv = self.late(of.texts, False), self.late(of.queries, True)
            width = max(map(len, dv))
            stack = torch.zeros(len(dv), width, dv[0].shape[1])
            keep = torch.zeros(len(dv), width)
            for i, v in enumerate(dv):
                stack[i, : len(v)], keep[i, : len(v)] = v, 1
            with torch.inference_mode():
                rows = [losses.maxsim(v[None], stack, keep)[0].numpy() for v in qv]
            out["late"] = of.ndcg(np.stack(rows))
        return out


def load_model(work, checkpoint):
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    encoder, head = Encoder(tokenizer.get_vocab_size()), LateHead()
    if checkpoint is not None:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["average"]
        encoder.load_state_dict({k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")})
        head.load_state_dict({k.removeprefix("head."): v for k, v in state.items() if k.startswith("head.")})
    return Model(encoder, head, tokenizer)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    from prepare import Teacher

    # Systems that stay as they are from run to run are measured once.
    baselines = options.work / "baselines.json"
    known = json.loads(baselines.read_text()) if baselines.exists() else {}
    model = load_model(options.work, options.checkpoint or options.work / "checkpoint.pt")
    report = {}
    for folder in sorted(p for p in EVAL.iterdir() if p.is_dir()):
        of = Set.load(folder)
        if folder.name not in known:
            torch.manual_seed(0)
            teacher, random = Teacher(), load_model(options.work, None)
            known[folder.name] = {
                "teacher": of.ndcg(cosines(teacher(of.queries, longest=LONGEST), teacher(of.texts, longest=LONGEST))),
                "random": random.scores(of, full=False)["float 256"],
            }
            static = np.load(options.work / "static.npz")
            for name in ("first", "table"):
                bag = lambda texts: np.stack([static[name][r].mean(0) if r else np.zeros(255) for r in model.ids(texts)])  # noqa: B023, E731
                known[folder.name][f"static {name}"] = of.ndcg(cosines(bag(of.queries), bag(of.texts)))
            baselines.write_text(json.dumps(known, indent=1))
        report[folder.name] = known[folder.name] | model.scores(of)
        print(folder.name, ", ".join(f"{k} {v:.3f}" for k, v in report[folder.name].items()), flush=True)
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
