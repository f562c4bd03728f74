// A subgroup's part of a small tile of cooperative.wgsl: 1 x 2 matrices of sums.
const PARTS_T = 1u;     // parts of a tile over tokens
const PART_T = 1u;      // matrices of a part over tokens
const PART_N = 2u;      // and over outputs

struct Sums {
    a0: Sum, a1: Sum,
}

// With the products of SIZE values of K of the rows that begin at x and w.
fn with_products(c: Sums, x: u32, w: u32) -> Sums {
    let a = left(x);
    return Sums(coopMultiplyAdd(a, right(w), c.a0), coopMultiplyAdd(a, right(w + SIZE * ROW), c.a1));
}

// Row i of the matrices, from `at` on: there is one.
fn put_sums(c: Sums, i: u32, at: u32) {
    put(c.a0, at);
    put(c.a1, at + SIZE);
}
