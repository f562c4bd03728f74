"""The encoder as ONNX, in the operators that onnxruntime is fastest with, for the engines that read it.

Inputs `input_ids` and `attention_mask` [B, S]; outputs `last_hidden_state` [B, S, H] and `pooler_output` [B, H], the mean over
the real tokens. Every variant has the token embeddings in float32: transformers.js on WebAssembly reads nothing else.
"""

import numpy as np
from onnx import TensorProto, helper

from common import rope_theta, tensor_shapes

BLOCK = 32  # weights that share a scale
POSITIONS = 8192
KINDS = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "int64": TensorProto.INT64}

# Suffixes are those of transformers.js' dtypes. `fused` attention is best on processors; on software GPUs its subgroup
# kernels are wrong, and the separate operators right. `int8` and `int7` round activations to 8 bits as well: 8 bits for the
# weights are right on WebAssembly, but natively, where a processor has no VNNI, onnxruntime's sums of pairs overflow.
# An accuracy level of 4 allows the same and changes nothing on WebAssembly.
VARIANTS = {
    "model": dict(weights="f32"),
    "model_quantized": dict(weights="q8"),
    "model_q4": dict(weights="q4"),
    "model_int8": dict(weights="int8"),
    "native_int8": dict(weights="int7"),
    "native_q4": dict(weights="q4", accuracy_level=4),
    "separate": dict(weights="f32", fused=False),
    "separate_quantized": dict(weights="q8", fused=False),
    "separate_q4": dict(weights="q4", fused=False),
}


def blockwise(w, bits):
    """Codes around a fixed zero point and a scale for each block of a row; the extreme of a block is met exactly."""
    rows, columns = w.shape
    blocks, zero = w.reshape(rows, -1, BLOCK), 1 << (bits - 1)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(-1, keepdims=True), -1)
    scale = np.where(extreme == 0, np.float32(1), extreme / np.float32(-zero))
    codes = np.clip(np.rint(blocks / scale) + zero, 0, 2 * zero - 1).astype(np.uint8)
    if bits == 4:
        codes = codes[..., 0::2] | (codes[..., 1::2] << 4)
    return codes, scale[..., 0].astype(np.float32).ravel()


