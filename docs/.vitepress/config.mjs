// The documentation as a site, from the same Markdown files that the repository shows. `make docs` builds it.
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** For those who use the package, in the order of the sidebar. */
const GUIDE = [
  ["Loading", "loading"],
  ["Node, Deno and Bun", "hosts"],
  ["The processor", "cpu"],
  ["Model files", "formats"],
  ["Embedding", "embedding"],
  ["Searching", "search"],
  ["Context and late interaction", "late-interaction"],
  ["Command line", "command-line"],
];
const REFERENCE = [
  ["Errors", "errors"],
  ["Evaluating", "evaluating"],
  ["Measured", "measured"],
  ["Benchmarks", "benchmarks"],
  ["Privacy and security", "threats"],
  ["Questions", "questions"],
];
const page = ([text, name]) => ({ text, link: `/docs/${name}` });
/** Made by other tools beside these pages: a plain link, which VitePress neither resolves nor checks. */
const beside = (text, link) => ({ text, link, target: "_self", rel: "" });

export default {
  title: "pplx-embed-web",
  description: "Perplexity's pplx-embed models in a browser tab, on the user's own GPU",
  srcDir: ROOT,
  srcExclude: ["{bench,dist,js,node_modules,scripts,shaders,src,target,tests,www}/**", "models/demo/**"],
  outDir: `${ROOT}/target/site`,
  cacheDir: `${ROOT}/target/vitepress`,
  rewrites: { "README.md": "index.md" },
  // A folder of files without a server's help: page.html, and no links to lists of changes.
  cleanUrls: false,
  base: process.env.SITE_BASE ?? "/",
  head: [["link", { rel: "icon", href: `${process.env.SITE_BASE ?? "/"}icon.svg`, type: "image/svg+xml" }]],
  vite: { publicDir: fileURLToPath(new URL("public", import.meta.url)) },
  ignoreDeadLinks: false,
  themeConfig: {
    search: { provider: "local" },
    outline: [2, 3],
    nav: [
      { text: "Guide", link: "/docs/loading" },
      { text: "Errors", link: "/docs/errors" },
      { text: "API", items: [beside("JavaScript", "/api/js/index.html"), beside("Rust", "/api/rust/pplx_embed/index.html")] },
    ],
    sidebar: [
      { text: "Start", items: [{ text: "What it is", link: "/" }] },
      { text: "Guide", items: GUIDE.map(page) },
      { text: "Reference", items: REFERENCE.map(page) },
      {
        text: "Project",
        items: [
          { text: "The model mini", link: "/models/mini/README" },
          { text: "Contributing", link: "/CONTRIBUTING" },
          { text: "Architecture", link: "/ARCHITECTURE" },
          { text: "Changes", link: "/CHANGELOG" },
        ],
      },
    ],
  },
};
