// Late chunking: documents of chunks, and the texts they are cut from.

import * as check from "./check.js";
import { invalid } from "./errors.js";
import type { ContextRequest, RawChunks, SplitRequest } from "./protocol.js";
import type { Dtype, EmbedOptions } from "./types.js";

/** How documents are to be embedded. Every option may be left out. */
export interface ContextOptions<D extends Dtype = Dtype> extends EmbedOptions<D> {
  /**
   * What becomes of a document that is longer than `model.info.maxTokens`. `"error"`, the default, refuses it. With
   * `"window"` it goes through the model in windows of whole chunks that overlap by up to a half; each chunk's vector
   * comes from the window that shows most on its poorer side. A chunk that is longer than the limit by itself is refused.
   */
  longDocuments?: "error" | "window" | undefined;
}

/** How a text is to be split. Every option may be left out. */
export interface SplitOptions {
  /** Most tokens of a chunk. Default: 256. A single grapheme that has more is a chunk of its own. */
  maxTokens?: number | undefined;
  /** Most tokens of a chunk's end that the next chunk repeats; less than `maxTokens`. Default: 0. */
  overlap?: number | undefined;
  /** Cancels the call. */
  signal?: AbortSignal | undefined;
}

/** A part of a text. */
export interface TextChunk {
  /** `text.slice(start, end)` of the text that was split. */
  text: string;
  /** Where it starts. */
  start: number;
  /** Where it ends: where the next one starts, unless that repeats some of it. */
  end: number;
  /** Its tokens. */
  tokens: number;
}

/** @internal */
export const CONTEXT_OPTIONS = ["dtype", "dimensions", "normalize", "longDocuments", "signal", "onProgress"] as const;
/** @internal */
export const SPLIT_OPTIONS = ["maxTokens", "overlap", "signal"] as const;

/** @internal */
export function contextRequest(o: Partial<ContextOptions>): ContextRequest {
  return { ...check.embedRequest(o), longDocuments: check.primitive("longDocuments", o.longDocuments, "string") };
}

/** @internal */
export function splitRequest(o: Partial<SplitOptions>): SplitRequest {
  return {
    maxTokens: check.primitive("maxTokens", o.maxTokens, "number"),
    overlap: check.primitive("overlap", o.overlap, "number"),
  };
}

/** @internal Arrays of strings in an array. */
export function checkDocuments(value: readonly (readonly string[])[]): readonly (readonly string[])[] {
  const allowed = "an array of documents, each an array of strings";
  if (!Array.isArray(value)) throw invalid("documents", value, allowed);
  // By index, because forEach and the like pass over holes.
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
