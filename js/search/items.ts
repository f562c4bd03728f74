// What is put into an index, checked by name.

import { invalid, PplxEmbedError } from "../errors.js";
import type { RawTokens } from "../protocol.js";
import { joined, rows, type TokenArray } from "../vectors.js";
import type { AddRequest, RawIndexInfo } from "./protocol.js";

/**
 * An item of an index: its id, what it is made of (one of `text`, `chunks` and `vector`), and what is to come back with
 * hits. The items of one call have texts and chunks, or vectors.
 */
export type IndexItem<Data = unknown> = {
  /** 1 to 1,024 bytes in UTF-8, and no other item's. */
  id: string;
  /** Any JSON up to 64 KiB. */
  data?: Data | undefined;
} & (
  | { text: string; chunks?: undefined; vector?: undefined; scales?: undefined }
  | {
      /** A row each; the best one is the item's score. A context model reads them together. Dense indexes only. */
      chunks: readonly string[];
      text?: undefined;
      vector?: undefined;
      scales?: undefined;
    }
  | {
      /** One row of D numbers, or several one after another: chunks of a dense item, tokens of a late one. */
      vector: TokenArray;
      /** For int8 rows of a late index: a factor a row. */
      scales?: Float32Array | undefined;
      text?: undefined;
      chunks?: undefined;
    }
);

const FIELDS = ["id", "data", "text", "chunks", "vector", "scales"];
const SORTS = ["text", "chunks", "vector"] as const;

/** What of an `add` goes to the engine. `model` says whether the index has one. */
export function addRequest(
  items: readonly IndexItem[],
  info: RawIndexInfo,
  model: boolean,
): Omit<AddRequest, "index" | "upsert"> {
  if (!Array.isArray(items)) throw invalid("items", items, "an array of items");
  const ids: string[] = [];
  const data: (string | undefined)[] = [];
  const texts: (string | readonly string[])[] = [];
  const vectors: RawTokens[] = [];
  // By index, because forEach and the like pass over holes.
  for (let i = 0; i < items.length; i++) {
    const name = `items[${i}]`;
    const item = checked(name, items[i]);
    ids.push(item.id);
    data.push(json(`${name}.data`, item.data));
    if (item.vector !== undefined) vectors.push(vector(name, item, info));
    else texts.push(textOf(name, item, info.kind, model));
    if (vectors.length > 0 && texts.length > 0) {
      const message = `${name}: a ${item.vector ? "vector" : "text"}, allowed is what items[0] has, in one call`;
      throw new PplxEmbedError("invalid-argument", message);
    }
  }
  const all = vectors.length > 0 ? joined(vectors, (i) => () => `items[${i}].vector`) : undefined;
  return { ids, data, texts: all ? undefined : texts, vectors: all };
}

/** An object with an id, one thing it is made of, and nothing that would be lost. */
function checked(name: string, item: IndexItem): IndexItem {
  if (typeof item !== "object" || item === null) throw invalid(name, item, "an object: { id, text }, for example");
  const unknown = Object.keys(item).find((field) => !FIELDS.includes(field));
  if (unknown !== undefined) throw invalid(name, unknown, `${FIELDS.join(", ")}; what is to come back goes into data`);
  if (typeof item.id !== "string") throw invalid(`${name}.id`, item.id, "a string");
  const given = SORTS.filter((sort) => item[sort] !== undefined);
  if (given.length !== 1) {
    const has = given.join(" and ") || "nothing to find it by";
    throw new PplxEmbedError("invalid-argument", `${name}: has ${has}, allowed is one of ${SORTS.join(", ")}`);
  }
  return item;
}

function textOf(
  name: string,
  item: IndexItem,
  kind: RawIndexInfo["kind"],
  model: boolean,
): string | readonly string[] {
  const field = item.chunks === undefined ? "text" : "chunks";
  if (!model) {
    throw new PplxEmbedError("invalid-argument", `${name}.${field}: the index has no model, allowed is a vector`);
  }
  if (item.chunks === undefined) {
    if (typeof item.text !== "string") throw invalid(`${name}.text`, item.text, "a string");
    return item.text;
  }
  if (kind === "late") throw invalid(`${name}.chunks`, item.chunks, "none in a late index: one text");
  if (!Array.isArray(item.chunks)) throw invalid(`${name}.chunks`, item.chunks, "an array of strings");
  for (let j = 0; j < item.chunks.length; j++) {
    if (typeof item.chunks[j] !== "string") throw invalid(`${name}.chunks[${j}]`, item.chunks[j], "a string");
  }
  return item.chunks;
}

function vector(name: string, { vector: data, scales }: IndexItem, { kind, dimensions: dim }: RawIndexInfo): RawTokens {
  if (kind === "dense" && scales !== undefined) {
    throw invalid(`${name}.scales`, scales, "none in a dense index: a cosine does not see them");
  }
  const names = (field: string) => `${name}.${field === "scales" ? field : "vector"}`;
  const { count, ...numbers } = rows({ data: data as TokenArray, scales }, dim, names);
  return { ...numbers, offsets: Uint32Array.of(0, count), dim };
}

/** Data as JSON, which is how it is kept and comes back. */
function json(name: string, data: unknown): string | undefined {
  if (data === undefined) return undefined;
  let text: string | undefined;
  try {
    text = JSON.stringify(data);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new PplxEmbedError("invalid-argument", `${name}: is no JSON: ${why}`, { cause: error });
  }
  if (text === undefined) throw invalid(name, data, "JSON");
  return text;
}
