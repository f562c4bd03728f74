// What the snippets of the documentation take as given (snippets.test.mjs).
type Package = typeof import("pplx-embed-web");

declare const load: Package["load"];
declare const cache: Package["cache"];
declare const createIndex: Package["createIndex"];
declare const openIndex: Package["openIndex"];
declare const cosineSimilarity: Package["cosineSimilarity"];
declare const hamming: Package["hamming"];
declare const maxsim: Package["maxsim"];
declare const explainMaxsim: Package["explainMaxsim"];
declare const listIndexes: Package["listIndexes"];
declare const PplxEmbedError: Package["PplxEmbedError"];
declare const model: import("pplx-embed-web").Model;
declare const index: import("pplx-embed-web").SearchIndex;
declare const id: string;
declare const text: string;
declare const texts: string[];
declare const report: string;
declare function showHelp(message: string): void;

/** TypeScript knows pages and service workers, but not both at once. */
interface WindowEventMap {
  fetch: Event & { readonly request: Request; respondWith(response: Promise<Response>): void };
}
