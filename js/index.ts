/**
 * Perplexity's pplx-embed models in a browser tab, on the user's own GPU.
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
export { cache, type CachedModel, type CacheEstimate, type CacheOptions, type DeleteOptions } from "./cache/manage.js";
export type { ContextOptions, SplitOptions, TextChunk } from "./context.js";
export type { Embeddings } from "./embeddings.js";
export { type ErrorCode, PplxEmbedError } from "./errors.js";
export type { EncodeDocumentOptions, EncodeOptions, TokenEmbeddings } from "./late.js";
export { load } from "./load.js";
export { explainMaxsim, maxsim, type MaxsimExplanation, type MaxsimOptions } from "./maxsim.js";
export type { Model } from "./model.js";
export { createIndex, type IndexOptions, openIndex, type OpenIndexOptions } from "./search/create.js";
export type { Hit, MatchedToken, TokenMatch } from "./search/hits.js";
export type { IndexItem } from "./search/items.js";
export type { ExplainOptions, Query, SearchOptions } from "./search/queries.js";
export { deleteIndex, listIndexes, type SavedIndex } from "./search/saved.js";
export type { ChangeOptions, IndexInfo, SearchIndex } from "./search/search-index.js";
export { cosineSimilarity, hamming, type NumberArray } from "./similarity.js";
export type {
  DataOf, Dtype, EmbedOptions, LateInfo, LoadOptions, ModelInfo, OnProgress, Progress, TokenDataOf, TokenDtype, Usage,
} from "./types.js";
export type { TokenArray, TokenVectors } from "./vectors.js";
