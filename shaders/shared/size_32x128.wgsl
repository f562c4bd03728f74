// 128 lanes make 32 x 128: as many sums as size_64x64.wgsl, but the outputs of a whole head.
const LANES_T = 8u;     // lanes over tokens
const LANES_N = 16u;    // lanes over outputs
const TOKENS = 32u;
const OUTPUTS = 128u;
