// The similarity of every query with every row, as dense.wgsl, for GPUs that are there: rows come through workgroup
// memory, so that neighbouring lanes read neighbouring bytes. In dense.wgsl each lane reads a row of its own, and a cache
// has to hold a line for every lane.
//
// A workgroup takes 64 rows, 128 bytes of each at a time: eight lanes copy a row's, then each lane multiplies those of one
// row with up to eight queries. Where a lane finds them is shuffled by XOR, so that lanes do not meet in a bank. Sums are
// those of dense.wgsl, in the same order.

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
const ROWS = 64u;
const DEPTH = 8u;   // elements at a time

var<workgroup> stage: array<array<vec4<u32>, DEPTH>, ROWS>;

fn store(query: u32, row: u32, sum: Sum) {
    if (query < params.queries) {
        y[query * params.columns + row - params.column_row] = bits_of(sum);
    }
}

@compute @workgroup_size(ROWS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let stride = params.stride;
    let first_row = params.first_row + group.x * ROWS;
    let last_row = params.end_row - 1u;
    let first = (params.first_block + group.y) * QUERIES;
    let last = params.queries - 1u;

    // What a lane copies: an element of rows that are eight apart.
    let column = lane % DEPTH;
    let copied = lane / DEPTH;
    let shuffled = column ^ copied;
    var at: array<u32, DEPTH>;
    for (var i = 0u; i < DEPTH; i++) {
        at[i] = min(first_row + copied + i * DEPTH, last_row) * stride;
    }
    // Past the last query, the last again.
    let q0 = first * stride;
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
    for (var k = 0u; k < stride; k += DEPTH) {
        let element = min(k + column, stride - 1u);
        var brought: array<vec4<u32>, DEPTH>;
        for (var i = 0u; i < DEPTH; i++) {
            brought[i] = rows[at[i] + element];
        }
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i++) {
            stage[copied + i * DEPTH][shuffled] = brought[i];
        }
        workgroupBarrier();
        let depth = min(DEPTH, stride - k);
        if (first == last) {
            for (var d = 0u; d < depth; d++) {
                s0 = add(s0, q0 + k + d, widened(stage[lane][d ^ (lane % DEPTH)]));
            }
        } else {
            for (var d = 0u; d < depth; d++) {
                let row = widened(stage[lane][d ^ (lane % DEPTH)]);
                s0 = add(s0, q0 + k + d, row);
                s1 = add(s1, q1 + k + d, row);
                s2 = add(s2, q2 + k + d, row);
                s3 = add(s3, q3 + k + d, row);
                s4 = add(s4, q4 + k + d, row);
                s5 = add(s5, q5 + k + d, row);
                s6 = add(s6, q6 + k + d, row);
                s7 = add(s7, q7 + k + d, row);
            }
        }
    }

    let row = first_row + lane;
    if (row < params.end_row) {
        store(first, row, s0);
        store(first + 1u, row, s1);
        store(first + 2u, row, s2);
        store(first + 3u, row, s3);
        store(first + 4u, row, s4);
        store(first + 5u, row, s5);
        store(first + 6u, row, s6);
        store(first + 7u, row, s7);
    }
}
