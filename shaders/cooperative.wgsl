// Linear layers by cooperative matrices, which a subgroup multiplies in one instruction: a tile of TOKENS x 128 sums for a
// workgroup, a part of PART_T x PART_N matrices of them for a subgroup.
//
// x has been rounded to halves by halve_rows.wgsl, with a power of two for each row so that none overflows; weights are widened,
// scaled and rounded to halves here, once a tile. A step is 32 values of K, two units of 16, of which the blocks of the weights have
// one, two or four: the workgroup copies its rows of both to workgroup memory, and each subgroup multiplies what its part needs.
// Sums are f32. In the order of K they are the same in all tiles, whatever an instruction does within its own values of K.
//
// Matrices can only be loaded and stored whole. So at the end the sums go through workgroup memory, a row of each part's
// matrices at a time, to the lanes, which do with four tokens and eight outputs what those of int8.wgsl do.
//
// A device's subgroups may have several sizes. The host gives the workgroup so many lanes that there are enough of the largest;
// those too many do what the last does, and store the same.
struct Halves {
    low: vec4<f16>,
    high: vec4<f16>,
}
@group(0) @binding(1) var<storage, read> x: array<Halves>;  // [T, 2 * units, rounded up to 4, + 1]: the last is the row's scale

override LANES: u32 = 128u;     // FEWEST, or as many as SUBGROUPS have
const FEWEST = 128u;
const SUBGROUPS = PARTS_T * PARTS_N;

const OUTPUTS = 128u;
const TOKENS = PARTS_T * PART_T * SIZE;
const PARTS_N = OUTPUTS / PART_N / SIZE;
const LANES_N = 16u;            // lanes over outputs, at the end
const ROWS = PARTS_T * SIZE;    // rows of sums that go through workgroup memory at a time

const ROW = 10u;                // vec4s of a staged row: 32 values of K, and 8 more, so that rows begin in different banks
const LINE = OUTPUTS + 4u;
const QUADS = OUTPUTS / 4u;
const PIECES = 8u / HALVES;     // of a quad of outputs in a step
const X_LOADS = (TOKENS * 4u + FEWEST - 1u) / FEWEST;
const W_LOADS = QUADS * PIECES / FEWEST;

var<workgroup> sums: array<f32, ROWS * LINE>;

fn put(c: Sum, at: u32) {
    // Names of their own, because naga 30 fails where a store's arguments are expressions.
    let to = at;
    let line = LINE;
    coopStoreT(c, &sums[to], line);
}

// What a lane tells those of the same tokens, once all have read their sums.
fn keep(n: u32, quad: u32, value: vec4<f32>) {
    let at = (n * (ROWS / 4u) + quad) * 4u;
    sums[at] = value.x;
    sums[at + 1u] = value.y;
    sums[at + 2u] = value.z;
    sums[at + 3u] = value.w;
}

fn kept(n: u32, quad: u32) -> vec4<f32> {
    return quad_at((n * (ROWS / 4u) + quad) * 4u);
}

fn quad_at(at: u32) -> vec4<f32> {
    return vec4<f32>(sums[at], sums[at + 1u], sums[at + 2u], sums[at + 3u]);
}

// A row's scale, of which each half is a byte.
fn scale_of(row: u32) -> f32 {
    let bytes = vec4<u32>(x[row].low) << vec4<u32>(0u, 8u, 16u, 24u);
    return bitcast<f32>(bytes.x | bytes.y | bytes.z | bytes.w);
}

// Four values of K of an output.
fn widened(word: u32, scale: f32, bias: f32) -> vec4<f16> {
    return vec4<f16>(fma(vec4<f32>(unpack4xI8(word)), vec4<f32>(scale), vec4<f32>(bias)));
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let span = params.group4 / 4u;
    let shift = span / 2u;          // of 1, 2 or 4
    let units = params.groups * span;
    let row = group.y * TOKENS;
    let last = params.rows - 1u;
    let stride = (units + 1u) / 2u * 4u + 1u;
    let part = min(subgroup, SUBGROUPS - 1u);
    let part_t = part / PARTS_N;
    let part_n = part % PARTS_N * PART_N * SIZE;

    // What a lane copies: quarters of rows of x, and pieces of the weights of a quad.
    let quarter = lane % 4u;
    let quad = lane % QUADS;
    let piece = lane / QUADS;
    let at = place(group.x, quad / 16u, quad % 16u);
    let w_at = at.strip * units * PIECES / 2u;
    let by_at = at.strip * params.groups;

    var c = Sums();
    for (var unit = 0u; unit < units; unit += 2u) {
        var x_new: array<Halves, X_LOADS>;
        for (var i = 0u; i < X_LOADS; i++) {
            let token = (lane + i * LANES) / 4u;
            x_new[i] = x[min(row + token, last) * stride + unit * 2u + quarter];
        }
        // Past the last unit x is 0, and the weights are any.
        var w_new: array<vec4<u32>, W_LOADS>;
        var by: array<Group, W_LOADS>;
        for (var i = 0u; i < W_LOADS; i++) {
            let own = piece + i * (LANES / QUADS);
            let its = min(unit + own * 2u / PIECES, units - 1u);
            w_new[i] = w[(w_at + its * PIECES / 2u + own % (PIECES / 2u)) * 16u + at.quad];
            by[i] = groups[(by_at + (its >> shift)) * 16u + at.quad];
        }
        workgroupBarrier();
        for (var i = 0u; i < X_LOADS; i++) {
            let token = (lane + i * LANES) / 4u;
            if (token < TOKENS) {
                put_x(token * ROW + quarter * 2u, x_new[i].low);
                put_x(token * ROW + quarter * 2u + 1u, x_new[i].high);
            }
        }
        for (var i = 0u; i < W_LOADS; i++) {
            let own = piece + i * (LANES / QUADS);
            if (own < PIECES) {
                for (var h = 0u; h < HALVES; h++) {
                    let words = word_of(w_new[i], h);
                    let to = quad * 4u * ROW + own * HALVES + h;
                    put_w(to, widened(words.x, by[i].scale.x, by[i].bias.x));
                    put_w(to + ROW, widened(words.y, by[i].scale.y, by[i].bias.y));
                    put_w(to + 2u * ROW, widened(words.z, by[i].scale.z, by[i].bias.z));
                    put_w(to + 3u * ROW, widened(words.w, by[i].scale.w, by[i].bias.w));
                }
            }
        }
        workgroupBarrier();
        for (var k = 0u; k < 8u; k += SIZE / 4u) {
            c = with_products(c, part_t * PART_T * SIZE * ROW + k, part_n * ROW + k);
        }
    }

    let t = lane / LANES_N;
    let n = lane % LANES_N;
    for (var i = 0u; i < PART_T; i++) {
        workgroupBarrier();
        put_sums(c, i, part_t * SIZE * LINE + part_n);
        workgroupBarrier();
        let first = row + (t * 4u / SIZE * (PART_T - 1u) + i) * SIZE;
        var a: mat4x4<f32>;
        var b: mat4x4<f32>;
        if (t < ROWS / 4u) {
            for (var j = 0u; j < 4u; j++) {
                let token = min(first + t * 4u + j, last);
                let scale = scale_of((token + 1u) * stride - 1u);
                a[j] = quad_at((t * 4u + j) * LINE + n * 4u) * scale;
                b[j] = quad_at((t * 4u + j) * LINE + (n + LANES_N) * 4u) * scale;
            }
        }
        meet();
        if (t < ROWS / 4u) {
            show(t, n, a, b);
        }
        meet();
        if (t < ROWS / 4u) {
            store_tokens(first, group.x, t, n, a, b);
        }
    }
}
