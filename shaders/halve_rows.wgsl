// Activations rounded to halves, as cooperative.wgsl reads them: each row times a power of two that brings its largest value
// into 4096..8192, so that none overflows.
//
// Rows may be normalized before (shared/round_normed.wgsl): a row's factor then goes to its scale alone, and halves are those of x
// times the weights of the norm. They lie in the blocks of the weights, padded with 0. One workgroup a row; 16 lanes have four
// values of a block each.

struct Params {
    k4: u32,       // K / 4
    group4: u32,   // vec4s in a group of the weights
    block4: u32,   // vec4s in a block; the last of a group may be shorter
    pieces: u32,   // blocks of a group
    blocks: u32,   // of a row
    span: u32,     // units of 16 values that a block has room for
    eps: f32,      // of the norm
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;       // [T, K/4]
@group(0) @binding(2) var<storage, read_write> y: array<u32>;       // [T, 8 * units, rounded up to 16, + 4]

const LANES = 64u;
const SHARE = 16u;  // lanes of a block
var<workgroup> squares: array<f32, LANES>;
var<workgroup> most: array<u32, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x * params.k4;
    var own = 0.0;
    // Compared by their bits, so that what is not finite is the largest, and the scale is not finite either.
    var own_most = vec4<u32>();
    for (var i = lane; i < params.k4; i += LANES) {
        own += dot(x[row + i], x[row + i]);
        own_most = max(own_most, bitcast<vec4<u32>>(weighted(x[row + i], i)) & vec4<u32>(0x7fffffffu));
    }
    squares[lane] = own;
    most[lane] = max(max(own_most.x, own_most.y), max(own_most.z, own_most.w));
    workgroupBarrier();
    var sum = 0.0;
    var highest = 0u;
    for (var i = 0u; i < LANES; i++) {
        sum += squares[i];
        highest = max(highest, most[i]);
    }
    let factor = select(1.0, inverseSqrt(sum / f32(params.k4 * 4u) + params.eps), NORMED);
    // 2^12 / 2^exponent, by the bits. A row whose largest value is below 2^-100 is 0.
    let exponent = highest >> 23u;
    let is_zero = exponent < 27u;
    let inverse = select(bitcast<f32>((266u - exponent) << 23u), 0.0, is_zero);
    var scale = select(bitcast<f32>((exponent - 12u) << 23u) * factor, 0.0, is_zero);
    if (exponent == 255u) {
        scale = bitcast<f32>(highest);
    }

    let units = params.blocks * params.span;
    let words = (units + 1u) / 2u * 16u;
    let to = group.x * (words + 4u);
    let place = lane % SHARE;
    for (var block = lane / SHARE; block < params.blocks; block += LANES / SHARE) {
        let start = block / params.pieces * params.group4;
        let k4 = start + block % params.pieces * params.block4 + place;
        var v = vec4<f32>();
        if (place < params.block4 && k4 < min(start + params.group4, params.k4)) {
            v = weighted(x[row + k4], k4) * inverse;
        }
        if (place < params.span * 4u) {
            let at = to + block * params.span * 8u + place * 2u;
            y[at] = pack2x16float(v.xy);
            y[at + 1u] = pack2x16float(v.zw);
        }
    }
    if (units % 2u == 1u && lane < 8u) {
        y[to + units * 8u + lane] = 0u;
    }
    if (lane == 0u) {
        // A half for each byte.
        let bytes = vec4<f32>((vec4<u32>(bitcast<u32>(scale)) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
        y[to + words] = pack2x16float(bytes.xy);
        y[to + words + 1u] = pack2x16float(bytes.zw);
    }
}
