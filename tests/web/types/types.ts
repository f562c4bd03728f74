// Compiled against dist/ as a user's program would be, and never run.
import {
  cache, cosineSimilarity, createIndex, deleteIndex, explainMaxsim, hamming, listIndexes, load, maxsim, openIndex,
  PplxEmbedError,
} from "pplx-embed-web";
import "pplx-embed-web/mini";
import wasmUrl from "pplx-embed-web/wasm";
import type {
  CachedModel, CacheEstimate, Dtype, Embeddings, ErrorCode, Hit, IndexInfo, IndexItem, IndexOptions, LoadOptions,
  MaxsimOptions, Model, ModelInfo, OpenIndexOptions, Progress, Query, SavedIndex, SearchIndex, TextChunk,
  TokenEmbeddings, TokenMatch, TokenVectors, Usage,
} from "pplx-embed-web";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <A, B>(_: Same<A, B>) => {};

const options: LoadOptions = {
  device: "auto", weights: "f16", precision: "exact", revision: "main", endpoint: new URL("https://example.org/"), token: "t", cache: false,
  worker: true, wasmUrl, signal: AbortSignal.timeout(1000),
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

  const folder: Promise<Model> = load(new URL("./model", import.meta.url)); // outside of pages
  folder.catch(() => {});

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
  is<typeof wasmUrl, string>(true);
  console.log(cosineSimilarity(lists[0] ?? [], [1, 2]), hamming([1, -1], [1, 1]), hamming(bits.row(0), lists[0] ?? []));
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
  const dense = await load<"embed">("org/name");
  const asQuery = await dense.encodeQuery("a", { dtype: "ubinary", promptName: "query" });
  is<typeof asQuery, Embeddings<"ubinary">>(true);
  const asDocument = await dense.encodeDocument(["a"], { prompt: "" });
  is<typeof asDocument, Embeddings<"int8" | "float32">>(true);
  const named: string | undefined = dense.info.prompts[dense.info.defaultPromptName ?? "query"];
  console.log(named, dense.info.defaultDimensions);
  // @ts-expect-error: a dense model pools no tokens
  await dense.encodeDocument("a", { poolFactor: 2 });
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

interface Note { title: string; year: number }

export async function searches(model: Model, file: File, stream: WritableStream<Uint8Array>): Promise<void> {
  const options: IndexOptions = { model, kind: "dense", dtype: "binary", dimensions: 256, memory: 1e9, signal: undefined };
  await using index = await createIndex<Note>(options);
  is<typeof index, SearchIndex<Note>>(true);
  is<typeof index.info, IndexInfo>(true);
  const text: IndexItem<Note> = { id: "a", text: "a", data: { title: "A", year: 1 } };
  const usage: Usage = await index.add([text, { id: "b", chunks: ["a", "b"] as const }], { onProgress: () => {} });
  await index.upsert([{ id: "c", vector: new Int8Array(256) }]);
  const count: number = await index.remove(["a"] as const);
  const hits = await index.search("a", { k: 3, filter: (id, note) => id !== "b" && (note?.year ?? 0) > 1, rescore: 8 });
  is<typeof hits, Hit<Note>[]>(true);
  is<(typeof hits)[0]["data"], Note | undefined>(true);
  const queries: Query[] = ["a", new Float32Array(256), { vector: new Int8Array(256), scales: new Float32Array(1) }];
  const lists = await index.search(queries, { candidates: 100 });
  is<typeof lists, Hit<Note>[][]>(true);
  const matches: TokenMatch[] = await index.explain("a", "b", { text: "a" });
  const place: [number | undefined, string | undefined] = [matches[0]?.document.start, matches[0]?.query.text];
  await index.save("name");
  await index.save(new URL("file:///notes.index"));
  await index.save(stream, { signal: AbortSignal.timeout(1) });
  const blob: Blob = await index.toBlob();
  const open: OpenIndexOptions = { recover: true, worker: false };
  const again = await openIndex<Note>(file, open);
  is<typeof again, SearchIndex<Note>>(true);
  is<Awaited<ReturnType<typeof openIndex>>, SearchIndex<unknown>>(true);
  // The README's: data is JSON, whose type nobody said.
  await (await openIndex(file)).search("a", { k: 5, filter: (id, data) => data?.page < 10 });
  const saved: SavedIndex[] = await listIndexes();
  const freed: number = await deleteIndex("name");
  console.log(usage.tokens, count, place, blob.size, saved, freed, index.size + index.ids().length, index.has("a"));
  // @ts-expect-error: nothing to find it by
  await index.add([{ id: "a" }]);
  // @ts-expect-error: one of them
  await index.add([{ id: "a", text: "a", chunks: ["a"] }]);
  // @ts-expect-error: other data
  await index.add([{ id: "a", text: "a", data: 5 }]);
  // @ts-expect-error: a plain array
  await index.search([1, 2, 3]);
  // @ts-expect-error: an option that does not exist
  await index.search("a", { limit: 3 });
  // @ts-expect-error: a kind that does not exist
  await createIndex({ dimensions: 4, kind: "sparse" });
  // @ts-expect-error: read-only
  index.info.bytes.host = 1;
  // @ts-expect-error: indexes are made by createIndex
  new (await import("pplx-embed-web")).SearchIndex();
}

export function handles(error: unknown): ErrorCode | undefined {
  if (!(error instanceof PplxEmbedError)) return undefined;
  // @ts-expect-error: not a code
  if (error.code === "oops") return undefined;
  return error.code;
}
