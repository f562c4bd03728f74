//! The kernels of rows that stay on the device, against their CPU twins, over the edges of what a thread and a dispatch
//! take, on the adapter that `VK_ICD_FILENAMES` chooses.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::sync::OnceLock;

use half::f16;
use pollster::block_on;
use pplx_embed::cpu;
use pplx_embed::gpu::{Dense, DenseBuffers, DenseForm, Gpu, Keep, KeepBuffers, Recorder, TokenForm, probe};

const DENSE: [DenseForm; 3] = [DenseForm::I8, DenseForm::F32, DenseForm::B1];
const KEPT: [TokenForm; 4] = [TokenForm::F32, TokenForm::F16, TokenForm::I8, TokenForm::B1];

/// One device for the whole file.
fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| block_on(Gpu::open()).unwrap())
}

fn dense(form: DenseForm) -> Dense {
    block_on(Dense::new(gpu(), form)).unwrap()
}

fn keep(form: TokenForm) -> Keep {
    block_on(Keep::new(gpu(), form)).unwrap()
}

/// The words `[Q, N]` that the kernel gives for queries and rows as they are in host memory.
fn similarities(kernel: &Dense, queries: &[u8], rows: &[u8], dim: u32) -> Vec<u32> {
    let form = kernel.form();
    let count = |bytes: &[u8]| (bytes.len() / form.host_bytes(dim) as usize) as u32;
    let (mut q, mut r) = (Vec::new(), Vec::new());
    form.pad_queries(queries, dim, &mut q);
    form.pad_rows(rows, dim, &mut r);
    let (q, r) = (gpu().storage_of("queries", &q).unwrap(), gpu().storage_of("rows", &r).unwrap());
    let total = u64::from(count(queries)) * u64::from(count(rows));
    let scores = gpu().storage("scores", total * 4).unwrap();
    let mut run = Recorder::for_dense(gpu(), kernel, &());
    let buffers = DenseBuffers { queries: &q, rows: &r, scores: &scores };
    run.dense(buffers, count(queries), 0..count(rows), dim);
    block_on(run.finish()).unwrap();
    bytemuck::pod_collect_to_vec(&block_on(gpu().read(&scores, total * 4)).unwrap())
}

#[test]
fn dense_at_the_edges_of_eight_queries_64_rows_and_16_bytes() {
    for kernel in DENSE.map(dense) {
        for dim in [1, 3, 4, 5, 15, 16, 17, 33, 127, 128, 129, 130, 1024] {
            for queries in [1, 2, 9] {
                block_on(probe::dense(gpu(), &kernel, [queries, 66, dim])).unwrap();
            }
        }
        for queries in [1, 2, 7, 8, 9, 15, 16, 17, 65] {
            for rows in [1, 2, 63, 64, 65, 129] {
                block_on(probe::dense(gpu(), &kernel, [queries, rows, 20])).unwrap();
            }
        }
    }
}

#[test]
fn dense_of_65536_dimensions_and_of_the_largest_codes() {
    for kernel in DENSE.map(dense) {
        // A chain of 16,384 additions of float32 is not within the probes' tolerance.
        if kernel.form() != DenseForm::F32 {
            block_on(probe::dense(gpu(), &kernel, [3, 5, 65_536])).unwrap();
        }
    }
    let [lowest, highest] = [[0x80; 65_536], [0x7f; 65_536]];
    let got = similarities(&dense(DenseForm::I8), &lowest, &[lowest, highest].concat(), 65_536);
    assert_eq!(got.iter().map(|&w| w as i32).collect::<Vec<_>>(), [16_384 * 65_536, -128 * 127 * 65_536]);

    // One number at the end tells whether the loop came that far.
    let mut vector = vec![0f32; 65_536];
    (vector[0], vector[65_535]) = (0.5, 3.0);
    let bytes = bytemuck::cast_slice(&vector);
    assert_eq!(similarities(&dense(DenseForm::F32), bytes, bytes, 65_536), [9.25f32.to_bits()]);
}

