// What follows a linear layer that has a bias, in place: y = activation(y + b). One thread a number.

struct Params {
    rows: u32,
    n: u32,         // N
    y_row: u32,     // first row of y
    tanh: u32,      // 1: then the hyperbolic tangent
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> b: array<f32>;               // [N]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;         // [.., N]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.n || id.y >= params.rows) {
        return;
    }
    let at = (params.y_row + id.y) * params.n + id.x;
    var value = y[at] + b[id.x];
    if (params.tanh == 1u) {
        value = bounded_tanh(value);
    }
    y[at] = value;
}
