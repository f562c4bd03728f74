"""Train the small model: distil the teacher, tell partners from others, at every size and in every form of a vector.

    python train.py --work DIR --steps N

Takes up where its last checkpoint is. The learning rate is constant and falls to zero in the last fifth of the steps;
where it begins to fall a checkpoint is kept, from which a later run with more steps goes on. What is exported is the
running average of the weights.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import evaluate
import losses
from batches import Pool, padded
from encoder import Encoder, mean
from late import SEPARATOR, LateHead, late_rows
from static import to_encoder

CHUNK = 2048  # tokens that go through the layers at once
WIDTHS, LONG = (16, 32, 64), 512
PAIRS, LATE_PAIRS = 128, 32
LATE_EVERY, LONG_EVERY = 3, 6  # steps
PARTNER = 0.25  # share of a partner in what a chunk is drawn to
RATE, TABLE_RATE, WARMUP, FALL = 1e-3, 2e-3, 50, 0.2
AVERAGE = 0.998
QUICK_SETS = ("faq", "foldoc", "help", "help-de-en")


class Student(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.encoder, self.head = Encoder(vocabulary), LateHead()

    def hidden(self, rows, width, take):
        """`take(hidden, keep)` of rows of at most `width` tokens, in chunks of one shape so that it compiles once."""
        device, n = self.encoder.embed_tokens.weight.device, CHUNK // width
        ids, keep = (x.to(device) for x in padded(rows + [[]] * (-len(rows) % n), width))
        x = F.embedding(ids, self.encoder.embed_tokens.weight)
        out = []
        for x, keep in zip(x.split(n), keep.split(n)):
            with torch.autocast(device.type, torch.bfloat16):
                h = self.encoder.body(x, keep, torch.bfloat16)
            out.append(take(h.float(), keep))
        return torch.cat(out)[: len(rows)]

    def pooled(self, rows):
        """[n, 256], the mean over each row's tokens before the quantizer."""
        place = [next((w for w in WIDTHS if len(r) <= w), WIDTHS[-1]) for r in rows]
        parts, order = [], []
        for width in WIDTHS:
            mine = [i for i, w in enumerate(place) if w == width]
            if mine:
                order += mine
                parts.append(self.hidden([rows[i] for i in mine], width, mean))
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return torch.cat(parts)[back]

    def long(self, rows, spans):
        """The mean of each row's spans, row by row, and then that of each whole row. [spans + rows, 256]"""
        hidden = self.hidden(rows, LONG, lambda h, _: h)
        means = [hidden[i, a:b].mean(0) for i, places in enumerate(spans) for a, b in places]
        return torch.stack([*means, *(hidden[i, : len(row)].mean(0) for i, row in enumerate(rows))])


def dense_loss(student, pool, batch, projection, rng):
    texts = pool.pairs[batch, :2].T.ravel()
    x = student.pooled([pool.tokens(i) for i in texts])
    whole = torch.from_numpy(pool.targets(texts)).to(x.device)
    codes = losses.int8(x)
    distance = losses.distillation(codes, whole @ projection)
    n, same = len(batch), pool.same(batch).to(x.device)
    size = int(rng.choice(losses.SIZES))
    pairs = losses.contrastive(losses.cosines(codes[:n, :size], codes[n:, :size], 0.05), whole[n:], same)
    bits = losses.binary(x)[:, :size]
    signs = losses.contrastive(losses.cosines(bits[:n], bits[n:], 0.05), whole[n:], same)
    # Vectors of a middling length, so that tanh uses its range: an rms of 0.5 before it.
    length = (x.square().mean(-1).sqrt() - 0.5).square().mean()
    loss = 4 * distance + 0.5 * pairs + 0.25 * signs + 0.1 * length
    return loss, {"distance": distance, "pairs": pairs, "signs": signs}


