// Dense rows of float32, padded with zeros to a multiple of four: similarities are dot products. Dimensions d, d + 4,
// d + 8, ... are one chain of additions each, in ascending order, and the four are added at the end; `fma` leaves the
// compiler no choice of where to round. So a similarity has the same bits whatever else is computed with it.
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>;  // [Q, stride]

alias Element = vec4<f32>;
alias Sum = vec4<f32>;

fn widened(words: vec4<u32>) -> Element {
    return bitcast<vec4<f32>>(words);
}

fn add(sum: Sum, query: u32, element: Element) -> Sum {
    return fma(queries[query], element, sum);
}

fn bits_of(sum: Sum) -> u32 {
    return bitcast<u32>((sum.x + sum.y) + (sum.z + sum.w));
}
