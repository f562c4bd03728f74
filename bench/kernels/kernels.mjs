// The kernels that are counted, and what their loops do for a lane. A shape says how many multiply-adds a loop does within one
// iteration of the loop around it, the outermost within what is called one step.

const FORMATS = ["f32", "f16", "q8", "q4"];
const CODES = ["q8", "q4"];
const each = (formats, make) => formats.map(make);

// 64 values of K, of 8 x 8, 4 x 8 or 16 x 4 sums. Scales and biases are those of a group of 64.
const LARGE = { madds: 4096, loops: [{ madds: 4096 }], rare: 1 / 4 };
const SMALL = { madds: 2048, loops: [{ madds: 2048 }], rare: 1 / 4 };
const FEW = { madds: 4096, loops: [{ madds: 4096 }], others: 16, rare: 1 / 16 };
// A block of 64 values of K, of 4 x 8 or 16 x 4 sums of packed dot products.
const INT8 = { madds: 2048 };
const INT8_FEW = { madds: 4096, loops: [{ madds: 4096 }] };
/** Scores and values of 16 queries and keys with `dim` dimensions. */
const attention = (scores, block) => ({ madds: 2 * scores, loops: [{ madds: scores }, { madds: scores, loops: [{ madds: block }] }] });

export const KERNELS = [
  ...["matmul", "swiglu"].flatMap((operation) => [
    ...each(FORMATS, (f) => ({ name: `${operation}_large_${f}`, tokens: "many", shape: LARGE })),
    ...each(FORMATS, (f) => ({ name: `${operation}_small_${f}`, tokens: "some", shape: SMALL })),
    ...each(FORMATS, (f) => ({ name: `${operation}_few_${f}`, tokens: "up to 32", shape: FEW })),
  ]),
  ...each(FORMATS, (f) => ({ name: `heads_large_${f}`, tokens: "many", shape: LARGE })),
  ...each(FORMATS, (f) => ({ name: `heads_small_${f}`, tokens: "some", shape: SMALL })),
  ...each(FORMATS, (f) => ({ name: `heads_few_${f}`, tokens: "up to 32", shape: FEW })),
  ...["matmul", "swiglu", "heads"].flatMap((operation) => [
    ...each(CODES, (f) => ({ name: `${operation}_int8_large_${f}`, tokens: "many", shape: INT8 })),
    ...each(CODES, (f) => ({ name: `${operation}_int8_small_${f}`, tokens: "some", shape: INT8 })),
    ...each(CODES, (f) => ({ name: `${operation}_int8_few_${f}`, tokens: "up to 32", shape: INT8_FEW })),
  ]),
  // By cooperative matrices, whose instructions take as long as many others: no multiply-adds a vector instruction. Of Mesa's
  // compilers only AMD's takes them without the chip.
  ...["matmul", "swiglu", "heads"].flatMap((operation) => [
    ...each(CODES, (f) => ({ name: `${operation}_matrix16_large_${f}`, tokens: "many", vendor: "amd" })),
    ...each(CODES, (f) => ({ name: `${operation}_matrix16_small_${f}`, tokens: "up to 32", vendor: "amd" })),
  ]),
  { name: "halve_rows" },
  { name: "halve_normed_rows" },
  { name: "round_rows" },
  { name: "round_normed_rows" },
  { name: "attention_tile_64", shape: attention(1024, 1024) },
  { name: "attention_tile_128", shape: attention(2048, 1024) },
  { name: "attention_narrow_128", shape: attention(2048, 512) },
  { name: "attention_tile_256", shape: attention(4096, 512) },
  ...each(["float32", "float16", "int8", "binary"], (f) => ({ name: `maxsim_tile_${f}`, shape: { madds: 1024 } })),
  ...each(["float32", "float16", "int8", "binary"], (f) => ({ name: `maxsim_narrow_${f}`, shape: { madds: 512 } })),
  { name: "dense_tile_int8", shape: { madds: 1024, loops: [{ madds: 128 }, { madds: 1024 }] } },
  { name: "dense_tile_float32", shape: { madds: 256, loops: [{ madds: 32 }, { madds: 256 }] } },
  { name: "dense_tile_binary" },
  // Those of software adapters.
  { name: "matmul_f32", software: true, shape: { madds: 256 } },
  { name: "matmul_q8", software: true, shape: { madds: 4096, loops: [{ madds: 4096 }] } },
  { name: "matmul_q4", software: true, shape: { madds: 4096, loops: [{ madds: 4096 }] } },
  { name: "attention", software: true, shape: { madds: 8192, loops: [{ madds: 4096 }, { madds: 4096 }] } },
  { name: "dense_int8", software: true },
];

/** Compilers of Mesa: what they are called there, and in tables. */
export const CHIPS = [
  ["amd", "navi31", "RDNA 3"],
  ["amd", "gfx1201", "RDNA 4"],
  ["nvidia", "172", "Ampere"],
  ["intel", "tgl", "Xe"],
];

/** Published ceilings: float32 multiply-adds and additions a second, and bytes a second. */
export const GPUS = [
  { name: "Xe-LP, 96 units", flops: 2.0e12, bytes: 70e9 },
  { name: "M2", flops: 3.6e12, bytes: 100e9 },
  { name: "H100", flops: 67e12, bytes: 3.35e12 },
];

export const MODELS = [
  { name: "0.6B", hidden: 1024, intermediate: 3072, queryHeads: 16, keyHeads: 8, headDim: 128, layers: 28 },
  { name: "4B", hidden: 2560, intermediate: 9728, queryHeads: 32, keyHeads: 8, headDim: 128, layers: 36 },
];
export const TOKENS = [16, 128, 1024, 8192];
/** Bits of a weight, scale and bias of a group of 64 included. */
export const WEIGHT_BITS = { f32: 32, f16: 16, q8: 9, q4: 5 };

/** What a pass of `tokens` tokens of one text does in each kernel, all layers together: operations and bytes. */
export function work(model, tokens, weights) {
  const { hidden: h, intermediate: i, layers } = model;
  const [q, kv] = [model.queryHeads, model.keyHeads].map((heads) => heads * model.headDim);
  const linear = (kernel, n, k, read, written) => ({
    kernel, operations: 2 * tokens * n * k, bytes: (n * k * WEIGHT_BITS[weights]) / 8 + 4 * tokens * (read + written),
  });
  const rows = (kernel, floats) => ({ kernel, operations: 4 * tokens * floats, bytes: 4 * tokens * 2 * floats });
  const one = [
    linear("q, k, v", q + 2 * kv, h, h, q + 2 * kv),
    linear("output", h, q, q, 2 * h),
    linear("gate and up", 2 * i, h, h, i),
    linear("down", h, i, i, 2 * h),
    { kernel: "attention", operations: 4 * tokens * tokens * q, bytes: 4 * tokens * (2 * q + 2 * kv) },
    rows("head norm and rope", q + kv),
    rows("norms", 2 * h),
  ];
  return one.map(({ kernel, operations, bytes }) => ({ kernel, operations: operations * layers, bytes: bytes * layers }));
}
