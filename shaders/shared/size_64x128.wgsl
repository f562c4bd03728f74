// 256 lanes make 64 x 128: the outputs of a whole head.
const LANES_T = 16u;    // lanes over tokens
const LANES_N = 16u;    // lanes over outputs
const TOKENS = 64u;
const OUTPUTS = 128u;
