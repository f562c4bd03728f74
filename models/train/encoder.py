"""The network: a Qwen3 encoder that attends both ways, with the tensor names of the published checkpoints.

transformers' Qwen3Model computes the same (`check_against_transformers`), several times slower on a CPU: here a batch is
of one length bucket, what can be fused is written so that torch.compile fuses it, and matrices multiply in bfloat16.

Symbols: B texts, T tokens, H hidden, Dh head dimension.
"""

import torch
import torch.nn.functional as F
from torch import nn

SHAPE = dict(
    hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
    head_dim=64, max_position_embeddings=2048, rms_norm_eps=1e-6, rope_theta=10000,
)  # fmt: skip
LATE_DIMENSIONS = 128


class RmsNorm(nn.Module):
    """`x / rms(x) * weight` over the last dimension."""

    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x, cos, sin):
    """Rotary positions, pairs (i, i + Dh/2). x: [B, heads, T, Dh]."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.dim, self.heads, self.kv = c["head_dim"], c["num_attention_heads"], c["num_key_value_heads"]
        self.q_proj = nn.Linear(c["hidden_size"], self.heads * self.dim, bias=False)
        self.k_proj = nn.Linear(c["hidden_size"], self.kv * self.dim, bias=False)
        self.v_proj = nn.Linear(c["hidden_size"], self.kv * self.dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.dim, c["hidden_size"], bias=False)
        self.q_norm = RmsNorm(self.dim, c["rms_norm_eps"])
        self.k_norm = RmsNorm(self.dim, c["rms_norm_eps"])

    def forward(self, x, mask, cos, sin):
        split = lambda y, heads: y.unflatten(-1, (heads, self.dim)).transpose(1, 2)  # noqa: E731
        q = rotate(self.q_norm(split(self.q_proj(x), self.heads)), cos, sin).to(x.dtype)
        k = rotate(self.k_norm(split(self.k_proj(x), self.kv)), cos, sin).to(x.dtype)
        v = split(self.v_proj(x), self.kv)
        k, v = (y.repeat_interleave(self.heads // self.kv, 1) for y in (k, v))
        # Written out: at the lengths of training that is quicker here than the fused kernel, and compiles.
        scores = (q @ k.transpose(-1, -2)).float() * self.dim**-0.5 + mask
        y = scores.softmax(-1).to(v.dtype) @ v
        return self.o_proj(y.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.up_proj = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.down_proj = nn.Linear(c["intermediate_size"], c["hidden_size"], bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        self.mlp = Mlp(c)

    def forward(self, x, mask, cos, sin, dtype):
        x = x + self.self_attn(self.input_layernorm(x).to(dtype), mask, cos, sin).float()
        return x + self.mlp(self.post_attention_layernorm(x).to(dtype)).float()


class Encoder(nn.Module):
    """`forward(ids, keep)`: token vectors [B, T, H] after the final norm; keep is 1 for real tokens, 0 for padding."""

    def __init__(self, vocabulary, shape=SHAPE):
        super().__init__()
        self.shape = c = dict(shape, vocab_size=vocabulary)
        self.embed_tokens = nn.Embedding(vocabulary, c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = RmsNorm(c["hidden_size"], c["rms_norm_eps"])
        half = c["head_dim"] // 2
        frequencies = c["rope_theta"] ** (-torch.arange(half).float() / half)
        angles = torch.arange(c["max_position_embeddings"]).float()[:, None] * frequencies
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def body(self, x, keep, dtype):
        length = x.shape[1]
        mask = (1.0 - keep[:, None, None, :]) * -1e9
        for layer in self.layers:
            x = layer(x, mask, self.cos[:length], self.sin[:length], dtype)
        return self.norm(x)

    def forward(self, ids, keep, dtype=torch.float32):
        x = F.embedding(ids, self.embed_tokens.weight)
        if dtype == torch.float32:
            return self.body(x, keep, dtype)
        with torch.autocast(x.device.type, dtype):
            return self.body(x, keep, dtype)


def mean(hidden, keep):
    """The mean over a text's tokens; zeros where it has none. [B, H]"""
    return (hidden * keep[..., None]).sum(1) / keep.sum(1, keepdim=True).clamp(min=1)


def check_against_transformers(encoder):
    """Largest difference from transformers' own Qwen3Model, given a mask that hides padding only."""
    from transformers import Qwen3Config, Qwen3Model

    c = dict(encoder.shape)
    rope = {"rope_theta": c.pop("rope_theta"), "rope_type": "default"}
    model = Qwen3Model(Qwen3Config(**c, rope_parameters=rope, attn_implementation="eager"))
    model.load_state_dict(encoder.state_dict())
    ids = torch.randint(0, c["vocab_size"], (3, 19), generator=torch.Generator().manual_seed(0))
    keep = torch.ones(3, 19)
    keep[1, 11:] = 0
    with torch.no_grad():
        mask = ((1 - keep) * -1e9)[:, None, None, :].expand(3, 1, 19, 19)
        theirs = model(input_ids=ids, attention_mask=mask).last_hidden_state
        ours = encoder(ids, keep)
    return ((ours - theirs) * keep[..., None]).abs().max().item()


if __name__ == "__main__":
    torch.manual_seed(0)
    difference = check_against_transformers(Encoder(1000))
    print(f"largest difference from transformers: {difference:.1e}")
    assert difference < 1e-4
