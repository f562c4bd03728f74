// What matmul.wgsl and swiglu.wgsl bind. How a weight is stored is up to shared/weight_*.wgsl, which bind it behind these.

struct Params {
    rows: u32,       // T: tokens here
    cols: u32,       // N: outputs of this weight part; the part of a pair has 2 N rows
    k4: u32,         // K / 4
    groups: u32,     // G: groups of a row
    group4: u32,     // vec4s in a group; the last may be shorter
    y_row: u32,      // first row of y to write
    y_col: u32,      // first column of y to write: the part's place in the whole weight
    y_stride: u32,   // columns of y
    accumulate: u32, // matmul only, 1: add to what y holds (the residual stream)
    eps: f32,        // of the norm of x, where the kernel has one
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // [>= y_row + T, y_stride]
