// Documents of chunks (late chunking), and splitting texts into chunks.

import * as check from "../check.js";
import type { ContextRequest, RawChunks, SplitRequest } from "../engine/calls.js";
import { invalid } from "../errors.js";
import type { Dtype, EmbedOptions } from "../types.js";
import { vectorOptions } from "./embeddings.js";

/** Options of {@link Model.embedContext}. Every option may be left out. */
export interface ContextOptions<D extends Dtype = Dtype> extends Omit<EmbedOptions<D>, "prompt" | "promptName"> {
  /**
   * What to do with a document longer than `model.info.maxTokens`. `"error"`, the default, rejects the call. `"window"`
   * reads it in windows of whole chunks that overlap by up to a half; the vector of a chunk comes from the window that
   * has the most context on the chunk's shorter side. A single chunk longer than the limit rejects the call.
   */
  longDocuments?: "error" | "window" | undefined;
}

/** Options of {@link Model.splitText}. Every option may be left out. */
export interface SplitOptions {
  /** How many tokens a chunk may have. Default: 256. A single grapheme with more is a chunk of its own. */
  maxTokens?: number | undefined;
  /** How many tokens at the end of a chunk the next one may repeat; less than `maxTokens`. Default: 0. */
  overlap?: number | undefined;
  /** Cancels the call. */
  signal?: AbortSignal | undefined;
}

/** A part of a text. */
export interface TextChunk {
  /** The part itself: `text.slice(start, end)` of the text that was split. */
  text: string;
  /** Where it starts, in UTF-16 code units. */
  start: number;
  /** Where it ends, in UTF-16 code units. The next chunk starts here, or with an overlap earlier. */
  end: number;
  /** How many tokens it has. */
  tokens: number;
}

/** @internal */
export const CONTEXT_OPTIONS = ["dtype", "dimensions", "normalize", "longDocuments", "signal", "onProgress"] as const;
/** @internal */
export const SPLIT_OPTIONS = ["maxTokens", "overlap", "signal"] as const;

/** @internal */
export function contextRequest(
  documents: readonly (readonly string[])[],
  o: Partial<ContextOptions>,
): ContextRequest {
  return { documents, ...vectorOptions(o), longDocuments: check.primitive("longDocuments", o.longDocuments, "string") };
}

/** @internal */
export function splitRequest(text: string, o: Partial<SplitOptions>): SplitRequest {
  return {
    text,
    maxTokens: check.primitive("maxTokens", o.maxTokens, "number"),
    overlap: check.primitive("overlap", o.overlap, "number"),
  };
}

/** @internal An array of arrays of strings. */
export function checkDocuments(value: readonly (readonly string[])[]): readonly (readonly string[])[] {
  const allowed = "an array of documents, each an array of strings";
  if (!Array.isArray(value)) throw invalid("documents", value, allowed);
  // By index, because forEach and the like skip holes.
  for (let i = 0; i < value.length; i++) {
    const chunks: unknown = value[i];
    if (!Array.isArray(chunks)) throw invalid(`documents[${i}]`, chunks, "an array of strings");
    for (let j = 0; j < chunks.length; j++) {
      if (typeof chunks[j] !== "string") throw invalid(`documents[${i}][${j}]`, chunks[j], "a string");
    }
  }
  return value;
}

/** @internal */
export function chunksOf(text: string, { starts, ends, tokens }: RawChunks): TextChunk[] {
  return Array.from(starts, (start, i) => {
    const end = ends[i] as number;
    return { text: text.slice(start, end), start, end, tokens: tokens[i] as number };
  });
}
