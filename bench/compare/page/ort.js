// onnxruntime-web. Options: file, bundle ("wasm" or "webgpu"), threads, hideSubgroups.
const DIST = "/modules/onnxruntime-web/dist/";

export async function load({ options: { file, bundle = "wasm", threads = 1 } }) {
  const ort = await import(`${DIST}ort.${bundle}.min.mjs`);
  ort.env.wasm.wasmPaths = DIST;
  ort.env.wasm.numThreads = threads;
  const path = `/hub/f32/onnx/${file}.onnx`;
  const [graph, weights] = await Promise.all([bytes(path), bytes(`${path}_data`)]);
  const session = await ort.InferenceSession.create(graph, {
    executionProviders: [bundle],
    externalData: [{ path: `${file}.onnx_data`, data: weights }],
  });

  async function embed({ ids }) {
    const [rows, width] = [ids.length, Math.max(...ids.map((row) => row.length))];
    const [tokens, mask] = [new BigInt64Array(rows * width), new BigInt64Array(rows * width)];
    ids.forEach((row, i) => {
      tokens.set(row.map(BigInt), i * width);
      mask.fill(1n, i * width, i * width + row.length);
    });
    const tensor = (data) => new ort.Tensor("int64", data, [rows, width]);
    const feeds = { input_ids: tensor(tokens), attention_mask: tensor(mask) };
    const { data } = (await session.run(feeds, ["pooler_output"])).pooler_output;
    const size = data.length / rows;
    return ids.map((_, i) => data.subarray(i * size, (i + 1) * size));
  }
  return { embed, pads: true, dispose: () => session.release() };
}

async function bytes(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} ${url}`);
  return new Uint8Array(await response.arrayBuffer());
}
