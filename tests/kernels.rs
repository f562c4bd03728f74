//! Every kernel against its CPU twin, over the edges of its tile, on the adapter that `VK_ICD_FILENAMES` chooses.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::sync::{Mutex, OnceLock, PoisonError};

use pplx_embed::gpu::{Form, Gpu, Heads, Kernels, Linear, Recorder, Storage, WeightType, probe};

/// One device for the whole file: opening one takes longer than most tests.
fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| pollster::block_on(Gpu::open()).unwrap())
}

/// Kernels that read weights of every type, compiled and checked once for the whole file. One test at a time has
/// them, because they have one buffer for parameters.
fn with_kernels(test: impl AsyncFn(&Gpu, &Kernels)) {
    static KERNELS: OnceLock<Mutex<Kernels>> = OnceLock::new();
    let all = [WeightType::F32, WeightType::F16, WeightType::Bf16, WeightType::Q8, WeightType::Q4];
    let kernels = KERNELS.get_or_init(|| Mutex::new(pollster::block_on(Kernels::new(gpu(), &all)).unwrap()));
    pollster::block_on(test(gpu(), &kernels.lock().unwrap_or_else(PoisonError::into_inner)));
}

const Q8_IN_8: Storage = Storage { weight_type: WeightType::Q8, group: 8 };
const Q4_IN_8: Storage = Storage { weight_type: WeightType::Q4, group: 8 };

/// Each type; affine ones in groups of 8.
fn storages() -> [Storage; 5] {
    let [f32, f16, bf16] = [WeightType::F32, WeightType::F16, WeightType::Bf16].map(Storage::dense);
    [f32, f16, bf16, Q8_IN_8, Q4_IN_8]
}

