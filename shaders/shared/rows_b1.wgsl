// Dense rows of a bit a dimension, padded with zeros to a multiple of 128: similarities are Hamming distances, how many
// bits differ. Which bit is which dimension does not matter, as long as queries and rows agree.
@group(0) @binding(1) var<storage, read> queries: array<vec4<u32>>;  // [Q, stride]

alias Element = vec4<u32>;
alias Sum = u32;

fn widened(words: vec4<u32>) -> Element {
    return words;
}

fn add(sum: Sum, query: u32, element: Element) -> Sum {
    let differ = countOneBits(queries[query] ^ element);
    return sum + differ.x + differ.y + differ.z + differ.w;
}

fn bits_of(sum: Sum) -> u32 {
    return sum;
}
