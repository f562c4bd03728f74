//! The processor's operations over shapes that nobody chose, against their twins: with each kind of vector instructions, and
//! on several threads. `PROPTEST_CASES` sets how many, 16 unless told.

use std::sync::OnceLock;

use pollster::block_on;
use pplx_embed::backend::probe::{self, Probe};
use pplx_embed::backend::{Activation, Backend, Heads, Operation, Precision};
use pplx_embed::numbers::{Dtype, MatrixFormat, RowFormat};
use proptest::prelude::*;
use proptest::sample::select;

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(16);
    ProptestConfig { cases, failure_persistence: None, ..Default::default() }
}

/// Each kind of instructions that this machine has, and the best on three threads.
fn processors() -> &'static [Backend] {
    static ALL: OnceLock<Vec<Backend>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all = Backend::cpus();
        all.push(Backend::cpu_with_threads(3));
        all
    })
}

fn format() -> impl Strategy<Value = MatrixFormat> {
    let group = prop_oneof![1..80u32, select(&[64, 128, 256, 512, 1024, u32::MAX][..])];
    (0..5, group).prop_map(|(kind, group)| match kind {
        0 => MatrixFormat::F32,
        1 => MatrixFormat::F16,
        2 => MatrixFormat::Bf16,
        3 => MatrixFormat::Q8 { group },
        _ => MatrixFormat::Q4 { group },
    })
}

/// How many inputs a weight may have: whole vec4s, and of codes of 4 bits whole words.
fn inputs(format: MatrixFormat, quads: u32) -> u32 {
    let step = if matches!(format, MatrixFormat::Q4 { .. }) { 8 } else { 4 };
    (4 * quads).next_multiple_of(step)
}

/// Runs `test` on each processor with kernels for `operations`.
fn on_each(precision: Precision, operations: &[Operation], test: impl AsyncFn(&Probe<'_>) -> pplx_embed::Result<()>) {
    for backend in processors() {
        let kernels = block_on(backend.kernels_for(precision, operations)).unwrap();
        let probe = Probe { backend, kernels: &kernels, tolerance: 2e-5 };
        block_on(test(&probe)).unwrap_or_else(|error| panic!("{:?}: {error}", kernels.choices()));
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn matmul(format in format(), rows in 1..40u32, n in 1..140u32, quads in 1..130u32, fast in any::<bool>()) {
        let precision = if fast { Precision::Fast } else { Precision::Exact };
        let operations = [Operation::Matmul(format), Operation::Swiglu(format)];
        on_each(precision, &operations, async |probe| {
            probe::matmul(probe, format, [rows, n, inputs(format, quads)], u64::MAX).await?;
            // A product of two sums has the errors of both, each times the other.
            let probe = Probe { tolerance: 1e-4, ..*probe };
            probe::swiglu(&probe, format, [rows, n, inputs(format, 1 + quads % 8)], u64::MAX).await
        });
    }

    #[test]
    fn attention(
        lengths in prop::collection::vec(1..90usize, 1..4), key in 1..4u32, group in 1..4u32, quads in 1..40u32,
        causal in any::<bool>(), window in prop::option::of(1..100u32),
    ) {
        let heads = Heads { query: key * group, key, dim: 4 * quads, causal, window };
        on_each(Precision::Exact, &[Operation::Attention(heads)], async |probe| {
            probe::attention(probe, &lengths, heads).await
        });
    }

    #[test]
    fn what_goes_row_by_row(
        rows in 1..20u32, quads in 1..70u32, heads in 1..6u32, cut in 0..200u32, normalize in any::<bool>(),
        dtype in select(&[Dtype::Float32, Dtype::Int8, Dtype::Binary, Dtype::Ubinary][..]),
        lengths in prop::collection::vec(0..9usize, 1..6),
    ) {
        let h = 4 * quads;
        // Bits leave in whole bytes.
        let step = if matches!(dtype, Dtype::Binary | Dtype::Ubinary) { 8 } else { 1 };
        let dimensions = (h.saturating_sub(cut).max(1) / step * step).max(step);
        let all = [Operation::RmsNorm, Operation::HeadNormRope, Operation::Bias, Operation::Pool, Operation::Quantize];
        on_each(Precision::Exact, &all, async |probe| {
            probe::rms_norm(probe, rows, h).await?;
            probe::head_norm_rope(probe, rows, [heads, h]).await?;
            probe::bias(probe, rows, h, Activation::Tanh).await?;
            probe::pool(probe, &lengths, h, [0.5, 0.25]).await?;
            if dimensions <= h {
                probe::quantize(probe, rows, [h, dimensions], dtype, normalize && dtype == Dtype::Float32).await?;
            }
            Ok(())
        });
    }

    #[test]
    fn search(
        format in select(&[RowFormat::Float32, RowFormat::Float16, RowFormat::Int8, RowFormat::Binary][..]),
        dim in 1..300u32, queries in 1..6u32, rows in 1..90u32,
    ) {
        let dim = if format == RowFormat::Binary { dim.next_multiple_of(8) } else { dim };
        on_each(Precision::Exact, &[Operation::MaxSim(format)], async |probe| probe::maxsim(probe, format, dim).await);
        if format != RowFormat::Float16 {
            on_each(Precision::Exact, &[Operation::Dense(format)], async |probe| {
                probe::dense(probe, format, [queries, rows, dim]).await
            });
        }
    }
}
