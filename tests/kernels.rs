//! Every kernel against its CPU twin, over the edges of its tile, on the adapter that `VK_ICD_FILENAMES` chooses.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::sync::OnceLock;

use pplx_embed::gpu::{Form, Gpu, Heads, Kernels, WeightType, probe};

/// One device for the whole file: opening one takes longer than most tests.
fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| pollster::block_on(Gpu::open()).unwrap())
}

fn with_kernels(weight_type: WeightType, test: impl AsyncFn(&Gpu, &Kernels)) {
    pollster::block_on(async {
        let kernels = Kernels::new(gpu(), weight_type).await.unwrap();
        test(gpu(), &kernels).await;
    });
}

#[test]
fn rms_norm_at_the_edges_of_64_lanes() {
    with_kernels(WeightType::F32, async |gpu, kernels| {
        // Below, at and past one vec4 for each of 64 lanes; a prime number of vec4s; the real sizes.
        for h in [4, 8, 252, 256, 260, 1028, 1024, 2560] {
            for rows in [1, 2, 65] {
                probe::rms_norm(gpu, kernels, rows, h).await.unwrap();
            }
        }
    });
}

#[test]
fn matmul_at_the_edges_of_the_4x8_tile_and_the_32x64_workgroup() {
    for weight_type in [WeightType::F32, WeightType::F16, WeightType::Bf16] {
        with_kernels(weight_type, async |gpu, kernels| {
            for rows in [1, 3, 4, 5, 31, 32, 33] {
                for n in [1, 7, 8, 9, 63, 64, 65] {
                    probe::matmul(gpu, kernels, [rows, n, 20], u64::MAX).await.unwrap();
                }
            }
            for k in [4, 8, 1024, 3072] {
                probe::matmul(gpu, kernels, [5, 13, k], u64::MAX).await.unwrap();
            }
        });
    }
}

#[test]
fn matmul_and_swiglu_with_weights_cut_into_parts() {
    for weight_type in [WeightType::F32, WeightType::Bf16] {
        with_kernels(weight_type, async |gpu, kernels| {
            let row = 20 * weight_type.bytes();
            for rows_a_part in [1, 8, 9, 29, 30] {
                probe::matmul(gpu, kernels, [5, 30, 20], row * rows_a_part).await.unwrap();
                probe::swiglu(gpu, kernels, [5, 30, 20], row * rows_a_part).await.unwrap();
            }
        });
    }
}

#[test]
fn swiglu_at_the_edges_of_the_4x4_tile_and_the_32x32_workgroup() {
    for weight_type in [WeightType::F32, WeightType::F16, WeightType::Bf16] {
        with_kernels(weight_type, async |gpu, kernels| {
            for rows in [1, 3, 4, 5, 31, 32, 33] {
                for n in [1, 3, 4, 5, 31, 32, 33] {
                    probe::swiglu(gpu, kernels, [rows, n, 12], u64::MAX).await.unwrap();
                }
            }
        });
    }
}

#[test]
fn head_norm_rope_for_every_kind_of_head() {
    with_kernels(WeightType::F32, async |gpu, kernels| {
        for dh in [4, 20, 64, 100, 128, 256] {
            for [rows, heads] in [[1, 1], [7, 3], [31, 2], [9, 16]] {
                probe::head_norm_rope(gpu, kernels, rows, [heads, dh]).await.unwrap();
            }
        }
    });
}

#[test]
fn attention_at_the_edges_of_four_queries_and_eight_keys() {
    with_kernels(WeightType::F32, async |gpu, kernels| {
        for causal in [false, true] {
            for length in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 67] {
                let heads = Heads { query: 2, key: 1, dim: 16, causal };
                probe::attention(gpu, kernels, &[length], heads).await.unwrap();
            }
        }
    });
}

#[test]
fn attention_of_ragged_batches_with_every_grouping_and_head_dim() {
    with_kernels(WeightType::F32, async |gpu, kernels| {
        for causal in [false, true] {
            for (query, key) in [(1, 1), (2, 2), (3, 3), (4, 2), (6, 2), (8, 2), (4, 1)] {
                let heads = Heads { query, key, dim: 8, causal };
                probe::attention(gpu, kernels, &[5, 1, 8, 13, 4], heads).await.unwrap();
            }
            for dim in [4, 20, 64, 100, 128, 256] {
                let heads = Heads { query: 4, key: 2, dim, causal };
                probe::attention(gpu, kernels, &[3, 9, 1], heads).await.unwrap();
            }
        }
    });
}

#[test]
fn pooling_and_every_form_at_the_edges_of_a_word_and_a_block() {
    with_kernels(WeightType::F32, async |gpu, kernels| {
        for lengths in [&[1][..], &[0], &[0, 3, 0], &[63, 64, 65], &[1, 200, 7]] {
            for d in [1, 3, 4, 5, 31, 32, 33, 64, 100] {
                for form in [Form::Float32, Form::Int8, Form::Binary, Form::Ubinary] {
                    probe::pool_quantise(gpu, kernels, lengths, [100, d], form, false).await.unwrap();
                }
                probe::pool_quantise(gpu, kernels, lengths, [100, d], Form::Float32, true).await.unwrap();
            }
        }
    });
}

#[test]
fn attention_at_the_edges_of_a_range_of_2048_keys() {
    with_kernels(WeightType::F32, async |gpu, kernels| {
        for causal in [false, true] {
            let heads = Heads { query: 2, key: 1, dim: 4, causal };
            for lengths in [&[2047][..], &[2048], &[2049], &[3, 4097, 5]] {
                probe::attention(gpu, kernels, lengths, heads).await.unwrap();
            }
        }
    });
}
