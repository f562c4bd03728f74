"""Time one native engine: native.py JOB, where JOB is JSON. Prints RESULT and what came out as JSON.

engine   onnxruntime or torch
threads  how many it may use
file     the model: an ONNX file, or a Hugging Face folder
cases    cases.json; names: which of them
ms, most how long a case may take, and how many runs it may have

The loop is that of page/timing.js. A batch is run padded and one text after another, and the quicker way counts.
"""

import base64
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

LONG = 4.0


def padded(ids):
    mask = (np.arange(max(map(len, ids))) < np.array([len(row) for row in ids])[:, None]).astype(np.int64)
    tokens = np.zeros_like(mask)
    tokens[mask > 0] = np.concatenate(ids)
    return tokens, mask


def onnxruntime_engine(file, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def embed(ids):
        tokens, mask = padded(ids)
        return session.run(["pooler_output"], {"input_ids": tokens, "attention_mask": mask})[0]

    return embed, ort.__version__


def torch_engine(folder, threads):
    import torch
    from safetensors.torch import load_file
    from transformers import Qwen3Config, Qwen3Model

    torch.set_num_threads(threads)
    config = json.loads((Path(folder) / "config.json").read_text())
    fields = ("head_dim", "hidden_size", "intermediate_size", "max_position_embeddings", "num_attention_heads",
              "num_hidden_layers", "num_key_value_heads", "rms_norm_eps", "rope_parameters", "vocab_size")  # fmt: skip
    kept = {k: config[k] for k in fields}
    model = Qwen3Model(Qwen3Config(**kept, attention_bias=False, attn_implementation="sdpa")).float().eval()
    model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    for layer in model.layers:
        layer.self_attn.is_causal = False

    @torch.inference_mode()
    def embed(ids):
        tokens, mask = padded(ids)
        real = torch.from_numpy(mask)
        added = None
        if not mask.all():
            added = torch.zeros(real.shape).masked_fill(real == 0, torch.finfo(torch.float32).min)[:, None, None, :]
            added = added.expand(-1, 1, real.shape[1], -1)
        inputs = dict(input_ids=torch.from_numpy(tokens), attention_mask={"full_attention": added}, use_cache=False)
        states = model(**inputs).last_hidden_state
        return ((states * real[..., None]).sum(1) / real.sum(1, keepdim=True)).numpy()

    return embed, torch.__version__


def timed(call):
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float((a @ b) / np.sqrt((a @ a) * (b @ b)))


def measure(embed, items, seconds, most):
    ids = [item["ids"] for item in items]
    means = [np.frombuffer(base64.b64decode(item["mean"]), "<f4") for item in items]
    ways = {"padded": lambda: embed(ids)}
    if len(ids) > 1:
        ways["one by one"] = lambda: np.concatenate([embed([row]) for row in ids])
    warm = {name: timed(way) for name, way in ways.items()}
    best = min(warm, key=lambda name: warm[name][0])
    first, vectors = warm[best]
    times = [first] if first > LONG else []
    while first <= LONG and len(times) < most and (not times or sum(times) < seconds):
        times.append(timed(ways[best])[0])
    cosines = [cosine(v, m) for v, m in zip(vectors, means)]
    return {"times": [1000 * t for t in times], "cosine": min(cosines), "batch": best if len(ids) > 1 else None}


def main():
    job = json.loads(sys.argv[1])
    make = {"onnxruntime": onnxruntime_engine, "torch": torch_engine}[job["engine"]]
    load, (embed, version) = timed(lambda: make(job["file"], job["threads"]))
    cases = json.loads(Path(job["cases"]).read_text())["cases"]
    ids = [item["ids"] for item in cases[job["names"][0]]]
    first, _ = timed(lambda: embed(ids))
    results = {name: measure(embed, cases[name], job["ms"] / 1000, job["most"]) for name in job["names"]}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print("RESULT", json.dumps({"load_ms": 1000 * load, "first_ms": 1000 * first, "cases": results,
                                "peak_bytes": peak, "version": version}))  # fmt: skip


if __name__ == "__main__":
    main()
