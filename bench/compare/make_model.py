"""Write one random Qwen3 encoder of the 0.6B width for every engine, the texts, and what they have to come out as.

    make_model.py OUT [--layers 2] [--gpu]

OUT/f32/            a Hugging Face folder: config, tokenizer, float32 safetensors
OUT/f32/onnx/       the same weights as ONNX files (onnx_graph.py says which)
OUT/f32/gguf/       and as GGUF files
OUT/cases.json      texts of 16, 128 and 512 tokens, eight of mixed length, their ids, and the mean of the final hidden
                    states of each by Hugging Face transformers in float32

The names of the ONNX files are those that transformers.js asks for.
"""

import argparse
import base64
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer

FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures"
sys.path.insert(0, str(FIXTURES))

import common  # noqa: E402
from gguf_model import KINDS, write_gguf  # noqa: E402
from make_large import TOKENIZER, random_tensor, write_weights  # noqa: E402
from onnx_graph import VARIANTS, write_onnx  # noqa: E402
from reference import HfEncoder, pool  # noqa: E402
from texts import exact_length_text  # noqa: E402

SHAPE = dict(hidden=1024, heads=16, kv_heads=8, head_dim=128, ffn=3072, dtype="F32")
CASES = {"16": [16], "128": [128], "512": [512], "mixed": [8, 16, 24, 32, 48, 64, 96, 128]}


def texts_of(tokenizer, lengths, seed):
    """Texts of exactly these numbers of tokens, no two alike."""
    return [exact_length_text(lambda t: len(tokenizer.encode(t).ids), n, seed + i) for i, n in enumerate(lengths)]


def write_cases(path, folder, config):
    """What transformers' Qwen3Model gives without a causal mask: the oracle that no engine here had a hand in."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoder = HfEncoder(common.read_weights(folder), config)
    cases = {}
    for seed, (name, lengths) in enumerate(CASES.items()):
        items = []
        for text in texts_of(tokenizer, lengths, 1000 * seed):
            ids = tokenizer.encode(text).ids
            mean = base64.b64encode(pool(encoder.forward(ids)[-1], False).astype("<f4").tobytes()).decode()
            items.append({"text": text, "ids": ids, "mean": mean})
        cases[name] = items
    keys = ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size",
            "num_hidden_layers")  # fmt: skip
    common.write_json(path, {"shape": {k: config[k] for k in keys}, "cases": cases}, indent=None)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=Path)
    p.add_argument("--layers", type=int, default=2)
    p.add_argument("--gpu", action="store_true", help="also the ONNX files for software GPUs")
    p.add_argument("--only-missing", action="store_true", help="only add ONNX and GGUF files that are missing")
    a = p.parse_args()

    spec = json.loads(TOKENIZER.read_text(encoding="utf-8"))
    config = common.make_config(vocab=1024, eos=spec["added_tokens"][0]["id"], layers=a.layers, **SHAPE)
    folder = a.out / "f32"
    if not a.only_missing:
        common.write_side_files(folder, config, spec)
        write_weights(folder, config, "F32", 1)
        write_cases(a.out / "cases.json", folder, config)
    for name, variant in VARIANTS.items():
        path = folder / "onnx" / f"{name}.onnx"
        if not path.exists() and (variant.get("fused", True) or a.gpu):
            write_onnx(path, config, random_tensor, **variant)
    for kind in KINDS:
        path = folder / "gguf" / f"{kind}.gguf"
        if not path.exists():
            write_gguf(path, config, spec, random_tensor, kind)
    print(f"{a.out}: {a.layers} layers of the 0.6B width")


if __name__ == "__main__":
    main()
