// Runs one job in a process of its own, which prints its result in a last line "RESULT {json}".
import { spawn } from "node:child_process";

/** Everything that a process has printed; it is ended after `seconds`. */
export function output(command, parameters, { seconds, env, cwd, input } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, parameters, { cwd, env: { ...process.env, ...env } });
    let [out, error, late] = ["", "", false];
    const timer = setTimeout(() => ((late = true), child.kill("SIGKILL")), 1000 * seconds);
    child.stdout.on("data", (data) => (out += data));
    child.stderr.on("data", (data) => (error += data));
    child.once("error", reject);
    child.stdin.on("error", () => {}); // it may end before it has read anything
    child.stdin.end(input);
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      if (late) reject(new Error(`no result within ${seconds} s`));
      else if (code !== 0) reject(new Error(`exit ${code ?? signal}: ${complaint(error || out)}`));
      else resolve(out);
    });
  });
}

/** The line that says what was wrong: the first that speaks of an error, or else the last. */
function complaint(text) {
  const lines = text.trim().split("\n");
  return (lines.find((line) => /error/i.test(line) && !/^\s+at /.test(line)) ?? lines.at(-1)).trim();
}

export async function runChild(command, parameters, options) {
  const line = (await output(command, parameters, options)).split("\n").findLast((text) => text.startsWith("RESULT "));
  if (!line) throw new Error("it printed no result");
  return JSON.parse(line.slice("RESULT ".length));
}
