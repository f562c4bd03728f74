// 128 lanes make 64 x 64, for batches that would leave most of a GPU without work if they were cut larger, and for GPUs with
// few registers.
const LANES_T = 16u;    // lanes over tokens
const LANES_N = 8u;     // lanes over outputs
const TOKENS = 64u;
const OUTPUTS = 64u;
