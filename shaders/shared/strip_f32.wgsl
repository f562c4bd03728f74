// Weights in strips: float32. A piece is two values of K of a quad of outputs, K ascending.
struct Piece {
    first: vec4<f32>,
    second: vec4<f32>,
}
@group(0) @binding(3) var<storage, read> w: array<Piece>;       // [strips, K/4, 16, 2]

fn first(piece: Piece) -> vec4<f32> {
    return piece.first;
}

fn second(piece: Piece) -> vec4<f32> {
    return piece.second;
}
