// Only because this app lies in the folder of another project.
export default { turbopack: { root: import.meta.dirname } };
