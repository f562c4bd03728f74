// Dense rows and queries of int8, four a word, lowest byte first, padded with zeros to a multiple of 16: similarities are
// dot products, exact in i32 up to 131,071 dimensions. Four products and their sum are one instruction on most GPUs.
@group(0) @binding(1) var<storage, read> queries: array<vec4<u32>>;  // [Q, stride]

alias Element = vec4<u32>;
alias Sum = i32;

fn widened(words: vec4<u32>) -> Element {
    return words;
}

fn add(sum: Sum, query: u32, element: Element) -> Sum {
    let q = queries[query];
    return sum + dot4I8Packed(q.x, element.x) + dot4I8Packed(q.y, element.y)
        + dot4I8Packed(q.z, element.z) + dot4I8Packed(q.w, element.w);
}

fn bits_of(sum: Sum) -> u32 {
    return bitcast<u32>(sum);
}
