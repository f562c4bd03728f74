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

// Of one output: tokens 0 to 3, and 4 to 7.
struct Sums {
    low: vec4<f32>,
    high: vec4<f32>,
}

// Of four rows of w.
struct Quad {
    a: Sums,
    b: Sums,
    c: Sums,
    d: Sums,
}

struct Groups {
    a: Group,
    b: Group,
    c: Group,
    d: Group,
}

struct Tile {
    a: Quad,
    b: Quad,
}

fn groups_of(rows: vec4<u32>, g: u32) -> Groups {
    return Groups(group(rows.x, g), group(rows.y, g), group(rows.z, g), group(rows.w, g));
}

fn tokens4(at: vec4<u32>) -> mat4x4<f32> {
    return mat4x4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]);
}

fn sum(s: Sums, w: vec4<f32>, low: mat4x4<f32>, high: mat4x4<f32>) -> Sums {
    return Sums(s.low + w * low, s.high + w * high);
}

fn quad(s: Quad, at: vec4<u32>, part: Part, by: Groups, low: mat4x4<f32>, high: mat4x4<f32>) -> Quad {
    return Quad(
        sum(s.a, weight4(at.x, part, by.a), low, high), sum(s.b, weight4(at.y, part, by.b), low, high),
        sum(s.c, weight4(at.z, part, by.c), low, high), sum(s.d, weight4(at.w, part, by.d), low, high),
    );
}

// The sums of eight tokens from `row` on with two times four rows of w. Tokens past the last repeat it, and are not
// stored: cheaper than a branch in the loop, and never out of bounds.
fn tile_of(row: u32, a: vec4<u32>, b: vec4<u32>) -> Tile {
    let last = vec4<u32>(params.rows - 1u);
    let k4 = params.k4;
    let x_low = min(row + vec4<u32>(0u, 1u, 2u, 3u), last) * k4;
    let x_high = min(row + vec4<u32>(4u, 5u, 6u, 7u), last) * k4;
    let a_at = a * k4;
    let b_at = b * k4;
    var y = Tile();
    for (var g = 0u; g < row_groups(); g++) {
        let by_a = groups_of(a, g);
        let by_b = groups_of(b, g);
        let end = group_end(g);
        for (var k = group_start(g); k < end; k++) {
            let part = part_of(k);
            let low = tokens4(x_low + k);
            let high = tokens4(x_high + k);
            y = Tile(quad(y.a, a_at + k, part, by_a, low, high), quad(y.b, b_at + k, part, by_b, low, high));
        }
    }
    return y;
}
