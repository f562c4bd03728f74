// Compiled against dist/ as a user's program would be, and never run.
import { cache, cosineSimilarity, explainMaxsim, hamming, load, maxsim, PplxEmbedError } from "pplx-embed-web";
import type {
  CachedModel, CacheEstimate, Dtype, Embeddings, ErrorCode, LoadOptions, MaxsimOptions, Model, ModelInfo, Progress,
  TextChunk, TokenEmbeddings, TokenVectors, Usage,
} from "pplx-embed-web";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <A, B>(_: Same<A, B>) => {};

const options: LoadOptions = {
  device: "auto", weights: "f16", revision: "main", endpoint: new URL("https://example.org/"), token: "t", cache: false,
  worker: true, wasmUrl: "/pplx_embed_bg.wasm", signal: AbortSignal.timeout(1000),
  onProgress: (p: Progress) => {
    if (p.stage === "download") is<typeof p.loaded, number>(true);
    if (p.stage === "notice") is<typeof p.message, string>(true);
    // @ts-expect-error: only a download has a file
    if (p.stage === "embed") p.file;
  },
};

export async function uses(signal: AbortSignal | undefined): Promise<void> {
  await using model = await load("owner/name", options);
  is<typeof model, Model>(true);
  is<typeof model.info, ModelInfo>(true);

  const own = await model.embed("a text", { signal });
  is<typeof own.data, Int8Array | Float32Array>(true);
  const float32 = await model.embed(["a", "b"] as const, { dtype: "float32", dimensions: 256, normalize: true });
  is<typeof float32, Embeddings<"float32">>(true);
  is<typeof float32.data, Float32Array>(true);
  const bits = await model.embed(["a"], { dtype: "ubinary" });
  is<typeof bits.data, Uint8Array>(true);
  const signs = await model.embed(["a"], { dtype: "binary" });
  const any = await model.embed(["a"], { dtype: "int8" as Dtype });
  is<typeof any.dtype, Dtype>(true);

  is<typeof own.usage, Usage>(true);
  const [rows, columns]: readonly [number, number] = own.shape;
  const lists: number[][] = own.toArray();
  const distance: number = hamming(bits.row(0), bits.row(0)) + hamming(signs.row(0), signs.row(0));
  console.log(rows, columns, lists, distance, cosineSimilarity(own.row(0), float32.row(1)));

  const documents = await model.embedContext([["a", "b"], []] as const, { longDocuments: "window", dtype: "ubinary" });
  is<typeof documents, Embeddings<"ubinary">[]>(true);
  const query = await model.encodeQuery("a", { markerPosition: 1 });
  is<typeof query, TokenEmbeddings<"float32">>(true);
  is<typeof query.data, Float32Array>(true);
  const halves = await model.encodeDocument(["a"], { dtype: "float16", poolFactor: 2 });
  is<typeof halves.data, Uint16Array>(true);
  const place: readonly [number, number] | null = query.range(0);
  const split = await model.splitText("a", { maxTokens: 100, overlap: 10 });
  is<typeof split, TextChunk[]>(true);
  if (model.info.kind === "late") console.log(model.info.late?.queryLength, place, model.info.separator?.id);
  // @ts-expect-error: queries are not pooled
  await model.encodeQuery("a", { poolFactor: 2 });
  // @ts-expect-error: a document, not many
  await model.embedContext(["a"]);

  // @ts-expect-error: a form that does not exist
  await model.embed("a", { dtype: "int4" });
  // @ts-expect-error: no text
  await model.embed(5);
  // @ts-expect-error: an option that does not exist
  await model.embed("a", { dimension: 5 });
  // @ts-expect-error: packed bits against signs
  hamming(bits.row(0), signs.row(0));
  // @ts-expect-error: read-only
  own.shape[0] = 1;
  // @ts-expect-error: models are made by load
  new (await import("pplx-embed-web")).Model();
}

export async function keeps(): Promise<void> {
  await load("owner/name", { cache: true });
  await load("owner/name", { cache: { name: "mine" } });
  // @ts-expect-error: no place of that name
  await load("owner/name", { cache: "opfs" });
  const models: CachedModel[] = await cache.list({ name: "mine" });
  const freed: number = await cache.delete(models[0]?.id ?? "", { revision: "main", endpoint: new URL("https://h/") });
  const { bytes, quota, persisted }: CacheEstimate = await cache.estimate();
  is<typeof quota, number | undefined>(true);
  console.log(freed + (await cache.clear()), bytes, persisted, models[0]?.used.getTime());
  // @ts-expect-error: an option that does not exist
  await cache.delete("a", { commit: "b" });
}

export async function scores(queries: TokenVectors, documents: readonly TokenVectors[]): Promise<void> {
  const options: MaxsimOptions = { pairs: [[0, 1]] as const, normalize: true, worker: false, signal: undefined };
  is<Awaited<ReturnType<typeof maxsim>>, Float32Array>(true);
  await maxsim(queries, documents, options);
  await maxsim({ data: new Int8Array(4), dim: 2, scales: new Float32Array(2), offsets: new BigInt64Array(2) }, documents);
  const { tokens, similarities } = await explainMaxsim(queries, documents, [0, 1], { normalize: true });
  const lengths: number = tokens.length + similarities.length;
  console.log(lengths);
  // @ts-expect-error: no dimensions
  await maxsim({ data: new Float32Array(4) }, documents);
  // @ts-expect-error: a form that does not exist
  await maxsim({ data: new Float32Array(4), dim: 2, dtype: "int4" }, documents);
  // @ts-expect-error: an explanation is of one pair
  await explainMaxsim(queries, documents, [0, 1], { pairs: [] });
}

export function handles(error: unknown): ErrorCode | undefined {
  if (!(error instanceof PplxEmbedError)) return undefined;
  // @ts-expect-error: not a code
  if (error.code === "oops") return undefined;
  return error.code;
}
