/**
 * Perplexity's pplx-embed models in a browser tab, on the user's own GPU; and in Node.js, Deno and Bun, on the processor.
 *
 * @example
 * ```ts
 * import { cosineSimilarity, load } from "pplx-embed-web";
 *
 * const model = await load("perplexity-ai/pplx-embed-v1-0.6b");
 * const e = await model.embed(["a red bicycle", "a bike, painted red"]);
 * console.log(e.shape); // [ 2, 1024 ]
 * console.log(cosineSimilarity(e.row(0), e.row(1))); // -1 to 1: how alike they are
 * await model.dispose();
 * ```
 *
 * @packageDocumentation
 */
export type { ErrorCode } from "./errors.js";
export { PplxEmbedError } from "./errors.js";
export type { ContextOptions, SplitOptions, TextChunk } from "./model/context.js";
export type { Embeddings } from "./model/embeddings.js";
export type { EncodeDocumentOptions, EncodeOptions, TokenEmbeddings } from "./model/late.js";
export { load } from "./model/load.js";
export type {
  DefaultEncodedDtype, Encoded, EncodedDtype, EncodeDocumentOptionsOf, EncodeQueryOptions, Model,
} from "./model/model.js";
export { createIndex, type IndexOptions, type IndexPlacement, openIndex, type OpenIndexOptions } from "./search/create.js";
export type { Hit, MatchedToken, TokenMatch } from "./search/hits.js";
export type { IndexItem } from "./search/items.js";
export type { ExplainOptions, Query, SearchOptions } from "./search/queries.js";
export type { ChangeOptions, SearchIndex } from "./search/search-index.js";
export { cache, type CachedModel, type CacheEstimate, type CacheOptions, type DeleteOptions } from "./storage/cache.js";
export { deleteIndex, listIndexes } from "./storage/indexes.js";
export type { SavedIndex } from "./storage/saved.js";
export type {
  DataOf, Dtype, EmbedOptions, IndexInfo, LateInfo, LoadOptions, ModelInfo, ModelKind, OnProgress, Progress, TokenDataOf,
  TokenDtype, Usage,
} from "./types.js";
export {
  explainMaxsim, type ExplainMaxsimOptions, maxsim, type MaxsimExplanation, type MaxsimOptions,
} from "./vectors/maxsim.js";
export { cosineSimilarity, hamming, type NumberArray } from "./vectors/similarity.js";
export type { TokenArray, TokenVectors } from "./vectors/token-vectors.js";
