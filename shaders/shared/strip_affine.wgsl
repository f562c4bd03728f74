// Weights in strips with groups: w = code * scale + bias. A group here is that of a quad of outputs.
struct Group {
    scale: vec4<f32>,
    bias: vec4<f32>,
}
@group(0) @binding(4) var<storage, read> groups: array<Group>;  // [strips, G, 16]

// Where the groups of a quad of outputs begin: one for each 16 of `groups`.
fn first_group(strip: u32, quad: u32) -> u32 {
    return strip * params.groups * 16u + quad;
}

fn group_at(first: u32, g: u32) -> Group {
    return groups[first + g * 16u];
}

fn weights(codes: vec4<f32>, group: Group) -> vec4<f32> {
    return fma(codes, group.scale, group.bias);
}

// The group of vec4 k4 of K. K is padded, so the last group may be longer than it is.
fn group_of(k4: u32) -> u32 {
    return min(k4 / params.group4, params.groups - 1u);
}

// The vec4 of K where group g ends.
fn group_end(g: u32) -> u32 {
    return select((g + 1u) * params.group4, 0xffffffffu, g + 1u == params.groups);
}
