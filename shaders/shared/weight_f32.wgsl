// Weight storage: float32. One element of a weight matrix [N, K/4] holds four values of a row.
alias Weight4 = vec4<f32>;

fn weight4(w: Weight4) -> vec4<f32> {
    return w;
}
