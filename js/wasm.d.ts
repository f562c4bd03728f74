// What a bundler gives for `import wasmUrl from "pplx-embed-web/wasm"`: the address of the module, for `wasmUrl`.
declare const wasmUrl: string;
export default wasmUrl;