#[test]
fn a_similarity_of_floats_has_the_same_bits_alone_in_any_batch_and_at_any_row() {
    let kernel = dense(DenseForm::F32);
    for dim in [1, 7, 128, 1030] {
        let (queries, rows) = (probe::values(1, 19 * dim), probe::values(2, 70 * dim));
        let bytes = |values: &[f32]| bytemuck::cast_slice::<f32, u8>(values).to_vec();
        let all = similarities(&kernel, &bytes(&queries), &bytes(&rows), dim as u32);
        for q in [0, 7, 8, 18] {
            let query = bytes(&queries[q * dim..(q + 1) * dim]);
            let alone = similarities(&kernel, &query, &bytes(&rows[3 * dim..]), dim as u32);
            assert_eq!(alone, all[q * 70 + 3..(q + 1) * 70], "query {q} of {dim} dimensions");
            let twice = similarities(&kernel, &query.repeat(2), &bytes(&rows[69 * dim..]), dim as u32);
            assert_eq!(twice, [all[q * 70 + 69]; 2], "query {q} of {dim} dimensions");
        }
    }
}

#[test]
fn more_rows_than_a_dispatch_takes_and_more_work_than_a_submission() {
    // 32,768 workgroups of 64 rows and some; then what is cut at first, when nothing is known of the adapter: by rows, by
    // queries.
    for (form, rows, queries, dim) in
        [(DenseForm::B1, 2_097_200, 1, 8), (DenseForm::I8, 60_000, 10, 256), (DenseForm::F32, 3, 300, 65_000)]
    {
        let len = form.host_bytes(dim) as usize;
        let byte = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
        let whole = |i: usize| f32::from(i8::try_from(byte(i) % 16).unwrap() - 8);
        let make = |from: usize, count: usize| -> Vec<u8> {
            match form {
                // Whole numbers, whose sums are exact.
                DenseForm::F32 => (from..from + count * dim as usize).flat_map(|i| whole(i).to_le_bytes()).collect(),
                _ => (from..from + count * len).map(byte).collect(),
            }
        };
        let (q, r) = (make(0, queries), make(77, rows));
        let got = similarities(&dense(form), &q, &r, dim);
        assert_eq!(got.len(), queries * rows);
        let float = |bytes: &[u8]| bytemuck::pod_collect_to_vec::<u8, f32>(bytes);
        let expected = cpu::dense(&q, &r, len, |a, b| match form {
            DenseForm::B1 => cpu::hamming(a, b),
            DenseForm::I8 => cpu::dot_codes(bytemuck::cast_slice(a), bytemuck::cast_slice(b)) as u32,
            DenseForm::F32 => (cpu::dot(&float(a), &float(b)) as f32).to_bits(),
        });
        let wrong = (0..got.len()).find(|&i| got[i] != expected[i]);
        assert_eq!(wrong, None, "{form:?}");
    }
}

#[test]
fn no_queries_and_no_rows_are_nothing_to_do() {
    for kernel in DENSE.map(dense) {
        let scores = gpu().storage_of("scores", &[7u32; 4]).unwrap();
        let buffers = DenseBuffers { queries: &scores, rows: &scores, scores: &scores };
        let mut run = Recorder::for_dense(gpu(), &kernel, &());
        run.dense(buffers, 0, 0..4, 4);
        run.dense(buffers, 4, 0..0, 4);
        block_on(run.finish()).unwrap();
        assert_eq!(block_on(gpu().read(&scores, 16)).unwrap(), [7, 0, 0, 0].repeat(4));
    }
}

#[test]
fn rows_are_padded_to_16_bytes_and_spare_bits_are_no_dimensions() {
    let mut padded = vec![9];
    DenseForm::B1.pad_rows(&[0xff, 0xff, 0x12, 0xff], 9, &mut padded);
    assert_eq!(padded, [&[9, 0xff, 0x80][..], &[0; 14], &[0x12, 0x80], &[0; 14]].concat());
    let mut query = Vec::new();
    DenseForm::I8.pad_queries(&[0xff, 2], 2, &mut query);
    assert_eq!((query.len(), &query[..9]), (64, &[0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0][..]));
    for (form, dim, host, row, query) in [
        (DenseForm::I8, 1024, 1024, 1024, 4096),
        (DenseForm::I8, 17, 17, 32, 128),
        (DenseForm::F32, 5, 20, 32, 32),
        (DenseForm::B1, 129, 17, 32, 32),
        (DenseForm::B1, 128, 16, 16, 16),
    ] {
        assert_eq!((form.host_bytes(dim), form.row_bytes(dim), form.query_bytes(dim)), (host, row, query));
    }
}

