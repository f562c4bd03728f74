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
    var q: array<u32, QUERIES>;
    for (var i = 0u; i < QUERIES; i++) {
        q[i] = min(first + i, last) * stride;
    }

    var s: array<Sum, QUERIES>;
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
                s[0] = add(s[0], q[0] + k + d, widened(stage[lane][d ^ (lane % DEPTH)]));
            }
        } else {
            for (var d = 0u; d < depth; d++) {
                let row = widened(stage[lane][d ^ (lane % DEPTH)]);
                for (var i = 0u; i < QUERIES; i++) {
                    s[i] = add(s[i], q[i] + k + d, row);
                }
            }
        }
    }

    let row = first_row + lane;
    if (row < params.end_row) {
        for (var i = 0u; i < QUERIES; i++) {
            if (first + i < params.queries) {
                y[(first + i) * params.columns + row - params.column_row] = bits_of(s[i]);
            }
        }
    }
}
