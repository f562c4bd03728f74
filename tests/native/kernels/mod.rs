//! Every operation of every backend against its twin, over the edges of each kernel's tile: on the processor, and on the
//! adapter that `VK_ICD_FILENAMES` chooses.

mod attention;
mod fast;
mod fuzz;

use std::sync::OnceLock;

use pollster::block_on;
use pplx_embed::backend::probe::{self, Probe};
use pplx_embed::backend::{Activation, Backend, Heads, Operation};
use pplx_embed::numbers::{Dtype, MatrixFormat};

use crate::support::every;

const Q8_IN_8: MatrixFormat = MatrixFormat::Q8 { group: 8 };
const Q4_IN_8: MatrixFormat = MatrixFormat::Q4 { group: 8 };
/// Each format; those with groups in groups of 8.
const FORMATS: [MatrixFormat; 5] = [MatrixFormat::F32, MatrixFormat::F16, MatrixFormat::Bf16, Q8_IN_8, Q4_IN_8];

/// One device of each kind for the whole file: opening one takes longer than most tests.
fn backends() -> &'static [Backend] {
    static BACKENDS: OnceLock<Vec<Backend>> = OnceLock::new();
    BACKENDS.get_or_init(|| {
        let mut all = Backend::cpus();
        all.insert(0, block_on(Backend::gpu()).unwrap());
        all
    })
}

fn heads(dim: u32, causal: bool) -> Heads {
    Heads { query: 4, key: 2, dim, causal, window: None }
}

/// All of an encoder, with heads of each size that kernels are made for, and beyond.
fn every_operation() -> Vec<Operation> {
    let mut operations = Operation::of_encoder(heads(64, false), &FORMATS);
    operations.extend([128, 256, 260].map(|dim| Operation::Attention(heads(dim, false))));
    operations.push(Operation::Bias);
    operations
}