#[test]
fn keeping_at_the_edges_of_a_word_and_of_a_padded_row() {
    for kernels in KEPT.map(keep) {
        for dim in [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 96, 127, 128, 130] {
            for rows in [1, 2, 64, 65] {
                block_on(probe::keep(gpu(), &kernels, rows, dim)).unwrap();
            }
        }
        block_on(probe::keep(gpu(), &kernels, 2, 65_536)).unwrap();
    }
}

#[test]
fn every_float16_and_what_lies_between_two() {
    let kernels = keep(TokenForm::F16);
    let mut floats = vec![0f32; 128];
    for bits in 0..0x7c00u16 {
        let (this, next) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits + 1).to_f32().min(65_536.0));
        // Halfway, in float32 exact, and its neighbours.
        let middle = this + (next - this) / 2.0;
        floats.extend([this, middle, middle.next_down(), middle.next_up()]);
        floats.extend([-this, -middle, -middle.next_down(), -middle.next_up()]);
    }
    assert_eq!(floats.len() % 128, 0);
    block_on(probe::keep_these(gpu(), &kernels, &floats, 128)).unwrap();
}

/// Repeatable words, all bits of them at random.
fn words(seed: u64, count: usize) -> impl Iterator<Item = u32> {
    let halves = probe::values(seed, 2 * count);
    let half = |v: f32| ((v + 1.0) * 32_768.0) as u32 & 0xffff;
    (0..count).map(move |i| half(halves[2 * i]) << 16 | half(halves[2 * i + 1]))
}

#[test]
fn numbers_of_every_size_keep_the_bits_that_the_host_gives_them() {
    for kernels in KEPT.map(keep) {
        for dim in [4, 130] {
            // Every exponent but that of infinities; then rows of subnormals alone, whose scale is one too.
            let any =
                words(5, 4000 * dim).map(|w| f32::from_bits(if w >> 23 & 0xff == 0xff { w & !(1 << 30) } else { w }));
            let tiny = words(6, 2000 * dim).map(|w| f32::from_bits(w & 0x8000_ffff));
            let floats: Vec<f32> = any.chain(tiny).collect();
            assert!(floats.iter().all(|v| v.is_finite()) && floats.iter().any(|v| v.is_subnormal()));
            block_on(probe::keep_these(gpu(), &kernels, &floats, dim as u32)).unwrap();
        }
    }
}

#[test]
fn int8_codes_next_to_a_half() {
    const DIM: usize = 128;
    let mut floats = Vec::new();
    for (row, largest) in probe::values(7, 3000).into_iter().enumerate() {
        let scale = largest.abs() / 127.0;
        floats.push(largest);
        let near = (1..DIM).map(|k| {
            let half = (k as f32 - 0.5) * scale;
            // From two steps below to two above.
            let bits = (half.to_bits() + (k + row) as u32 % 5).saturating_sub(2);
            if (k + row) % 2 == 0 { f32::from_bits(bits) } else { -f32::from_bits(bits) }
        });
        floats.extend(near);
    }
    block_on(probe::keep_these(gpu(), &keep(TokenForm::I8), &floats, DIM as u32)).unwrap();
}

#[test]
fn more_vectors_than_a_dispatch_takes_and_more_work_than_a_submission() {
    block_on(probe::keep(gpu(), &keep(TokenForm::F32), 530_000, 4)).unwrap();
    block_on(probe::keep(gpu(), &keep(TokenForm::I8), 30_000, 128)).unwrap();
}

#[test]
fn int8_without_room_for_scales_fails_the_run() {
    let kernels = keep(TokenForm::I8);
    let (vectors, data) = (gpu().storage("vectors", 64).unwrap(), gpu().storage("data", 64).unwrap());
    let mut run = Recorder::for_keep(gpu(), &kernels, &());
    run.keep(KeepBuffers { vectors: &vectors, data: &data, scales: None }, 0..1, 0, 4);
    let error = block_on(run.finish()).unwrap_err();
    assert!(error.code() == "gpu" && error.to_string().contains("scales"), "{error}");
}
