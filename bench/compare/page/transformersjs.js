// transformers.js, in a page and in Node. Options: file, dtype, device ("wasm", "webgpu", in Node "cpu"), threads, and in
// Node `models`, the folder that the model's folder is in.
const PACKAGE = "@huggingface/transformers";
const IN_PAGE = typeof document !== "undefined";

export async function load({ options: { file, dtype, device = "wasm", threads = 1, models } }) {
  const { env, pipeline } = await import(IN_PAGE ? `/modules/${PACKAGE}/dist/transformers.min.js` : PACKAGE);
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = IN_PAGE ? "/hub/" : models;
  env.useBrowserCache = false;
  env.useWasmCache = false;
  if (IN_PAGE) {
    env.backends.onnx.wasm.wasmPaths = `/modules/${PACKAGE}/node_modules/onnxruntime-web/dist/`;
    env.backends.onnx.wasm.numThreads = threads;
  }
  const extract = await pipeline("feature-extraction", "f32", {
    device, dtype, model_file_name: file, use_external_data_format: true,
    session_options: IN_PAGE ? {} : { intraOpNumThreads: threads, interOpNumThreads: 1 },
  });

  async function embed({ texts }) {
    const { data } = await extract(texts, { pooling: "mean", normalize: false });
    const size = data.length / texts.length;
    return texts.map((_, i) => data.subarray(i * size, (i + 1) * size));
  }
  return { embed, pads: true, dispose: () => extract.dispose() };
}
