// What runs in the tests' pages beside the package.
export * from "/dist/index.js";

/** How `promise` fails, and after how many milliseconds. */
export async function failure(promise) {
  const start = performance.now();
  try {
    await promise;
  } catch (error) {
    const { name, code, message } = error;
    return { name, code, message, ms: performance.now() - start };
  }
  return { code: "none: it succeeded" };
}

/** Embeddings as what can leave the page. */
export function plain({ data, shape, dtype, dimensions, usage }) {
  return { type: data.constructor.name, data: [...data], shape, dtype, dimensions, usage };
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