def late_loss(student, pool, batch, projection, rng):
    batch = batch[:LATE_PAIRS] if rng.random() < 0.5 else batch[:: len(batch) // LATE_PAIRS]  # alike, or not
    a, b = pool.pairs[batch, 0], pool.pairs[batch, 1]
    whole = torch.from_numpy(pool.targets(b))
    queries, _ = late_rows([list(pool.tokens(i)) for i in a], True)
    documents, kept = late_rows([list(pool.tokens(i)) for i in b], False, WIDTHS[-1])
    q = student.hidden(queries, 32, lambda h, _: student.head(h))
    d = student.hidden(documents, WIDTHS[-1], lambda h, _: student.head(h))
    keep = torch.zeros(len(kept), WIDTHS[-1])
    for i, places in enumerate(kept):
        keep[i, places] = 1
    scores = losses.maxsim(q, d, keep.to(d.device)) / 0.03
    loss = losses.contrastive(scores, whole.to(d.device), pool.same(batch).to(d.device))
    return 0.5 * loss, {"late": loss}


def long_loss(student, pool, batch, projection, rng):
    """Late chunking: texts end to end as chunks of long documents, partners side by side.

    A chunk's mean is drawn to the teacher's vector of it and, a little, of its partner; a document's to that of them all.
    """
    rows, spans, targets, wholes = [], [], [], []
    row, at, own = [], [], []

    def end():
        if row:
            rows.append(row)
            spans.append(at)
            targets.extend(own)
            wholes.append(sum(own))

    for pair in pool.pairs[rng.permutation(batch), :2]:
        ids, vectors = [list(pool.tokens(i)) for i in pair], pool.targets(pair)
        if len(row) + sum(map(len, ids)) + 2 > LONG:
            end()
            row, at, own = [], [], []
            if len(rows) * LONG == CHUNK:
                break
        for i in (0, 1):
            row += [SEPARATOR] * bool(row)
            at.append((len(row), len(row) + len(ids[i])))
            row += ids[i]
            own.append(vectors[i] + PARTNER * vectors[1 - i] if vectors[i].any() else vectors[i])
    else:
        end()

    x = student.long(rows, spans)
    whole = torch.from_numpy(np.stack(targets + wholes)).to(x.device)
    distance = losses.distillation(losses.int8(x), F.normalize(whole, dim=-1) @ projection)
    return 2 * distance, {"long": distance}


def rate(step, steps):
    """Share of the full learning rate."""
    fall = int(steps * (1 - FALL))
    return min(1, (step + 1) / WARMUP) * (1 if step < fall else max(0, (steps - step) / (steps - fall)))


def save(path, value):
    part = path.with_suffix(".part")
    torch.save(value, part)
    part.rename(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="in a batch; more where there is a GPU")
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    work, pool = options.work, Pool(options.work)
    tokenizer = evaluate.load_model(work, None).tokenizer
    student = Student(tokenizer.get_vocab_size())
    static = np.load(work / "static.npz")
    to_encoder(student.encoder, static["table"])
    student.to(options.device)
    projection = torch.from_numpy(static["projection"]).to(options.device)
    table = student.encoder.embed_tokens.weight
    rest = [p for p in student.parameters() if p is not table]
    groups = [{"params": [table], "full": TABLE_RATE, "weight_decay": 0.0}, {"params": rest, "full": RATE, "weight_decay": 0.01}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98), fused=True)
    average = {k: v.detach().clone() for k, v in student.state_dict().items()}
    step, spent, fall = 0, 0.0, int(options.steps * (1 - FALL))
    for path in (work / "checkpoint.pt", work / "constant.pt"):
        if path.exists():
            state = torch.load(path, map_location=options.device, weights_only=True)
            if path.name == "checkpoint.pt" and state["steps"] != options.steps and state["step"] > int(state["steps"] * (1 - FALL)):
                continue  # its learning rate had begun to fall to another end
            student.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            average, step, spent = state["average"], state["step"], state["spent"]
            break
    if not options.no_compile:
        for layer in student.encoder.layers:  # all of one shape, so that the first one's code serves the others
            layer.compile(dynamic=False)
    clusters = pool.clusters(np.random.default_rng(options.seed))
    per_epoch = len(pool.pairs) // options.pairs
    print(f"{len(pool.pairs)} pairs, {per_epoch} steps an epoch, from step {step} to {options.steps}", flush=True)
    log, means, saved, began = open(work / "train.jsonl", "a"), {}, time.time(), time.time()
    order, at = None, None
    while step < options.steps:
        if at != step // per_epoch:
            at = step // per_epoch
            order = pool.epoch([options.seed, at], options.pairs, clusters)
        rng = np.random.default_rng([options.seed, step])
        batch = order[step % per_epoch % len(order)]
        for group in optimizer.param_groups:
            group["lr"] = group["full"] * rate(step, options.steps)
        optimizer.zero_grad()
        loss, parts = dense_loss(student, pool, batch, projection, rng)
        loss.backward()
        for due, more in ((step % LATE_EVERY == 0, late_loss), (step % LONG_EVERY == 1, long_loss)):
            if due:
                loss, values = more(student, pool, batch, projection, rng)
                loss.backward()
                parts |= values
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            keep = min(AVERAGE, step / (step + 10))
            for name, value in student.state_dict().items():
                average[name].lerp_(value, 1 - keep)
        for name, value in parts.items():
            means.setdefault(name, []).append(value.item())
        ended = step == options.steps
        if step % 25 == 0 or ended:
            row = {"step": step, "seconds": round(spent + time.time() - began)} | {k: round(sum(v) / len(v), 4) for k, v in means.items()}
            means = {}
            if step % 250 == 0 or step == 100 or ended:
                model = evaluate.Model(Encoder(tokenizer.get_vocab_size()), None, tokenizer)
                model.encoder.load_state_dict({k.removeprefix("encoder."): v.cpu() for k, v in average.items() if k.startswith("encoder.")})
                for name in QUICK_SETS:
                    row[name] = {k: round(v, 4) for k, v in model.scores(evaluate.Set.load(evaluate.EVAL / name), full=False).items()}
            log.write(json.dumps(row) + "\n")
            log.flush()
            print(row, flush=True)
        if time.time() - saved > 180 or ended or step == fall:
            saved = time.time()
            state = {"model": student.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": step,
                     "steps": options.steps, "spent": spent + saved - began}  # fmt: skip
            save(work / "checkpoint.pt", state)
            if step == fall:
                save(work / "constant.pt", state)


if __name__ == "__main__":
    main()
