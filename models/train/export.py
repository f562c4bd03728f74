"""Write a trained checkpoint as model repositories: models/mini, and context/ and late/ in it, which share its files.

    python export.py --work DIR --output DIR [--checkpoint FILE]

Weights are float32; `pplx-embed quantize` makes them small. `context` and `late` are the same network: what differs is
config.json (late chunking) and the modules with the projection of 128 dimensions (late interaction).
"""

import argparse
import json
import string
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/fixtures"))
import common  # noqa: E402
from encoder import SHAPE  # noqa: E402
from evaluate import load_model  # noqa: E402
from late import DOCUMENT_LENGTH, QUERY_LENGTH  # noqa: E402

SHARED = ("model.safetensors", "tokenizer.json")


def config_of(vocabulary, eos):
    c = SHAPE
    return common.make_config(
        layers=c["num_hidden_layers"], hidden=c["hidden_size"], heads=c["num_attention_heads"],
        kv_heads=c["num_key_value_heads"], head_dim=c["head_dim"], ffn=c["intermediate_size"], vocab=vocabulary,
        dtype="F32", eos=eos, theta=c["rope_theta"], max_positions=c["max_position_embeddings"],
    )  # fmt: skip


def edit(path, **fields):
    common.write_json(path, json.loads(path.read_text()) | fields)


def share(folder, names):
    for name in names:
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..") / name)


def late_files(folder, head, filling):
    """The modules and settings that sentence-transformers' MultiVectorEncoder saves."""
    base = "sentence_transformers.base.modules"
    modules = [
        ("", f"{base}.transformer.Transformer"), ("1_Dense", f"{base}.dense.Dense"),
        ("2_MultiVectorMask", "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask"),
        ("3_Normalize", f"{base}.normalize.Normalize"),
    ]  # fmt: skip
    entries = [{"idx": i, "name": str(i), "path": p, "type": t} for i, (p, t) in enumerate(modules)]
    common.write_json(folder / "modules.json", entries)
    prompts = {"query": "[Q] ", "document": "[D] "}
    common.write_json(folder / "config_sentence_transformers.json", {
        "model_type": "MultiVectorEncoder", "prompts": prompts, "default_prompt_name": None, "similarity_fn_name": None,
    })  # fmt: skip
    output = {"method": "forward", "method_output_name": "last_hidden_state"}
    expansion = {"strategy": "fixed", "attend": True, "token": None, "length": QUERY_LENGTH}
    common.write_json(folder / "sentence_bert_config.json", {
        "transformer_task": "feature-extraction", "modality_config": {"text": output},
        "module_output_name": "token_embeddings", "document_length": DOCUMENT_LENGTH, "query_expansion": expansion,
    })  # fmt: skip
    names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    common.write_json(folder / "1_Dense/config.json", {
        "in_features": head.shape[1], "out_features": head.shape[0], "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity", **names,
    })  # fmt: skip
    common.write_tensors(folder / "1_Dense/model.safetensors", {"linear.weight": head})
    common.write_json(folder / "2_MultiVectorMask/config.json", {
        "skiplist_words": list(string.punctuation), "skiplist_tasks": ["document"], "keep_only_token_ids": None,
    })  # fmt: skip
    common.write_json(folder / "3_Normalize/config.json", names)
    edit(folder / "tokenizer_config.json", mask_token=filling)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent.parent / "mini")
    options = parser.parse_args()
    model = load_model(options.work, options.checkpoint or options.work / "checkpoint.pt")
    weights = {k: v.numpy().astype(np.float32) for k, v in model.encoder.state_dict().items()}
    head = model.head.linear.weight.detach().numpy()
    tokenizer = json.loads((options.work / "tokenizer.json").read_text())
    added = {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    end = common.END_OF_TEXT
    config = config_of(len(weights["embed_tokens.weight"]), added[end])
    filling = next(t for t, i in tokenizer["model"]["vocab"].items() if i == min(added.values()) - 1)
    assert {n: w.shape for n, w in weights.items()} == common.tensor_shapes(config)
    folder = options.output
    for name in ("", "context", "late"):
        common.write_side_files(folder / name, config, tokenizer)
        edit(folder / name / "tokenizer_config.json", sep_token=end)
    contextual = config["auto_map"] | {"AutoModel": "modeling.PPLXQwen3ContextualModel"}
    edit(folder / "context/config.json", auto_map=contextual)
    pooling = folder / "late/1_Pooling"
    (pooling / "config.json").unlink()
    pooling.rmdir()
    late_files(folder / "late", head, filling)
    common.write_tensors(folder / "model.safetensors", weights)
    for name in ("context", "late"):
        share(folder / name, SHARED)


if __name__ == "__main__":
    main()
