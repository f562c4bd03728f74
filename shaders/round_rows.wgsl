// Activations rounded to 8 bits, as int8.wgsl reads them: for each row and block of K
//
//   scale = max |x| / 127,   code = round(x / scale), half to even,   total = scale * sum of codes
//
// Rows may be normalized before (shared/round_normed.wgsl): a row's factor then goes to its scales alone, and codes are those
// of x times the weights of the norm. One workgroup a row; 16 lanes have four values of a block each.

struct Params {
    k4: u32,       // K / 4
    group4: u32,   // vec4s in a group of the weights
    block4: u32,   // vec4s in a block; the last of a group may be shorter
    pieces: u32,   // blocks of a group
    blocks: u32,   // of a row
    span: u32,     // vec4s of words that a block has room for
    eps: f32,      // of the norm
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;       // [T, K/4]
@group(0) @binding(2) var<storage, read_write> y: array<u32>;       // [T, blocks, 4 * (span + 1)]

const LANES = 64u;
const SHARE = 16u;  // lanes of a block
var<workgroup> squares: array<f32, LANES>;
var<workgroup> most: array<u32, LANES>;
var<workgroup> sums: array<i32, LANES>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x * params.k4;
    var factor = 1.0;
    if (NORMED) {
        var own = 0.0;
        for (var i = lane; i < params.k4; i += LANES) {
            own += dot(x[row + i], x[row + i]);
        }
        squares[lane] = own;
        workgroupBarrier();
        var sum = 0.0;
        for (var i = 0u; i < LANES; i++) {
            sum += squares[i];
        }
        factor = inverseSqrt(sum / f32(params.k4 * 4u) + params.eps);
    }
    let place = lane % SHARE;
    for (var first = 0u; first < params.blocks; first += LANES / SHARE) {
        let block = first + lane / SHARE;
        let start = block / params.pieces * params.group4;
        let k4 = start + block % params.pieces * params.block4 + place;
        var v = vec4<f32>();
        if (place < params.block4 && k4 < min(start + params.group4, params.k4)) {
            v = weighted(x[row + k4], k4);
        }
        // Compared by their bits, so that what is not finite is the largest, and the scale is not finite either.
        let bits = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
        most[lane] = max(max(bits.x, bits.y), max(bits.z, bits.w));
        workgroupBarrier();
        var highest = 0u;
        for (var i = 0u; i < SHARE; i++) {
            highest = max(highest, most[lane - place + i]);
        }
        let magnitude = bitcast<f32>(highest);
        // Below 1e-36 the quotient might be infinite, and is 0 all the same.
        let inverse = select(0.0, 127.0 / magnitude, magnitude > 1e-36 && highest < 0x7f800000u);
        let word = pack4xI8(vec4<i32>(round(v * inverse)));
        sums[lane] = dot4I8Packed(word, 0x01010101u);
        workgroupBarrier();
        if (block < params.blocks) {
            let at = (group.x * params.blocks + block) * (params.span + 1u) * 4u;
            if (place < params.span * 4u) {
                y[at + place] = word;
            }
            if (place == 0u) {
                var sum = 0;
                for (var i = 0u; i < SHARE; i++) {
                    sum += sums[lane + i];
                }
                let scale = magnitude / 127.0 * factor;
                y[at + params.span * 4u] = bitcast<u32>(scale);
                y[at + params.span * 4u + 1u] = bitcast<u32>(scale * f32(sum));
            }
        }
    }
}
