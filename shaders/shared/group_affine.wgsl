// The groups of a row of an affine weight: w = q * scale + bias for each code q of a group.
alias Group = vec2<f32>;    // scale, bias

@group(0) @binding(4) var<storage, read> groups: array<Group>;  // [N, G]

fn row_groups() -> u32 {
    return params.groups;
}

// The first vec4 of K in the group, and the one after its last; the last group may be shorter.
fn group_start(g: u32) -> u32 {
    return g * params.group4;
}

fn group_end(g: u32) -> u32 {
    return min((g + 1u) * params.group4, params.k4);
}

fn group(row: u32, g: u32) -> Group {
    return groups[row * params.groups + g];
}
