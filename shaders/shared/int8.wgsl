// What kernels of packed dot products share: rows that round_rows.wgsl has rounded, four values of K a word, and sums of integers.
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;   // [T, blocks, span + 1]: codes, then scale and total

const STEP = 16u;   // most words of a block
const PIECES = STEP / HALVES;

// Four vec4s of words: those of four tokens, or of a quad of outputs.
struct Words {
    x: vec4<u32>,
    y: vec4<u32>,
    z: vec4<u32>,
    w: vec4<u32>,
}

// Sums of four tokens with a quad of outputs.
struct Ints {
    x: vec4<i32>,
    y: vec4<i32>,
    z: vec4<i32>,
    w: vec4<i32>,
}

fn dots(s: vec4<i32>, t: u32, n: vec4<u32>) -> vec4<i32> {
    return s + vec4<i32>(dot4I8Packed(t, n.x), dot4I8Packed(t, n.y), dot4I8Packed(t, n.z), dot4I8Packed(t, n.w));
}

fn quad_dots(s: Ints, t: vec4<u32>, n: vec4<u32>) -> Ints {
    return Ints(dots(s.x, t.x, n), dots(s.y, t.y, n), dots(s.z, t.z, n), dots(s.w, t.w, n));
}