#[test]
fn rms_norm_at_the_edges_of_64_lanes() {
    with_kernels(async |gpu, kernels| {
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
    with_kernels(async |gpu, kernels| {
        for storage in storages() {
            for rows in [1, 3, 4, 5, 31, 32, 33] {
                for n in [1, 7, 8, 9, 63, 64, 65] {
                    probe::matmul(gpu, kernels, storage, [rows, n, 24], u64::MAX).await.unwrap();
                }
            }
            for k in [8, 16, 1024, 3072] {
                probe::matmul(gpu, kernels, storage, [5, 13, k], u64::MAX).await.unwrap();
            }
            if storage != Q4_IN_8 {
                probe::matmul(gpu, kernels, storage, [5, 13, 4], u64::MAX).await.unwrap();
                probe::matmul(gpu, kernels, storage, [5, 13, 20], u64::MAX).await.unwrap();
            }
        }
    });
}

#[test]
fn swiglu_at_the_edges_of_the_4x4_tile_and_the_32x32_workgroup() {
    with_kernels(async |gpu, kernels| {
        for storage in storages() {
            for rows in [1, 3, 4, 5, 31, 32, 33] {
                for n in [1, 3, 4, 5, 31, 32, 33] {
                    probe::swiglu(gpu, kernels, storage, [rows, n, 24], u64::MAX).await.unwrap();
                }
            }
        }
    });
}

#[test]
fn every_size_of_group_with_a_shorter_last_one() {
    with_kernels(async |gpu, kernels| {
        for weight_type in [WeightType::Q8, WeightType::Q4] {
            for group in [4, 12, 32, 64, 128, 1024, u32::MAX] {
                let storage = Storage { weight_type, group };
                // Below, at and past one, two and four groups of 32 or 64, one of 128 and one of 1024.
                for k in [8, 24, 32, 40, 64, 72, 128, 136, 256, 264, 1024] {
                    probe::matmul(gpu, kernels, storage, [5, 9, k], u64::MAX).await.unwrap();
                    // A product of two long sums is too ill-conditioned for the probes' tolerance.
                    if k <= 136 {
                        probe::swiglu(gpu, kernels, storage, [5, 5, k], u64::MAX).await.unwrap();
                    }
                }
            }
        }
        // One group a row that is no multiple of four, as K = 36 in groups of 37.
        let storage = Storage { weight_type: WeightType::Q8, group: 37 };
        probe::matmul(gpu, kernels, storage, [5, 9, 36], u64::MAX).await.unwrap();
    });
}

#[test]
fn matmul_and_swiglu_with_weights_cut_into_parts() {
    with_kernels(async |gpu, kernels| {
        for storage in storages() {
            // Affine rows of 24 in groups of 8 have as many bytes of groups as of q8 codes.
            let row = storage.row_bytes(24).max(u64::from(storage.row_groups(24)) * 8);
            for rows_a_part in [1, 8, 9, 29, 30] {
                probe::matmul(gpu, kernels, storage, [5, 30, 24], row * rows_a_part).await.unwrap();
                // A part of a pair has its rows twice.
                probe::swiglu(gpu, kernels, storage, [5, 30, 24], 2 * row * rows_a_part).await.unwrap();
            }
        }
    });
}

#[test]
fn bytes_of_a_matrix_and_of_a_pair() {
    let storage = Storage { weight_type: WeightType::Q4, group: 32 };
    let (one, two) =
        (Linear::zeros(gpu(), "w", 3, 80, storage).unwrap(), Linear::pair(gpu(), "w", 3, 80, storage).unwrap());
    // 40 bytes of codes and 3 groups of 8 bytes a row.
    assert_eq!((one.bytes(), two.bytes(), one.storage()), (3 * 64, 6 * 64, storage));
    assert_eq!(Linear::zeros(gpu(), "w", 3, 80, Storage::dense(WeightType::Bf16)).unwrap().bytes(), 480);
    one.destroy();
    two.destroy();
}

#[test]
fn rows_that_no_kernel_reads_are_refused_by_the_name_of_the_weight() {
    for (weight_type, group, k) in [(WeightType::Q4, 64, 60), (WeightType::Q8, 0, 64), (WeightType::F16, 64, 64)] {
        let refused = Linear::pair(gpu(), "layers.0.mlp", 2, k, Storage { weight_type, group }).err().unwrap();
        assert_eq!(refused.code(), "unsupported");
        assert!(refused.to_string().starts_with("layers.0.mlp with K ="), "{refused}");
    }
}

#[test]
fn a_type_without_kernels_and_a_pair_in_the_place_of_a_matrix_fail_the_run() {
    pollster::block_on(async {
        let kernels = Kernels::new(gpu(), &[WeightType::Q8, WeightType::Q8]).await.unwrap();
        let names = kernels.names();
        assert_eq!(names.iter().filter(|n| n.contains("matmul") || n.contains("swiglu")).count(), 2, "{names:?}");
        let (x, y) = (gpu().storage("x", 1024).unwrap(), gpu().storage("y", 1024).unwrap());
        let pair = Linear::pair(gpu(), "w", 8, 8, Q8_IN_8).unwrap();
        let dense = Linear::zeros(gpu(), "w", 8, 8, Storage::dense(WeightType::F32)).unwrap();
        for wrong in [&pair, &dense] {
            let mut run = Recorder::new(gpu(), &kernels, &());
            run.matmul(&x, wrong, &y, 1, 0);
            let error = run.finish().await.err().unwrap();
            assert!(error.code() == "gpu" && error.to_string().contains("no kernel for"), "{error}");
        }
        let mut run = Recorder::new(gpu(), &kernels, &());
        run.swiglu(&x, &pair, &y, 1);
        run.finish().await.unwrap();
    });
}

#[test]
fn allocating_gives_what_was_made_and_keeps_its_error() {
    pollster::block_on(async {
        let make = |k| move || Linear::zeros(gpu(), "w", 8, k, Q4_IN_8);
        let made = gpu().allocate(make(64), Linear::destroy).await.unwrap();
        assert_eq!((made.n, made.k), (8, 64));
        assert_eq!(gpu().allocate(make(63), Linear::destroy).await.err().unwrap().code(), "unsupported");
    });
}

#[test]
fn head_norm_rope_for_every_kind_of_head() {
    with_kernels(async |gpu, kernels| {
        for dh in [4, 20, 64, 100, 128, 256] {
            for [rows, heads] in [[1, 1], [7, 3], [31, 2], [9, 16]] {
                probe::head_norm_rope(gpu, kernels, rows, [heads, dh]).await.unwrap();
            }
        }
    });
}

#[test]
fn attention_at_the_edges_of_four_queries_and_eight_keys() {
    with_kernels(async |gpu, kernels| {
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
    with_kernels(async |gpu, kernels| {
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
    with_kernels(async |gpu, kernels| {
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
    with_kernels(async |gpu, kernels| {
        for causal in [false, true] {
            let heads = Heads { query: 2, key: 1, dim: 4, causal };
            for lengths in [&[2047][..], &[2048], &[2049], &[3, 4097, 5]] {
                probe::attention(gpu, kernels, lengths, heads).await.unwrap();
            }
        }
    });
}
