// Items to add to an index, checked.

import type { AddItemsRequest, RawVectors } from "../engine/calls.js";
import * as check from "../check.js";
import { invalid, PplxEmbedError, reason } from "../errors.js";
import type { IndexInfo } from "../types.js";
import { joined, rows, type TokenArray } from "../vectors/token-vectors.js";

/**
 * An item to add to an index: its id, its content (one of `text`, `chunks` and `vector`), and the data that comes back
 * with hits. Either all items of a call have a `vector`, or none has.
 */
export type IndexItem<Data = any> = {
  /** 1 to 1,024 bytes in UTF-8, different from that of every other item. */
  id: string;
  /** Anything that JSON can hold, up to 64 KiB as JSON. */
  data?: Data | undefined;
} & (
  | { text: string; chunks?: undefined; vector?: undefined; scales?: undefined }
  | {
      /**
       * One row for each chunk; the best one gives the item's score. A context model reads them as one document. Only for
       * dense indexes.
       */
      chunks: readonly string[];
      text?: undefined;
      vector?: undefined;
      scales?: undefined;
    }
  | {
      /** Rows of D numbers, one after another: one for each chunk of a dense item, or each token of a late one. */
      vector: TokenArray;
      /** For int8 rows of a late index: one factor for each row. */
      scales?: Float32Array | undefined;
      text?: undefined;
      chunks?: undefined;
    }
);

const FIELDS = ["id", "data", "text", "chunks", "vector", "scales"] as const;
/** The fields of an item, which a caller may have set to anything. */
type Fields = { [K in (typeof FIELDS)[number]]?: unknown } & { id: string };
const SORTS = ["text", "chunks", "vector"] as const;

/** The request that adds items. `model` says whether the index has a model. */
export function addRequest(
  items: readonly IndexItem[],
  info: IndexInfo,
  model: boolean,
): Omit<AddItemsRequest, "index" | "upsert"> {
  const list = check.array("items", items);
  if (!list) throw invalid("items", items, "an array of items");
  const ids: string[] = [];
  const data: (string | undefined)[] = [];
  const texts: (string | readonly string[])[] = [];
  const vectors: RawVectors[] = [];
  for (const [i, given] of list.entries()) {
    const name = `items[${i}]`;
    const item = checked(name, given);
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

/** Checks that an item has an id, exactly one content, and no unknown fields. */
function checked(name: string, given: unknown): Fields {
  if (typeof given !== "object" || given === null) throw invalid(name, given, "an object, for example { id, text }");
  const names = check.readable(name, "an object", () => Object.keys(given));
  const unknown = names.find((field) => !(FIELDS as readonly string[]).includes(field));
  if (unknown !== undefined) throw invalid(name, unknown, `${FIELDS.join(", ")}; put other fields into data`);
  const item: { [K in keyof Fields]?: unknown } = check.fields(name, given as Fields, FIELDS);
  if (typeof item.id !== "string") throw invalid(`${name}.id`, item.id, "a string");
  const sorts = SORTS.filter((sort) => item[sort] !== undefined);
  if (sorts.length !== 1) {
    const has = sorts.join(" and ") || "no content";
    throw new PplxEmbedError("invalid-argument", `${name}: has ${has}, allowed is one of ${SORTS.join(", ")}`);
  }
  return item as Fields;
}

function textOf(
  name: string,
  item: Fields,
  kind: IndexInfo["kind"],
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
  if (kind === "late") throw invalid(`${name}.chunks`, item.chunks, "undefined in a late index: use text");
  if (typeof item.chunks === "string") throw invalid(`${name}.chunks`, item.chunks, "an array of strings");
  return check.strings(`${name}.chunks`, item.chunks as readonly string[], "an array of strings");
}

function vector(name: string, { vector: data, scales }: Fields, { kind, dimensions: dim }: IndexInfo): RawVectors {
  if (kind === "dense" && scales !== undefined) {
    throw invalid(`${name}.scales`, scales, "undefined in a dense index: they do not change a cosine");
  }
  const names = (field: string) => `${name}.${field === "scales" ? field : "vector"}`;
  const { count, ...numbers } = rows({ data, scales }, dim, names);
  return { ...numbers, offsets: Uint32Array.of(0, count), dim };
}

/** Data as JSON. The index keeps it in this form. */
function json(name: string, data: unknown): string | undefined {
  if (data === undefined) return undefined;
  let text: string | undefined;
  try {
    text = JSON.stringify(data);
  } catch (error) {
    const message = `${name}: cannot be turned into JSON: ${reason(error)}`;
    throw new PplxEmbedError("invalid-argument", message, { cause: error });
  }
  if (text === undefined) throw invalid(name, data, "JSON");
  return text;
}