/// Runs `test` on each backend with all kernels of an encoder.
fn on_each(test: impl AsyncFn(&Probe<'_>)) {
    for backend in backends() {
        let kernels = block_on(backend.kernels(&every_operation())).unwrap();
        block_on(test(&Probe { backend, kernels: &kernels, tolerance: 2e-5 }));
    }
}

/// The formats that families which read weights in strips are tested with. SwiftShader, where they never run for a user,
/// compiles a tile for seconds: two formats that are widened as a third one is are left to other drivers.
fn strip_formats() -> Vec<MatrixFormat> {
    let all = every() || !backends()[0].adapter().name.contains("SwiftShader");
    FORMATS.into_iter().filter(|format| all || !matches!(format, MatrixFormat::F16 | MatrixFormat::Bf16)).collect()
}

/// Runs `test` with the kernels of linear layers of each GPU family that reads weights in strips.
fn on_each_strip_family(test: impl AsyncFn(&Probe<'_>)) {
    let of = |format| [Operation::Matmul(format), Operation::Swiglu(format), Operation::Heads(format)];
    let operations: Vec<_> = strip_formats().into_iter().flat_map(of).collect();
    for family in ["tile", "narrow"] {
        let kernels = block_on(backends()[0].kernels_of(family, &operations)).unwrap();
        block_on(test(&Probe { backend: &backends()[0], kernels: &kernels, tolerance: 2e-5 }));
    }
}

#[test]
fn rms_norm_at_the_edges_of_64_lanes() {
    on_each(async |probe| {
        // Below, at and past one vec4 for each of 64 lanes; a prime number of vec4s; the real sizes.
        for h in [4, 8, 252, 256, 260, 1028, 1024, 2560] {
            for rows in [1, 2, 65] {
                probe::rms_norm(probe, rows, h).await.unwrap();
            }
        }
    });
}

#[test]
fn matmul_at_the_edges_of_the_8x8_tile_and_the_32x64_workgroup() {
    on_each(async |probe| {
        for format in FORMATS {
            for rows in [1, 3, 4, 5, 7, 8, 9, 31, 32, 33] {
                for n in [1, 7, 8, 9, 63, 64, 65] {
                    probe::matmul(probe, format, [rows, n, 24], u64::MAX).await.unwrap();
                }
            }
            for k in [8, 16, 1024, 3072] {
                probe::matmul(probe, format, [5, 13, k], u64::MAX).await.unwrap();
            }
            if format != Q4_IN_8 {
                probe::matmul(probe, format, [5, 13, 4], u64::MAX).await.unwrap();
                probe::matmul(probe, format, [5, 13, 20], u64::MAX).await.unwrap();
            }
        }
    });
}

#[test]
fn swiglu_at_the_edges_of_the_8x4_tile_and_the_32x32_workgroup() {
    on_each(async |probe| {
        for format in FORMATS {
            for rows in [1, 3, 4, 5, 7, 8, 9, 31, 32, 33] {
                for n in [1, 3, 4, 5, 31, 32, 33] {
                    probe::swiglu(probe, format, [rows, n, 24], u64::MAX).await.unwrap();
                }
            }
        }
    });
}

#[test]
fn strips_at_the_edges_of_every_tile() {
    on_each_strip_family(async |probe| {
        for format in strip_formats() {
            // A workgroup has 16 tokens and 32 outputs, half of them of a pair, 64 and 64, or 128 and 128.
            for rows in [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129] {
                // All pairs of edges with EVERY=1; else each edge of one with a few of the other.
                let some = |n: &&u32| every() || rows == 33 || [1, 17, 64, 129].contains(*n);
                for &n in [1, 4, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129].iter().filter(some) {
                    probe::matmul(probe, format, [rows, n, 24], u64::MAX).await.unwrap();
                }
                for &n in [1, 15, 16, 17, 63, 64, 65].iter().filter(some) {
                    probe::swiglu(probe, format, [rows, n, 24], u64::MAX).await.unwrap();
                }
            }
            // Enough rows for the largest tile, with one output, and past one, two and three tiles of them.
            for [rows, n] in [[3969, 1], [2047, 129], [2049, 128], [1281, 257]] {
                probe::matmul(probe, format, [rows, n, 24], u64::MAX).await.unwrap();
                // Of so many products of two sums some would be too ill-conditioned, if the sums were longer.
                probe::swiglu(probe, format, [rows, n, 8], u64::MAX).await.unwrap();
            }
        }
    });
}

#[test]
fn strips_of_every_k_and_bits_that_do_not_depend_on_the_tile() {
    on_each_strip_family(async |probe| {
        for format in strip_formats() {
            // Below, at and past a step of 16, a block of 64, and a round of 16 blocks.
            for k in [8, 16, 24, 56, 64, 72, 1016, 1024, 1032, 3072] {
                for rows in [5, 33] {
                    probe::matmul(probe, format, [rows, 13, k], u64::MAX).await.unwrap();
                }
            }
            if format != Q4_IN_8 {
                for k in [4, 20, 68] {
                    probe::matmul(probe, format, [5, 13, k], u64::MAX).await.unwrap();
                    probe::matmul(probe, format, [33, 13, k], u64::MAX).await.unwrap();
                }
            }
            for matrices in [1, 2] {
                probe::rows_alike(probe, format, matrices).await.unwrap();
            }
        }
        for group in [4, 12, 32, 64, 128, 1024, u32::MAX] {
            for format in [MatrixFormat::Q8 { group }, MatrixFormat::Q4 { group }] {
                for k in [8, 40, 64, 136, 1032] {
                    for rows in [5, 33] {
                        probe::matmul(probe, format, [rows, 9, k], u64::MAX).await.unwrap();
                    }
                }
                probe::rows_alike(probe, format, 1).await.unwrap();
                probe::swiglu(probe, format, [33, 9, 72], u64::MAX).await.unwrap();
            }
        }
    });
}

#[test]
fn heads_at_the_edges_of_every_tile() {
    on_each_strip_family(async |probe| {
        for format in strip_formats() {
            // A workgroup has a head of 16, 32 or 128 tokens.
            for rows in [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129] {
                for heads in [[1, 1], [2, 1], [3, 3]].into_iter().filter(|heads| every() || rows == 17 || heads[0] == 2)
                {
                    probe::heads(probe, format, [rows, 24], heads).await.unwrap();
                }
            }
            // Enough heads for the largest tile; K below, at and past a step, a block, a round of eight blocks, and 16 chains.
            for [rows, k] in [[33, 8], [1025, 24], [1152, 16], [5, 64], [5, 72], [40, 520], [5, 1024], [17, 1032]] {
                probe::heads(probe, format, [rows, k], [2, 1]).await.unwrap();
            }
            probe::heads_alike(probe, format).await.unwrap();
        }
        for format in [MatrixFormat::Q8 { group: 64 }, MatrixFormat::Q4 { group: u32::MAX }] {
            probe::heads(probe, format, [5, 136], [2, 1]).await.unwrap();
            probe::heads(probe, format, [33, 136], [2, 1]).await.unwrap();
        }
    });
}

#[test]
fn strips_cut_into_parts() {
    on_each_strip_family(async |probe| {
        for format in strip_formats() {
            // Rows of 24 are padded to 32; parts are whole strips of 64.
            let strip = 64 * format.value_bytes(32).max(format.row_groups(24) * 8);
            for strips in [1, 2] {
                for rows in [5, 40] {
                    probe::matmul(probe, format, [rows, 150, 24], strip * strips).await.unwrap();
                    probe::swiglu(probe, format, [rows, 150, 24], 2 * strip * strips).await.unwrap();
                }
            }
        }
    });
}

#[test]
fn every_size_of_group_with_a_shorter_last_one() {
    on_each(async |probe| {
        for group in [4, 12, 32, 64, 128, 1024, u32::MAX] {
            for format in [MatrixFormat::Q8 { group }, MatrixFormat::Q4 { group }] {
                // Below, at and past one, two and four groups of 32 or 64, one of 128 and one of 1024.
                for k in [8, 24, 32, 40, 64, 72, 128, 136, 256, 264, 1024] {
                    probe::matmul(probe, format, [5, 9, k], u64::MAX).await.unwrap();
                    // A product of two long sums is too ill-conditioned for the probes' tolerance.
                    if k <= 136 {
                        probe::swiglu(probe, format, [5, 5, k], u64::MAX).await.unwrap();
                    }
                }
            }
        }
        // One group a row that is no multiple of four, as K = 36 in groups of 37.
        probe::matmul(probe, MatrixFormat::Q8 { group: 37 }, [5, 9, 36], u64::MAX).await.unwrap();
    });
}

#[test]
fn matmul_and_swiglu_with_weights_cut_into_parts() {
    on_each(async |probe| {
        for format in FORMATS {
            // Rows of 24 in groups of 8 have as many bytes of groups as of q8 codes.
            let row = format.value_bytes(24).max(format.row_groups(24) * 8);
            for rows_a_part in [1, 8, 9, 29, 30] {
                probe::matmul(probe, format, [5, 30, 24], row * rows_a_part).await.unwrap();
                // A part of a pair has its rows twice.
                probe::swiglu(probe, format, [5, 30, 24], 2 * row * rows_a_part).await.unwrap();
            }
        }
    });
}

#[test]
fn bytes_of_a_matrix_and_of_a_pair() {
    for backend in backends() {
        let kernels = block_on(backend.kernels(&[])).unwrap();
        let format = MatrixFormat::Q4 { group: 32 };
        let [one, two] = [1, 2].map(|matrices| backend.weight(&kernels, "w", [matrices, 3, 80], format).unwrap());
        // 40 bytes of codes and 3 groups of 8 bytes a row.
        assert_eq!((one.bytes(), two.bytes(), one.format()), (3 * 64, 6 * 64, format));
        assert_eq!(backend.weight(&kernels, "w", [1, 3, 80], MatrixFormat::Bf16).unwrap().bytes(), 480);
    }
}

#[test]
fn rows_that_no_kernel_reads_are_refused_by_the_name_of_the_weight() {
    for backend in backends() {
        let kernels = block_on(backend.kernels(&[])).unwrap();
        for format in [MatrixFormat::Q4 { group: 64 }, MatrixFormat::Q8 { group: 0 }] {
            let refused = backend.weight(&kernels, "layers.0.mlp", [2, 2, 60], format).err().unwrap();
            assert_eq!(refused.code(), "unsupported");
            assert!(refused.to_string().starts_with("layers.0.mlp with K = 60"), "{refused}");
        }
    }
}

#[test]
fn a_format_without_kernels_and_a_pair_in_the_place_of_a_matrix_fail() {
    block_on(async {
        let backend = &backends()[0];
        let kernels = backend.kernels(&Operation::of_encoder(heads(4, false), &[Q8_IN_8, Q8_IN_8])).await.unwrap();
        let names: Vec<String> = kernels.choices().into_iter().map(|(name, _)| name).collect();
        let products: Vec<_> = names.iter().filter(|n| n.contains("matmul") || n.contains("swiglu")).collect();
        assert_eq!(products, ["matmul.register.q8", "swiglu.register.q8"], "{names:?}");
        let (x, y) = (backend.buffer("x", 1024).unwrap(), backend.buffer("y", 1024).unwrap());
        let pair = backend.weight(&kernels, "w", [2, 8, 8], Q8_IN_8).unwrap();
        let plain = backend.weight(&kernels, "w", [1, 8, 8], MatrixFormat::F32).unwrap();
        let mut run = backend.run(&kernels, &()).unwrap();
        for (wrong, why) in [(&pair, "reads 1 matrices"), (&plain, "no kernel for matmul f32")] {
            let error = run.matmul(&x, wrong, &y, 1, 0).await.err().unwrap();
            assert!(error.code() == "gpu" && error.to_string().contains(why), "{error}");
        }
        run.swiglu(&x, None, &pair, &y, 1).await.unwrap();
        run.finish().await.unwrap();
    });
}

#[test]
fn what_belongs_to_the_other_engine_is_refused() {
    let (gpu, cpu) = (&backends()[0], &backends()[1]);
    let kernels = block_on(gpu.kernels(&[Operation::RmsNorm])).unwrap();
    assert_eq!(cpu.run(&kernels, &()).err().map(|e| e.code()), None, "the processor compiles nothing");
    let own = block_on(cpu.kernels(&[Operation::RmsNorm])).unwrap();
    assert_eq!(gpu.run(&own, &()).err().unwrap().code(), "gpu");
    let (here, there) = (gpu.buffer("here", 64).unwrap(), cpu.buffer("there", 64).unwrap());
    let mut run = gpu.run(&kernels, &()).unwrap();
    assert_eq!(run.rms_norm(&here, &there, &here, 1, 4, 1e-6).err().unwrap().code(), "gpu");
    assert_eq!(here.copy_from(&there, std::iter::empty()).err().unwrap().code(), "gpu");
}

#[test]
fn allocating_gives_what_was_made_and_keeps_its_error() {
    for backend in backends() {
        let kernels = &block_on(backend.kernels(&[])).unwrap();
        let make = |k| move || backend.weight(kernels, "w", [1, 8, k], Q4_IN_8);
        assert_eq!(block_on(backend.allocate(make(64))).unwrap().format(), Q4_IN_8);
        assert_eq!(block_on(backend.allocate(make(63))).err().unwrap().code(), "unsupported");
    }
}

#[test]
fn pooling_at_the_edges_of_a_block_of_64_tokens() {
    on_each(async |probe| {
        for lengths in [&[1][..], &[0], &[0, 3, 0], &[63, 64, 65], &[1, 200, 7]] {
            for h in [1, 3, 64, 100] {
                for weights in [[1.0, 0.0], [0.25, 0.25]] {
                    probe::pool(probe, lengths, h, weights).await.unwrap();
                }
            }
        }
    });
}

#[test]
fn a_bias_and_an_activation_at_the_edges_of_a_workgroup() {
    on_each(async |probe| {
        for [rows, n] in [[1, 1], [3, 63], [2, 64], [5, 65], [600, 4]] {
            for activation in [Activation::Identity, Activation::Tanh] {
                probe::bias(probe, rows, n, activation).await.unwrap();
            }
        }
    });
}

#[test]
fn every_form_of_vectors_at_the_edges_of_a_word() {
    on_each(async |probe| {
        for d in [1, 3, 4, 5, 31, 32, 33, 64, 100] {
            for dtype in [Dtype::Float32, Dtype::Int8, Dtype::Binary, Dtype::Ubinary] {
                probe::quantize(probe, 5, [100, d], dtype, false).await.unwrap();
            }
            probe::quantize(probe, 5, [100, d], Dtype::Float32, true).await.unwrap();
        }
    });
}
