// onnxruntime-web. Options: file, bundle ("wasm" or "webgpu"), threads; `files` says where a page finds the library and the model,
// dawn.mjs where Node does.
const IN_PAGE = { dist: "/modules/onnxruntime-web/dist/", read: (path) => bytes(`/hub/${path}`) };

export async function load({ options: { file, bundle = "wasm", threads = 1 }, files = IN_PAGE }) {
  const ort = await import(`${files.dist}ort.${bundle}.min.mjs`);
  ort.env.wasm.wasmPaths = files.dist;
  ort.env.wasm.numThreads = threads;
  if (files.wasm) ort.env.wasm.wasmBinary = await files.wasm();
  const path = `f32/onnx/${file}.onnx`;
  const [graph, weights] = await Promise.all([files.read(path), files.read(`${path}_data`)]);
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
