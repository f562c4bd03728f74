//! Linear layers that round activations: to 8 bits, on the processor where it has instructions for that and on any adapter; to
//! halves, on adapters with cooperative matrices.

use pollster::block_on;
use pplx_embed::backend::probe::{self, Probe};
use pplx_embed::backend::{Backend, Operation, Precision};
use pplx_embed::numbers::MatrixFormat;

use super::{FORMATS, Q4_IN_8, Q8_IN_8, backends, heads};
use crate::support::matrix_sizes;

fn operations() -> Vec<Operation> {
    Operation::of_encoder(heads(64, false), &FORMATS)
}

/// Runs `test` on each engine that has the kernels. Whether a processor has them depends on the machine.
fn on_each(test: impl AsyncFn(&Probe<'_>)) {
    on_the_gpu("int8", &test);
    on_matrices(&test);
    for backend in &backends()[1..] {
        let kernels = block_on(backend.kernels_for(Precision::Fast, &operations())).unwrap();
        if kernels.precision() == Precision::Fast {
            block_on(test(&Probe { backend, kernels: &kernels, tolerance: 2e-5 }));
        }
    }
}

/// Runs `test` with the kernels of this family, which are not offered on a software adapter.
fn on_the_gpu(family: &str, test: impl AsyncFn(&Probe<'_>)) {
    let of = |format| [Operation::Matmul(format), Operation::Swiglu(format), Operation::Heads(format)];
    let kernels = block_on(backends()[0].kernels_of(family, &[of(Q8_IN_8), of(Q4_IN_8)].concat())).unwrap();
    assert_eq!(kernels.precision(), Precision::Fast);
    block_on(test(&Probe { backend: &backends()[0], kernels: &kernels, tolerance: 2e-5 }));
}

/// Runs `test` with the kernels of each size of cooperative matrices that the adapter has.
fn on_matrices(test: impl AsyncFn(&Probe<'_>)) {
    let Backend::Gpu(gpu) = &backends()[0] else { panic!("the first is the GPU") };
    for size in matrix_sizes(gpu) {
        on_the_gpu(&format!("matrix{size}"), &test);
    }
}

fn names(backend: &Backend, precision: Precision) -> Vec<String> {
    let kernels = block_on(backend.kernels_for(precision, &operations())).unwrap();
    kernels.choices().into_iter().map(|(name, _)| name).collect()
}

#[test]
fn only_a_processor_with_byte_products_has_other_kernels_and_only_for_codes() {
    for backend in backends() {
        let (exact, fast) = (names(backend, Precision::Exact), names(backend, Precision::Fast));
        let kernels = block_on(backend.kernels_for(Precision::Fast, &operations())).unwrap();
        let other: Vec<&str> = fast.iter().filter(|name| !exact.contains(name)).map(String::as_str).collect();
        if exact.iter().any(|name| name == "matmul.avx512.q8") {
            assert_eq!(kernels.precision(), Precision::Fast);
            let four = ["matmul", "swiglu"].map(|o| ["q8", "q4"].map(|f| format!("{o}.avx512_int8.{f}")));
            let mut four = four.concat();
            four.sort();
            let mut other = other.clone();
            other.sort_unstable();
            assert_eq!(other, four);
        } else {
            assert_eq!((kernels.precision(), other.len()), (Precision::Exact, 0), "{fast:?}");
        }
        // Without codes there is nothing to round.
        let plain = Operation::of_encoder(heads(64, false), &[MatrixFormat::F32, MatrixFormat::Bf16]);
        assert_eq!(block_on(backend.kernels_for(Precision::Fast, &plain)).unwrap().precision(), Precision::Exact);
    }
}

#[test]
fn matmul_and_swiglu_at_the_edges_of_the_tiles() {
    on_each(async |probe| {
        for format in [Q8_IN_8, Q4_IN_8] {
            // Four rows a tile, two tiles together; 32 outputs a panel, 16 in either half of the bytes of four bits.
            for rows in [1, 3, 4, 5, 7, 8, 9, 12, 13, 17] {
                for n in [1, 15, 16, 17, 31, 32, 33, 65] {
                    probe::matmul(probe, format, [rows, n, 24], u64::MAX).await.unwrap();
                    probe::swiglu(probe, format, [rows, n, 24], u64::MAX).await.unwrap();
                }
            }
            for k in [8, 16, 1024, 3072] {
                probe::matmul(probe, format, [9, 37, k], u64::MAX).await.unwrap();
            }
        }
        for k in [4, 20] {
            probe::matmul(probe, Q8_IN_8, [5, 13, k], u64::MAX).await.unwrap();
        }
    });
}

#[test]
fn the_tiles_of_gpus_at_their_edges() {
    on_the_gpu("int8", tiles_at_their_edges);
}

#[test]
fn the_tiles_of_cooperative_matrices_at_their_edges() {
    on_matrices(tiles_at_their_edges);
}

async fn tiles_at_their_edges(probe: &Probe<'_>) {
    for format in [Q8_IN_8, Q4_IN_8] {
        // A workgroup has 16 tokens and 32 outputs, half of them of a pair, or 32 or 64 tokens and 128 outputs.
        for rows in [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129] {
            for n in [1, 31, 32, 33, 63, 64, 65, 127, 128, 129] {
                probe::matmul(probe, format, [rows, n, 24], u64::MAX).await.unwrap();
            }
            for n in [1, 15, 16, 17, 63, 64, 65] {
                probe::swiglu(probe, format, [rows, n, 24], u64::MAX).await.unwrap();
            }
            for heads in [[1, 1], [2, 1]] {
                probe::heads(probe, format, [rows, 24], heads).await.unwrap();
            }
        }
        // Enough rows for the larger tile, past one tile of outputs.
        for [rows, n] in [[1985, 1], [1025, 129]] {
            probe::matmul(probe, format, [rows, n, 24], u64::MAX).await.unwrap();
            probe::swiglu(probe, format, [rows, n, 8], u64::MAX).await.unwrap();
            probe::heads(probe, format, [rows, 8], [2, 1]).await.unwrap();
        }
        // Below, at and past a round of eight and of sixteen blocks of the kernels for few tokens.
        for k in [56, 64, 72, 120, 128, 136, 1032] {
            probe::matmul(probe, format, [17, 33, k], u64::MAX).await.unwrap();
            probe::heads(probe, format, [17, k], [2, 1]).await.unwrap();
        }
        probe::heads_alike(probe, format).await.unwrap();
        // Rows of 24 in groups of 8 are padded to 48; parts are whole strips of 64.
        let strip = 64 * format.value_bytes(48).max(format.row_groups(24) * 8);
        for strips in [1, 2] {
            probe::matmul(probe, format, [5, 150, 24], strip * strips).await.unwrap();
            probe::swiglu(probe, format, [40, 150, 24], 2 * strip * strips).await.unwrap();
        }
    }
    for format in [MatrixFormat::Q8 { group: 64 }, MatrixFormat::Q4 { group: u32::MAX }] {
        for rows in [5, 33] {
            probe::heads(probe, format, [rows, 136], [2, 1]).await.unwrap();
        }
    }
}

#[test]
fn every_size_of_group_with_a_shorter_last_one() {
    on_each(async |probe| {
        for group in [4, 12, 16, 32, 37, 64, 128, 1024, u32::MAX] {
            for format in [MatrixFormat::Q8 { group }, MatrixFormat::Q4 { group }] {
                // GPUs read groups of whole vec4s.
                let all = group % 4 == 0 || group == u32::MAX || !matches!(probe.backend, Backend::Gpu(_));
                for k in [8, 24, 40, 64, 72, 136, 264, 1024].into_iter().filter(|_| all) {
                    probe::matmul(probe, format, [5, 9, k], u64::MAX).await.unwrap();
                    // A product of two long sums is too ill-conditioned for the probes' tolerance.
                    if k <= 40 {
                        probe::swiglu(probe, format, [13, 35, k], u64::MAX).await.unwrap();
                    }
                }
            }
        }
        probe::matmul(probe, MatrixFormat::Q8 { group: 37 }, [5, 9, 36], u64::MAX).await.unwrap();
    });
}

#[test]
fn a_row_has_the_same_bits_among_any_others() {
    on_each(async |probe| {
        for group in [8, 64, u32::MAX] {
            for format in [MatrixFormat::Q8 { group }, MatrixFormat::Q4 { group }] {
                for matrices in [1, 2] {
                    probe::rows_alike(probe, format, matrices).await.unwrap();
                }
            }
        }
    });
}

#[test]
fn products_are_those_of_eight_bits_and_not_of_sixteen() {
    on_each(async |probe| {
        if probe.backend.rounded_blocks(probe.kernels, Operation::Matmul(Q8_IN_8), 24).is_none() {
            return; // Rounds to halves.
        }
        // The twin rounds to what it is told the kernels round to: told of others, it must disagree.
        let exact = block_on(probe.backend.kernels_for(Precision::Exact, &operations())).unwrap();
        let before = matches!(probe.backend, Backend::Cpu(_)).then_some(32767.0);
        let levels =
            |kernels| probe.backend.rounded_blocks(kernels, Operation::Matmul(Q8_IN_8), 24).map(|(_, levels)| levels);
        assert_eq!((levels(probe.kernels), levels(&exact)), (Some(127.0), before));
        for format in [Q8_IN_8, Q4_IN_8] {
            let wrong = Probe { tolerance: 1e-9, ..*probe };
            assert!(probe::matmul(&wrong, format, [5, 33, 1024], u64::MAX).await.is_err());
        }
    });
}

#[test]
fn a_row_that_is_not_finite_gives_no_finite_product_and_leaves_the_others_alone() {
    let test = async |probe: &Probe<'_>| {
        let (rows, n, k) = (5, 9, 136);
        for format in [Q8_IN_8, Q4_IN_8] {
            let weight = probe.backend.weight(probe.kernels, "w", [1, n, k], format).unwrap();
            let mut x = probe::values(1, (rows * k) as usize);
            x[k as usize + 70] = f32::NAN;
            x[2 * k as usize + 135] = f32::INFINITY;
            x[3 * k as usize..4 * k as usize].fill(1e-40);
            x[4 * k as usize..].fill(0.0);
            let (x, y) = (probe.backend.buffer_of("x", &x).unwrap(), probe.backend.buffer("y", 180).unwrap());
            let mut run = probe.backend.run(probe.kernels, &()).unwrap();
            run.matmul(&x, &weight, &y, rows, 0).await.unwrap();
            run.finish().await.unwrap();
            let y: Vec<f32> = bytemuck::pod_collect_to_vec(&y.read(0, 180).await.unwrap());
            let finite: Vec<usize> = y.chunks(n as usize).map(|y| y.iter().filter(|v| v.is_finite()).count()).collect();
            assert_eq!(finite, [9, 0, 0, 9, 9]);
        }
    };
    on_the_gpu("int8", test);
    on_matrices(test);
}
