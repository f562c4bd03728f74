// What the steady state of a kernel is made of, from AMD's assembly: the loops that the compiler left, each weighted by how
// often it runs, along the path with most multiply-adds.

const VECTOR = /^v_/;

/** Multiply-adds that an instruction does for a lane: a dot product of four bytes counts four. */
function multiplyAdds(op) {
  if (op.startsWith("v_dot4")) return 4;
  if (op.startsWith("v_pk_fma")) return 2;
  return /fma|_mac_|_mad_f/.test(op) ? 1 : 0;
}

function bytes(op) {
  const each = /b128|x4/.test(op) ? 16 : /b96|x3/.test(op) ? 12 : /b64|x2/.test(op) ? 8 : /u8|ubyte|i8/.test(op) ? 1 : /u16|ushort|d16|b16/.test(op) ? 2 : 4;
  return each * (/2addr|read2|load_2/.test(op) ? 2 : 1);
}

const none = () => ({ madds: 0, vector: 0, buffer: 0, workgroup: 0 });
const plus = (a, b, times = 1) => Object.fromEntries(Object.keys(a).map((key) => [key, a[key] + b[key] * times]));

/** Basic blocks: what each has, where it goes, and whether it may be skipped lane by lane. */
function blocksOf(assembly) {
  const blocks = [];
  const labels = new Map();
  let block;
  const begin = () => blocks.push((block = { own: none(), next: [], lanes: false, stores: false }));
  begin();
  for (const line of assembly.split("\n")) {
    const label = /^(BB\d+):/.exec(line);
    if (label) {
      begin();
      labels.set(label[1], blocks.length - 1);
      continue;
    }
    // Two instructions that are issued together are joined by `::`, each counts.
    for (const half of line.trim().split("::")) {
      const op = half.trim().split(/\s/)[0];
      if (VECTOR.test(op)) block.own = plus(block.own, { ...none(), madds: multiplyAdds(op), vector: 1 });
      if (/^(buffer|global)_load/.test(op)) block.own.buffer += bytes(op);
      if (/^ds_(load|read)/.test(op)) block.own.workgroup += bytes(op);
      if (/^(ds_|s_barrier)/.test(op)) block.stores = true;
    }
    const branch = /^\s*(s_c?branch\w*)\s+(BB\d+)/.exec(line);
    if (branch) {
      block.next.push(branch[2]);
      block.lanes = /execz/.test(branch[1]);
      block.always = branch[1] === "s_branch";
      begin();
    }
    if (/^\s*s_endpgm/.test(line)) {
      block.always = true;
      begin();
    }
  }
  blocks.forEach((b, i) => {
    b.next = b.next.map((label) => labels.get(label));
    if (!b.always && i + 1 < blocks.length) b.next.unshift(i + 1);
  });
  return blocks;
}

/** The loops as a tree: first and last block of each, and those inside. */
function loopsOf(blocks) {
  const ends = new Map();
  blocks.forEach((b, i) => b.next.filter((to) => to <= i).forEach((to) => ends.set(to, Math.max(i, ends.get(to) ?? 0))));
  const roots = [];
  const open = [];
  for (const [from, to] of [...ends].sort((a, b) => a[0] - b[0])) {
    while (open.length > 0 && open.at(-1).to < from) open.pop();
    const loop = { from, to, inner: [] };
    (open.at(-1)?.inner ?? roots).push(loop);
    open.push(loop);
  }
  return roots;
}

const hasMadds = (blocks, { from, to }) => blocks.slice(from, to + 1).some((b) => b.own.madds > 0);

/**
 * One iteration of a loop along its best path. `shape.madds` is how many useful multiply-adds all iterations of it do within
 * one of the loop around it, which gives how many they are; `shape.loops` says the same of the loops inside, in order.
 */
function iteration(blocks, loop, shape, rare) {
  const shapes = [...(shape.loops ?? [])];
  const inside = new Map();
  for (const inner of loop.inner) {
    const of = hasMadds(blocks, inner) ? shapes.shift() : undefined;
    const one = iteration(blocks, inner, of ?? {}, rare);
    const times = of ? Math.max(1, Math.round(of.madds / one.madds)) : (shape.others ?? 1);
    inside.set(inner.from, { to: inner.to, tally: plus(none(), one, times) });
  }
  // Longest path from the head back to it; blocks are in topological order once the loops inside are one step each.
  const best = new Map([[loop.from, none()]]);
  let result;
  for (let i = loop.from; i <= loop.to; i++) {
    const before = best.get(i);
    if (!before) continue;
    const inner = inside.get(i);
    const after = plus(before, inner ? inner.tally : blocks[i].own);
    const out = inner
      ? blocks.slice(i, inner.to + 1).flatMap((b) => b.next).filter((to) => to > inner.to)
      : blocks[i].next;
    const b = blocks[i];
    for (const [at, to] of out.entries()) {
      let reached = after;
      if (!inner && b.lanes && at === 0 && out.length === 2 && out[1] > i) {
        // Lanes may skip what follows. If it stores nothing, it is what is done once for a group of weights.
        const skipped = blocks.slice(i + 1, out[1]);
        if (!skipped.some((s) => s.stores)) {
          const own = skipped.reduce((sum, s) => plus(sum, s.own), none());
          const landed = plus(after, own, rare);
          if (better(landed, best.get(out[1]))) best.set(out[1], landed);
          break;
        }
      } else if (!inner && b.lanes && at === 1) continue;
      if (to === loop.from) {
        if (better(reached, result)) result = reached;
      } else if (to > i && to <= loop.to && better(reached, best.get(to))) best.set(to, reached);
    }
  }
  return result ?? none();
}

const better = (a, b) => !b || a.madds > b.madds || (a.madds === b.madds && a.vector > b.vector);

/** Multiply-adds a vector instruction and bytes a multiply-add in the steady state, that of the loop with most of them. */
export function steadyState(assembly, shape) {
  const blocks = blocksOf(assembly);
  const madds = ({ from, to }) => blocks.slice(from, to + 1).reduce((sum, b) => sum + b.own.madds, 0);
  const outer = loopsOf(blocks).filter((loop) => hasMadds(blocks, loop)).sort((a, b) => madds(b) - madds(a))[0];
  if (!outer) return null;
  const one = iteration(blocks, outer, shape, shape.rare ?? 1);
  const times = Math.max(1, Math.round(shape.madds / one.madds));
  const per = (value) => (value * times) / shape.madds;
  return { maddsAVector: 1 / per(one.vector), bufferBytes: per(one.buffer), workgroupBytes: per(one.workgroup) };
}
