// From the results of single runs to a row for each engine and form of the weights.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const round = (value, digits) => (Number.isFinite(value) ? Number(value.toFixed(digits)) : undefined);
/** 1 - cosine matters, so that many digits are kept as it needs. */
const cosineOf = (value) => Number((1 - Number((1 - value).toPrecision(3))).toPrecision(15));

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const last = sorted.length - 1;
  return (sorted[last >> 1] + sorted[(last + 1) >> 1]) / 2;
}

/** Useful work: the matrix products of the layers for the tokens there are. `shape` is that of cases.json. */
function operations(shape, tokens) {
  const [hidden, dim, layers] = [shape.hidden_size, shape.head_dim, shape.num_hidden_layers];
  const [query, keys] = [shape.num_attention_heads * dim, shape.num_key_value_heads * dim];
  const weights = hidden * (2 * query + 2 * keys + 3 * shape.intermediate_size);
  return layers * (2 * tokens * weights + 4 * tokens * tokens * query);
}

/** Of the median of each round: their median, and how far they are apart. */
function spread(rounds, digits = 2) {
  const medians = rounds.map(({ times }) => median(times));
  return {
    median_ms: round(median(medians), digits), least_ms: round(Math.min(...medians), digits),
    most_ms: round(Math.max(...medians), digits), runs: rounds.reduce((sum, { times }) => sum + times.length, 0),
  };
}

/** A row: `results` are what an engine gave in each round, `cases` and `shape` are those of cases.json. */
export function embeddingRow(results, { cases, shape }, sizes) {
  const names = Object.keys(results[0].cases);
  const row = {
    load_ms: round(median(results.map(({ load_ms }) => load_ms)), 0),
    first_ms: round(median(results.map(({ first_ms }) => first_ms)), 1),
    peak_mib: round(median(results.map(({ peak_bytes }) => peak_bytes ?? NaN)) / 2 ** 20, 0),
    ...(results[0].files && shipped(results[0].files, sizes)),
    cases: {},
  };
  for (const name of names) {
    const rounds = results.map(({ cases }) => cases[name]);
    const lengths = cases[name].map(({ ids }) => ids.length);
    const tokens = lengths.reduce((a, b) => a + b);
    const times = spread(rounds);
    row.cases[name] = {
      tokens, ...times,
      tokens_per_s: round((1000 * tokens) / times.median_ms, 0),
      gflops: round(lengths.reduce((sum, n) => sum + operations(shape, n), 0) / times.median_ms / 1e6, 1),
      cosine: cosineOf(Math.min(...rounds.map(({ cosine }) => cosine))),
      ...(rounds[0].batch && { batch: rounds[0].batch }),
    };
  }
  return row;
}

export function taskRow(results) {
  const [first] = results;
  const extra = ["load_ms", "search_ms"].filter((key) => first[key] !== undefined);
  const medians = Object.fromEntries(extra.map((key) => [key, round(median(results.map((result) => result[key])), 1)]));
  return { ...spread(results), ...medians, items: first.items, tokens: first.tokens };
}

/** Bytes of the scripts and modules that came to the page, and of the model. */
function shipped(files, sizes) {
  const total = { raw: 0, gzip: 0, brotli: 0 };
  let model = 0;
  for (const [file, bytes] of files) {
    if (/\/bench\/compare\/page\/|cases\.json$/.test(file)) continue;
    if (!/\/node_modules\/|\/dist\//.test(file)) model += bytes;
    else for (const [form, size] of Object.entries(sizes.of(file))) total[form] += size;
  }
  return { engine_bytes: total, model_bytes: model };
}

/** The best quality, 11, saves 5 % more and takes minutes for the rivals' modules. */
const BROTLI_QUALITY = 9;

/** Sizes of files as they are and compressed, remembered in `path`. */
export function compressedSizes(path) {
  const known = existsSync(path) ? JSON.parse(readFileSync(path)) : {};
  return {
    of(file) {
      const data = readFileSync(file);
      const key = createHash("sha256").update(data).digest("hex");
      if (!known[key]) {
        const params = { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY };
        known[key] = { raw: data.length, gzip: gzipSync(data, { level: 9 }).length, brotli: brotliCompressSync(data, { params }).length };
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, JSON.stringify(known));
      }
      return known[key];
    },
  };
}
