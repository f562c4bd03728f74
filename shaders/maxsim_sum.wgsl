// scores[o] += sum_i best[o, i], i ascending, and `best` is cleared for what comes next. See shared/maxsim.wgsl for how
// `best` holds numbers. The sum goes on from what `scores` has, for queries whose rows come in several passes.

struct Params {
    outputs: u32,
}

struct Output {
    best: u32,  // where in `best` its rows begin
    rows: u32,  // 1..=32,768
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> outputs: array<Output>;
@group(0) @binding(2) var<storage, read_write> best: array<u32>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;  // [outputs]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.outputs) {
        return;
    }
    let output = outputs[id.x];
    var sum = scores[id.x];
    for (var i = output.best; i < output.best + output.rows; i++) {
        let bits = best[i];
        best[i] = 0u;
        sum += bitcast<f32>(select(~bits, bits & 0x7fffffffu, bits >> 31u == 1u));
    }
    scores[id.x] = sum;
}