class Graph:
    """Nodes and small constants; weights stream into one file beside the graph."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.file = path, open(f"{path}_data", "wb")
        self.nodes, self.constants = [], []

    def add(self, operator, inputs, output, domain="", others=(), **attributes):
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output, *others], name, domain=domain, **attributes))
        return output

    def contrib(self, operator, inputs, output, **attributes):
        return self.add(operator, inputs, output, "com.microsoft", **attributes)

    def constant(self, name, value):
        value = np.asarray(value)
        tensor = helper.make_tensor(name, KINDS[value.dtype.name], value.shape, value.tobytes(), raw=True)
        self.constants.append(tensor)
        return name

    def weight(self, name, value):
        self.file.write(b"\0" * (-self.file.tell() % 4096))
        tensor = TensorProto(name=name, data_type=KINDS[value.dtype.name], dims=value.shape)
        tensor.data_location = TensorProto.EXTERNAL
        start, data = self.file.tell(), np.ascontiguousarray(value).tobytes()
        self.file.write(data)
        for key, entry in {"location": f"{self.path.name}_data", "offset": start, "length": len(data)}.items():
            tensor.external_data.add(key=key, value=str(entry))
        self.constants.append(tensor)
        return name

    def save(self, inputs, outputs):
        self.file.close()
        graph = helper.make_graph(self.nodes, "encoder", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        self.path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def write_onnx(path, c, tensor, weights, accuracy_level=0, fused=True):
    """`tensor(name, shape)` gives the weights; `c` is the config."""
    g, shapes = Graph(path), tensor_shapes(c)
    heads, kv_heads, dim, eps = (
        c[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps")
    )

    def weight(name):
        return g.weight(name, tensor(name, shapes[name]))

    def linear(x, name, out):
        w = tensor(name, shapes[name])
        rows, columns = w.shape
        if weights == "f32":
            return g.add("MatMul", [x, g.weight(name, w.T)], out)
        if weights in ("int8", "int7"):
            scale = np.abs(w).max(1) / np.float32(127 if weights == "int8" else 63)
            codes = np.rint(w / scale[:, None]).astype(np.int8)
            inputs = [x, g.weight(name, codes.T), g.weight(f"{name}.scale", scale.astype(np.float32))]
            return g.contrib("DynamicQuantizeMatMul", inputs, out)
        bits = {"q8": 8, "q4": 4}[weights]
        codes, scales = blockwise(w, bits)
        inputs = [x, g.weight(name, codes), g.weight(f"{name}.scales", scales)]
        return g.contrib("MatMulNBits", inputs, out, K=columns, N=rows, bits=bits, block_size=BLOCK,
                         accuracy_level=accuracy_level)  # fmt: skip

    def norm(x, name, out):
        return g.add("SimplifiedLayerNormalization", [x, weight(name)], out, axis=-1, epsilon=eps)

    def add_norm(x, residual, name, out):
        inputs = [x, residual, weight(name)]
        g.contrib("SkipSimplifiedLayerNormalization", inputs, out, others=["", "", f"{out}.sum"], epsilon=eps)
        return out, f"{out}.sum"

    bias = write_inputs(g, c, fused)
    residual = g.add("Gather", [weight("embed_tokens.weight"), "input_ids"], "embedded", axis=0)

    def rotated(x, name, split, count, out):
        g.add("Reshape", [x, split], f"{out}.split")
        g.add("Reshape", [norm(f"{out}.split", name, f"{out}.normed"), "flat"], f"{out}.flat")
        inputs = [f"{out}.flat", "position_ids", "rope_cos", "rope_sin"]
        return g.contrib("RotaryEmbedding", inputs, out, num_heads=count)

    def repeated(x, out):
        g.add("Reshape", [x, "split_kv"], f"{out}.split")
        g.add("Unsqueeze", [f"{out}.split", "axis3"], f"{out}.column")
        g.add("Expand", [f"{out}.column", "repeat_kv"], f"{out}.copies")
        return g.add("Reshape", [f"{out}.copies", "flat"], out)

    def attention(q, k, v, out):
        if fused:
            inputs = [q, k, v, "", "", bias]
            return g.contrib("MultiHeadAttention", inputs, out, num_heads=heads, scale=float(dim**-0.5))
        for x, order in ((q, [0, 2, 1, 3]), (k, [0, 2, 3, 1]), (v, [0, 2, 1, 3])):
            g.add("Transpose", [g.add("Reshape", [x, "split_q"], f"{x}.heads")], f"{x}.by_head", perm=order)
        g.add("MatMul", [f"{q}.by_head", f"{k}.by_head"], f"{out}.scores")
        g.add("Mul", [f"{out}.scores", "score_scale"], f"{out}.scaled")
        g.add("Add", [f"{out}.scaled", bias], f"{out}.masked")
        g.add("Softmax", [f"{out}.masked"], f"{out}.shares", axis=-1)
        g.add("MatMul", [f"{out}.shares", f"{v}.by_head"], f"{out}.by_head")
        g.add("Transpose", [f"{out}.by_head"], f"{out}.heads", perm=[0, 2, 1, 3])
        return g.add("Reshape", [f"{out}.heads", "flat"], out)

    block = None  # what the block before gave, not yet added to the residual
    for i in range(c["num_hidden_layers"]):
        def w(name):
            return f"layers.{i}.{name}.weight"

        def t(name):
            return f"layer{i}.{name}"

        if block is None:
            x = norm(residual, w("input_layernorm"), t("x"))
        else:
            x, residual = add_norm(block, residual, w("input_layernorm"), t("x"))
        q, k, v = (linear(x, w(f"self_attn.{p}_proj"), t(f"{p}_plain")) for p in "qkv")
        q = rotated(q, w("self_attn.q_norm"), "split_q", heads, t("q"))
        k = repeated(rotated(k, w("self_attn.k_norm"), "split_kv", kv_heads, t("k_few")), t("k"))
        seen = attention(q, k, repeated(v, t("v")), t("seen"))
        x, residual = add_norm(
            linear(seen, w("self_attn.o_proj"), t("attention")), residual, w("post_attention_layernorm"), t("y")
        )
        gate, up = (linear(x, w(f"mlp.{p}_proj"), t(p)) for p in ("gate", "up"))
        silu = g.add("Mul", [gate, g.add("Sigmoid", [gate], t("sigmoid"))], t("silu"))
        block = linear(g.add("Mul", [silu, up], t("product")), w("mlp.down_proj"), t("mlp"))
    add_norm(block, residual, "norm.weight", "last_hidden_state")

    g.add("Unsqueeze", ["mask", "axis2"], "mask_column")
    g.add("Mul", ["last_hidden_state", "mask_column"], "real_states")
    g.add("ReduceSum", ["real_states", "axis1"], "sum", keepdims=0)
    g.add("ReduceSum", ["mask", "axis1"], "count", keepdims=1)
    g.add("Div", ["sum", "count"], "pooler_output")
    hidden = c["hidden_size"]
    ids = [helper.make_tensor_value_info(n, TensorProto.INT64, ["B", "S"]) for n in ("input_ids", "attention_mask")]
    outputs = {"last_hidden_state": ["B", "S", hidden], "pooler_output": ["B", hidden]}
    g.save(ids, [helper.make_tensor_value_info(n, TensorProto.FLOAT, dims) for n, dims in outputs.items()])


def write_inputs(g, c, fused):
    """Constants, positions, rotary tables, and the mask to add to scores, whose name this returns."""
    heads, kv_heads, dim = (c[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))
    whole = {
        "zero": 0, "one": 1, "axis0": [0], "axis1": [1], "axis2": [2], "axis3": [3], "axes12": [1, 2], "flat": [0, 0, -1],
        "split_q": [0, 0, heads, dim], "split_kv": [0, 0, kv_heads, dim], "repeat_kv": [1, 1, 1, heads // kv_heads, 1],
    }  # fmt: skip
    for name, value in whole.items():
        g.constant(name, np.array(value, np.int64))
    scale = {} if fused else {"score_scale": dim**-0.5}
    for name, value in ({"float_one": 1, "minus_big": -1e9} | scale).items():
        g.constant(name, np.float32(value))
    angles = np.outer(np.arange(POSITIONS), rope_theta(c) ** (-np.arange(0, dim, 2) / dim))
    g.weight("rope_cos", np.cos(angles).astype(np.float32))
    g.weight("rope_sin", np.sin(angles).astype(np.float32))

    g.add("Shape", ["input_ids"], "batch_tokens")
    g.add("Gather", ["batch_tokens", "one"], "token_count")
    g.add("Range", ["zero", "token_count", "one"], "positions")
    g.add("Unsqueeze", ["positions", "axis0"], "positions_row")
    g.add("Expand", ["positions_row", "batch_tokens"], "position_ids")
    g.add("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    g.add("Sub", ["float_one", "mask"], "padding")
    g.add("Mul", ["padding", "minus_big"], "padding_bias")
    g.add("Unsqueeze", ["padding_bias", "axes12"], "bias_row")
    if not fused:
        return "bias_row"
    # The fused operator does not broadcast over queries.
    g.add("Gather", ["batch_tokens", "axis0"], "b")
    g.add("Gather", ["batch_tokens", "axis1"], "s")
    g.add("Concat", ["b", "axis1", "s", "s"], "bias_shape", axis=0)
    return g.add("Expand", ["bias_row", "bias_shape"], "bias_square")
