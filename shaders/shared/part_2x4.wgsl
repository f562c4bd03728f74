// A subgroup's part of a large tile of cooperative.wgsl: 2 x 4 matrices of sums, for which it loads six others a step.
const PARTS_T = 2u;     // parts of a tile over tokens
const PART_T = 2u;      // matrices of a part over tokens
const PART_N = 4u;      // and over outputs

struct Sums {
    a0: Sum, a1: Sum, a2: Sum, a3: Sum,
    b0: Sum, b1: Sum, b2: Sum, b3: Sum,
}

// With the products of SIZE values of K of the rows that begin at x and w.
fn with_products(c: Sums, x: u32, w: u32) -> Sums {
    let a = left(x);
    let b = left(x + SIZE * ROW);
    let w0 = right(w);
    let w1 = right(w + SIZE * ROW);
    let w2 = right(w + SIZE * ROW * 2u);
    let w3 = right(w + SIZE * ROW * 3u);
    return Sums(
        coopMultiplyAdd(a, w0, c.a0), coopMultiplyAdd(a, w1, c.a1), coopMultiplyAdd(a, w2, c.a2), coopMultiplyAdd(a, w3, c.a3),
        coopMultiplyAdd(b, w0, c.b0), coopMultiplyAdd(b, w1, c.b1), coopMultiplyAdd(b, w2, c.b2), coopMultiplyAdd(b, w3, c.b3),
    );
}

// Row i of the matrices, from `at` on.
fn put_sums(c: Sums, i: u32, at: u32) {
    if (i == 0u) {
        put(c.a0, at);
        put(c.a1, at + SIZE);
        put(c.a2, at + SIZE * 2u);
        put(c.a3, at + SIZE * 3u);
    } else {
        put(c.b0, at);
        put(c.b1, at + SIZE);
        put(c.b2, at + SIZE * 2u);
        put(c.b3, at + SIZE * 3u);
    }
}
