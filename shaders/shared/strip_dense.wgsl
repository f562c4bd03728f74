// Weights in strips without groups: a number is the weight.
alias Group = u32;

fn first_group(strip: u32, quad: u32) -> u32 {
    return 0u;
}

fn group_at(first: u32, g: u32) -> Group {
    return 0u;
}

fn weights(numbers: vec4<f32>, group: Group) -> vec4<f32> {
    return numbers;
}

// The group of vec4 k4 of K.
fn group_of(k4: u32) -> u32 {
    return 0u;
}

// The vec4 of K where group g ends.
fn group_end(g: u32) -> u32 {
    return 0xffffffffu;
}
