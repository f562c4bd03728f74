export default {
  serverExternalPackages: ["pplx-embed-web"], // as docs/hosts.md says, for the route
  turbopack: { root: import.meta.dirname }, // only because this app lies in the folder of another project
};
