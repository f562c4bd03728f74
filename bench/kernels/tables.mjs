// The tables of docs/gpu.md, from bench/results/kernels.json.

/** So many digits of a number, in full. */
const number = (value, digits) => Number(value.toPrecision(digits)).toLocaleString("en-US");

/** What each kernel costs on GPUs that were not there. */
export function kernelTable({ counts }, table) {
  const found = (value) => value ?? "";
  const rows = counts.map(({ name, software, chips }) => {
    const { "RDNA 3": amd, "RDNA 4": next, Ampere: nvidia = {}, Xe: intel = {} } = chips;
    return [
      `\`${name}\`${software ? " (for software adapters)" : ""}`, found(amd.maddsAVector), found(amd.checked), found(amd.bufferBytes),
      found(amd.workgroupBytes), amd.registers, amd.waves, amd.spills, found(next.maddsAVector), found(nvidia.registers), found(intel.registers),
      found(intel.spills),
    ];
  });
  const head = [
    "kernel", "RDNA 3: multiply-adds a vector instruction", "with wgpu's checks", "bytes from buffers each", "from workgroup memory each",
    "registers", "waves", "spills", "RDNA 4: multiply-adds a vector instruction", "Ampere: registers", "Xe: live registers", "Xe: spills",
  ];
  return table(head, rows);
}

/** The least time that a pass can take on three GPUs, by what they are said to reach. */
export function floorTable({ floors, gpus }, table) {
  const rows = floors.filter(({ weights }) => weights === "q8").map(({ model, tokens, kernels }) => {
    const sum = (of) => kernels.reduce((total, kernel) => total + of(kernel), 0);
    const linear = kernels.filter(({ kernel }) => ["q, k, v", "output", "gate and up", "down"].includes(kernel));
    const attention = kernels.find(({ kernel }) => kernel === "attention");
    const share = linear.reduce((total, { operations }) => total + operations, 0);
    return [
      model, tokens.toLocaleString("en-US"), number(share / 1e9, 3), number(attention.operations / 1e9, 3),
      number(sum(({ bytes }) => bytes) / 1e6, 3), ...gpus.map(({ name }) => number(sum(({ seconds }) => seconds[name]) * 1e3, 2)),
    ];
  });
  const head = ["model", "tokens", "linear layers, GFLOP", "attention, GFLOP", "memory, MB", ...gpus.map(({ name }) => `${name}, ms`)];
  return table(head, rows);
}
