// Loads "mini" by the package in the folder that is the argument, in a worker and, unless only that is wanted, in this thread,
// and prints how that ends.
const [folder, only] = process.argv.slice(2);
const outcomes = {};
for (const worker of only ? [true] : [true, false]) {
  try {
    const { load } = await import(`${folder}/index.js`);
    await import(`${folder}/mini.js`);
    const notices = [];
    const onProgress = (p) => p.stage === "notice" && notices.push(p.message);
    const model = await load("mini", { device: "cpu", threads: 2, worker, onProgress });
    await model.embed("a");
    // A load does not wait for helpers: their notice may come later.
    for (let left = 100; folder.endsWith("helper") && notices.length === 0 && left > 0; left--) await new Promise((next) => setTimeout(next, 50));
    await model.dispose();
    outcomes[worker] = { code: "none", message: notices.join("; ") };
  } catch ({ name, code, message }) {
    outcomes[worker] = { name, code, message };
  }
}
console.log(JSON.stringify(outcomes));
