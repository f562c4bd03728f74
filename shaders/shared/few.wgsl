// What kernels for up to sixteen tokens share: sums of one quad of outputs over K, and of squares.

// s + x w for one token: four values of K in ascending order.
fn chain(s: vec4<f32>, x: vec4<f32>, w: mat4x4<f32>) -> vec4<f32> {
    return fma(vec4<f32>(x.w), w[3], fma(vec4<f32>(x.z), w[2], fma(vec4<f32>(x.y), w[1], fma(vec4<f32>(x.x), w[0], s))));
}

// The same for four tokens that lie one after another. Past the last row of x are numbers that nobody stores.
fn chains(s: mat4x4<f32>, at: u32, w: mat4x4<f32>) -> mat4x4<f32> {
    let k4 = params.k4;
    return mat4x4<f32>(
        chain(s[0], x[at], w), chain(s[1], x[at + k4], w), chain(s[2], x[at + 2u * k4], w), chain(s[3], x[at + 3u * k4], w),
    );
}

// Where the first of four rows begins; for four rows past the last one, that one.
fn row_at(row: u32) -> u32 {
    return min(row, params.rows - 1u) * params.k4;
}

// A chain of the squares of the row of x that begins at `at`. Four vec4s of it are loaded together, or each would be waited for.
fn chain_of_squares(at: u32, chain: u32) -> f32 {
    var sum = 0.0;
    for (var k = chain; k < params.k4; k += 16u) {
        let first = x[at + k];
        let second = select(vec4<f32>(), x[at + k + 4u], k + 4u < params.k4);
        let third = select(vec4<f32>(), x[at + k + 8u], k + 8u < params.k4);
        let fourth = select(vec4<f32>(), x[at + k + 12u], k + 12u < params.k4);
        sum = with_square(with_square(with_square(with_square(sum, first), second), third), fourth);
    }
    return sum;
}

fn sum_of_chains(chains: vec4<f32>) -> f32 {
    return (chains.x + chains.y) + (chains.z + chains.w);
}
