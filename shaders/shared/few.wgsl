// What kernels for up to sixteen tokens share: sums of one quad of outputs over K, and of squares.

// s + x w for one token: four values of K in ascending order.
fn chain(s: vec4<f32>, x: vec4<f32>, w: mat4x4<f32>) -> vec4<f32> {
    return fma(vec4<f32>(x.w), w[3], fma(vec4<f32>(x.z), w[2], fma(vec4<f32>(x.y), w[1], fma(vec4<f32>(x.x), w[0], s))));
}

fn chains(s: mat4x4<f32>, at: vec4<u32>, w: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        chain(s[0], x[at.x], w), chain(s[1], x[at.y], w), chain(s[2], x[at.z], w), chain(s[3], x[at.w], w),
    );
}

// The sum of the squares of a row: the four vec4s of its chains.
fn sum_of_chains(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> f32 {
    return (((a.x + a.y) + (a.z + a.w)) + ((b.x + b.y) + (b.z + b.w)))
        + (((c.x + c.y) + (c.z + c.w)) + ((d.x + d.y) + (d.z + d.w)));
}
