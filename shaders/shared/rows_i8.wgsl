// Dense rows of int8, four a word, lowest byte first, padded with zeros to a multiple of 16: similarities are dot
// products, exact in i32 up to 131,071 dimensions. Queries come as i32, so that it is not for each row to widen them.
@group(0) @binding(1) var<storage, read> queries: array<vec4<i32>>;  // [Q, stride, 4]

// For the host, which widens them.
const WIDE_QUERIES = 1u;

struct Element {
    a: vec4<i32>,
    b: vec4<i32>,
    c: vec4<i32>,
    d: vec4<i32>,
}

alias Sum = i32;

fn codes(word: u32) -> vec4<i32> {
    // Each byte to the top of its lane, and back down with its sign.
    return vec4<i32>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
}

fn widened(words: vec4<u32>) -> Element {
    return Element(codes(words.x), codes(words.y), codes(words.z), codes(words.w));
}

fn add(sum: Sum, query: u32, element: Element) -> Sum {
    let q = query * 4u;
    let products = queries[q] * element.a + queries[q + 1u] * element.b + queries[q + 2u] * element.c
        + queries[q + 3u] * element.d;
    return sum + products.x + products.y + products.z + products.w;
}

fn bits_of(sum: Sum) -> u32 {
    return bitcast<u32>(sum);
}
