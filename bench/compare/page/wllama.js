// wllama: llama.cpp as WebAssembly. Options: file, threads. Texts go through one after another: with several in a call this
// version never answers.
const PACKAGE = "/modules/@wllama/wllama/esm";

export async function load({ options: { file, threads = 1 } }) {
  const { Wllama } = await import(`${PACKAGE}/index.js`);
  const quiet = { debug() {}, log() {}, warn() {}, error: console.error };
  const engine = new Wllama({ default: `${PACKAGE}/wasm/wllama.wasm` }, { logger: quiet, suppressNativeLog: true });
  const data = await (await fetch(`/hub/f32/gguf/${file}`)).blob();
  await engine.loadModel([new File([data], file)], {
    embeddings: true, pooling_type: "mean", n_threads: threads, n_ctx: 1024, n_batch: 1024, n_ubatch: 1024, n_gpu_layers: 0,
  });

  async function embed({ ids }) {
    const vectors = [];
    for (const row of ids) {
      const { data } = await engine.createEmbedding({ input: [row] });
      vectors.push(Float32Array.from(data[0].embedding));
    }
    return vectors;
  }
  return { embed, dispose: () => engine.exit() };
}
