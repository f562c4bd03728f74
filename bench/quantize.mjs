// Measures the quantizer's error and time beside MLX's rule, and writes bench/results/quantize.json.
//   node bench/quantize.mjs "the machine, in words"
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";

const device = process.argv[2];
if (!device) throw new Error('usage: node bench/quantize.mjs "the machine, in words"');
const command = "cargo test --release --test native -- quantize:: --ignored --nocapture";
const root = new URL("..", import.meta.url);
const [program, ...rest] = command.split(" ");
const output = execFileSync(program, rest, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
const line = output.split("\n").find((l) => l.includes("RESULT "));
if (!line) throw new Error(`${command} printed no result`);
const results = {
  schema: 1,
  device,
  date: new Date().toISOString().slice(0, 10),
  command,
  note: "2^20 weights of mean 0 and scale 0.02; error is the root mean square of the errors in parts of that of the weights; scales and biases are F16 in both; t3 is Student's t with 3 degrees of freedom, outliers are 0.1 % of normal weights times 10; ns is nanoseconds a weight on one thread, the fastest of 9 runs (MLX's rule as written in this crate for comparison, not MLX's own code)",
  quantize: JSON.parse(line.slice(line.indexOf("RESULT ") + 7)),
};
writeFileSync(new URL("results/quantize.json", import.meta.url), `${JSON.stringify(results, null, 2)}\n`);
