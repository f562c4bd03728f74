"""The encoder as GGUF, for llama.cpp and what is made of it: bidirectional, with mean pooling, both of which GGUF can say."""

import gguf

from common import rope_theta, tensor_shapes

KINDS = {
    "f32": gguf.GGMLQuantizationType.F32, "q8": gguf.GGMLQuantizationType.Q8_0, "q4": gguf.GGMLQuantizationType.Q4_0,
}  # fmt: skip
NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def gguf_name(name):
    stem = name.removesuffix(".weight")
    if stem.startswith("layers."):
        _, layer, part = stem.split(".", 2)
        return f"blk.{layer}.{NAMES[part]}.weight"
    return {"embed_tokens": "token_embd", "norm": "output_norm"}[stem] + ".weight"


def write_gguf(path, c, tokenizer, tensor, kind):
    """`tensor(name, shape)` gives the weights, `c` is the config, `tokenizer` the contents of tokenizer.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    w = gguf.GGUFWriter(path, "qwen3")
    w.add_name("benchmark")
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(c["num_key_value_heads"])
    w.add_key_length(c["head_dim"])
    w.add_value_length(c["head_dim"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_rope_freq_base(rope_theta(c))
    w.add_causal_attention(False)
    w.add_pooling_type(gguf.PoolingType.MEAN)

    vocabulary = {i: token for token, i in tokenizer["model"]["vocab"].items()}
    special = {t["id"]: t["content"] for t in tokenizer["added_tokens"]}
    tokens = [vocabulary.get(i) or special.get(i) or f"<unused{i}>" for i in range(c["vocab_size"])]
    kinds = [gguf.TokenType.NORMAL if i in vocabulary else gguf.TokenType.CONTROL for i in range(c["vocab_size"])]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    w.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    w.add_eos_token_id(c["eos_token_id"])
    w.add_add_bos_token(False)
    w.add_add_eos_token(False)

    for name, shape in tensor_shapes(c).items():
        # Norms are never quantized; the embeddings are in float32, as for every other engine here.
        plain = len(shape) == 1 or name.startswith("embed")
        form = KINDS["f32" if plain else kind]
        w.add_tensor(gguf_name(name), gguf.quants.quantize(tensor(name, shape), form), raw_dtype=form)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
