// The similarity of every query with every row: y[q, n]. What a similarity is, is up to shared/rows_*.wgsl.
//
// A thread takes one row against up to eight queries, whose sums it keeps in registers, so a row is read once for eight
// queries. The floor is memory: with one query, n rows of D dimensions cost n * D bytes of int8, 4 n D of float32 and
// n D / 8 of bits, and 4 n more that are written; 0.3 ms for a million rows of 1,024 int8 at 3.3 TB/s. A thread reads
// 16 bytes at a time. Its neighbours read other rows, so what a cache line brings is used up over the next few steps,
// and the cache has to hold a line for each thread. Queries are the same for all threads and come from the cache.
//
// One query has a loop of its own: with eight sums of which seven are for nothing, arithmetic would be the floor. No
// thread loops more than 16,384 times (65,536 float32 dimensions); llvmpipe ends loops after 65,535.

struct Params {
    stride: u32,       // elements of a row: 16 bytes each
    first_row: u32,    // the part of the work that this dispatch does
    end_row: u32,
    first_block: u32,  // in blocks of eight queries
    queries: u32,      // Q
    column_row: u32,   // the row that column 0 of y is of
    columns: u32,      // N
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> rows: array<vec4<u32>>;        // [rows, stride]
@group(0) @binding(3) var<storage, read_write> y: array<u32>;           // [Q, N]: i32, f32 or u32

const QUERIES = 8u;

fn store(query: u32, row: u32, sum: Sum) {
    if (query < params.queries) {
        y[query * params.columns + row - params.column_row] = bits_of(sum);
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = params.first_row + id.x;
    if (row >= params.end_row) {
        return;
    }
    let stride = params.stride;
    let start = row * stride;
    let first = (params.first_block + id.y) * QUERIES;
    let last = params.queries - 1u;
    let q0 = first * stride;
    if (first == last) {
        var sum = Sum();
        for (var k = 0u; k < stride; k++) {
            sum = add(sum, q0 + k, widened(rows[start + k]));
        }
        store(first, row, sum);
        return;
    }
    // Past the last query, the last again.
    let q1 = min(first + 1u, last) * stride;
    let q2 = min(first + 2u, last) * stride;
    let q3 = min(first + 3u, last) * stride;
    let q4 = min(first + 4u, last) * stride;
    let q5 = min(first + 5u, last) * stride;
    let q6 = min(first + 6u, last) * stride;
    let q7 = min(first + 7u, last) * stride;
    var s0 = Sum();
    var s1 = Sum();
    var s2 = Sum();
    var s3 = Sum();
    var s4 = Sum();
    var s5 = Sum();
    var s6 = Sum();
    var s7 = Sum();
    for (var k = 0u; k < stride; k++) {
        let element = widened(rows[start + k]);
        s0 = add(s0, q0 + k, element);
        s1 = add(s1, q1 + k, element);
        s2 = add(s2, q2 + k, element);
        s3 = add(s3, q3 + k, element);
        s4 = add(s4, q4 + k, element);
        s5 = add(s5, q5 + k, element);
        s6 = add(s6, q6 + k, element);
        s7 = add(s7, q7 + k, element);
    }
    store(first, row, s0);
    store(first + 1u, row, s1);
    store(first + 2u, row, s2);
    store(first + 3u, row, s3);
    store(first + 4u, row, s4);
    store(first + 5u, row, s5);
    store(first + 6u, row, s6);
    store(first + 7u, row, s7);
}
