// RMSNorm of the rows of x within a product of strips:
//
//   y[t, n] = rsqrt(mean_k(x[t, k]^2) + eps) * sum_k x[t, k] * (norm[k] * w[n, k])
//
// A row's factor waits until the sum is there, so x is read once, and nobody writes it down normalized. The norm's weights
// go to w, because a lane of few.wgsl has fewer numbers of it than of x.
//
// Squares: vec4 k4 of a row belongs to chain k4 % 4, which adds up its vec4s in ascending order, each of them one chain of fma.
// tile.wgsl and few.wgsl keep to it, so that a token's bits do not depend on which of them runs.
const NORMED = true;

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;   // [T, K/4]
@group(0) @binding(5) var<storage, read> norm: array<vec2<f32>>;    // [K/2], and more in heads

fn square(x: vec4<f32>) -> f32 {
    return fma(x.w, x.w, fma(x.z, x.z, fma(x.y, x.y, x.x * x.x)));
}

fn with_square(s: f32, x: vec4<f32>) -> f32 {
    return s + square(x);
}

// Two values of K of a quad of outputs. Past the end of K x is 0, and any number serves.
fn normed2(first: vec4<f32>, second: vec4<f32>, k2: u32) -> mat2x4<f32> {
    let by = norm[k2];
    return mat2x4<f32>(first * by.x, second * by.y);
}

fn normed4(w: mat4x4<f32>, k4: u32) -> mat4x4<f32> {
    let low = norm[k4 * 2u];
    let high = norm[k4 * 2u + 1u];
    return mat4x4<f32>(w[0] * low.x, w[1] * low.y, w[2] * high.x, w[3] * high.y);
}

// The factors of four rows, given the sums of their squares.
fn row_scales(squares: vec4<f32>) -> vec4<f32> {
    return inverseSqrt(squares / f32(params.k4 * 4u) + params.eps);
}
