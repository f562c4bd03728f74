// The sums of a thread of matmul.wgsl or swiglu.wgsl: eight tokens with eight rows of w.
//
// The barrier-free register tile, for software adapters: there is no shared memory, because barriers are what makes tiled
// kernels collapse on them. A thread reads one vec4 of K from each of its rows of x and w at each step and does 256
// multiply-adds on them. With four token rows as the columns of a matrix X, `w * X` is the four dot products of one row of
// w at once. Each output is one chain of additions over K in ascending order, whatever the tile, so a token's bits do not
// depend on its neighbours.
//
// How a weight is stored is for shared/weight_*.wgsl to know: `group` reads what a group of a row shares, `weight4` four
// weights of it as f32, `part_of` what those at one place of all rows have in common. A dense weight is one group as long
// as the row.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;   // [T, K/4]

const TOKENS = 8u;

// The sums of each of eight rows of w: tokens 0 to 3, and 4 to 7.
struct Tile {
    low: array<vec4<f32>, 8>,
    high: array<vec4<f32>, 8>,
}

fn tokens4(at: vec4<u32>) -> mat4x4<f32> {
    return mat4x4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]);
}

// The sums of eight tokens from `row` on with eight rows of w. Tokens past the last repeat it, and are not stored:
// cheaper than a branch in the loop, and never out of bounds. Variables are vec4s: SwiftShader keeps larger ones in memory.
fn tile_of(row: u32, first: vec4<u32>, second: vec4<u32>) -> Tile {
    let last = vec4<u32>(params.rows - 1u);
    let k4 = params.k4;
    let x_low = min(row + vec4<u32>(0u, 1u, 2u, 3u), last) * k4;
    let x_high = min(row + vec4<u32>(4u, 5u, 6u, 7u), last) * k4;
    let a = first * k4;
    let b = second * k4;
    var y0 = vec4<f32>();
    var y1 = vec4<f32>();
    var y2 = vec4<f32>();
    var y3 = vec4<f32>();
    var y4 = vec4<f32>();
    var y5 = vec4<f32>();
    var y6 = vec4<f32>();
    var y7 = vec4<f32>();
    var z0 = vec4<f32>();
    var z1 = vec4<f32>();
    var z2 = vec4<f32>();
    var z3 = vec4<f32>();
    var z4 = vec4<f32>();
    var z5 = vec4<f32>();
    var z6 = vec4<f32>();
    var z7 = vec4<f32>();
    for (var g = 0u; g < row_groups(); g++) {
        let g0 = group(first.x, g);
        let g1 = group(first.y, g);
        let g2 = group(first.z, g);
        let g3 = group(first.w, g);
        let g4 = group(second.x, g);
        let g5 = group(second.y, g);
        let g6 = group(second.z, g);
        let g7 = group(second.w, g);
        let end = group_end(g);
        for (var k = group_start(g); k < end; k++) {
            let part = part_of(k);
            let low = tokens4(x_low + k);
            let high = tokens4(x_high + k);
            let w0 = weight4(a.x + k, part, g0);
            y0 += w0 * low;
            z0 += w0 * high;
            let w1 = weight4(a.y + k, part, g1);
            y1 += w1 * low;
            z1 += w1 * high;
            let w2 = weight4(a.z + k, part, g2);
            y2 += w2 * low;
            z2 += w2 * high;
            let w3 = weight4(a.w + k, part, g3);
            y3 += w3 * low;
            z3 += w3 * high;
            let w4 = weight4(b.x + k, part, g4);
            y4 += w4 * low;
            z4 += w4 * high;
            let w5 = weight4(b.y + k, part, g5);
            y5 += w5 * low;
            z5 += w5 * high;
            let w6 = weight4(b.z + k, part, g6);
            y6 += w6 * low;
            z6 += w6 * high;
            let w7 = weight4(b.w + k, part, g7);
            y7 += w7 * low;
            z7 += w7 * high;
        }
    }
    return Tile(
        array<vec4<f32>, 8>(y0, y1, y2, y3, y4, y5, y6, y7),
        array<vec4<f32>, 8>(z0, z1, z2, z3, z4, z5, z6, z7),
    );
}

// The sums of four tokens with an output; `store` is the kernel's.
fn store_tokens(row: u32, col: u32, values: vec4<f32>) {
    store(row, col, values.x);
    store(row + 1u, col, values.y);
    store(row + 2u, col, values.z);
    store(row + 3u, col, values.w);
}
