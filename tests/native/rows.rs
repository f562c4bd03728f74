//! The kernels of rows that stay on the device, against their twins, over the edges of what a thread and a dispatch take:
//! on the adapter that `VK_ICD_FILENAMES` chooses, and on the processor.

use std::sync::OnceLock;

use half::f16;
use pollster::block_on;
use pplx_embed::backend::probe::{self, Probe};
use pplx_embed::backend::{Backend, Kernels, Operation};
use pplx_embed::numbers::RowFormat;
use pplx_embed::reference;

const DENSE: [RowFormat; 3] = [RowFormat::Int8, RowFormat::Float32, RowFormat::Binary];
const PACKED: [RowFormat; 4] = [RowFormat::Float32, RowFormat::Float16, RowFormat::Int8, RowFormat::Binary];

/// One device of each kind for the whole file.
fn backends() -> &'static [Backend] {
    static BACKENDS: OnceLock<Vec<Backend>> = OnceLock::new();
    BACKENDS.get_or_init(|| {
        let mut all = Backend::cpus();
        all.insert(0, block_on(Backend::gpu()).unwrap());
        // Kernels that this adapter would not get if it is emulated in software.
        all.push(block_on(Backend::gpu_with(&["tile"])).unwrap());
        all
    })
}

fn kernels(backend: &Backend, operation: Operation) -> Kernels {
    block_on(backend.kernels(&[operation])).unwrap()
}

/// Runs `test` for each format on each backend.
fn on_each(formats: &[RowFormat], operation: fn(RowFormat) -> Operation, test: impl AsyncFn(&Probe<'_>, RowFormat)) {
    for backend in backends() {
        for &format in formats {
            let kernels = kernels(backend, operation(format));
            block_on(test(&Probe { backend, kernels: &kernels, tolerance: 2e-5 }, format));
        }
    }
}

/// The words `[Q, N]` that a backend gives for queries and rows as they are in host memory.
fn similarities(backend: &Backend, format: RowFormat, queries: &[u8], rows: &[u8], dim: u32) -> Vec<u32> {
    let count = |bytes: &[u8]| (bytes.len() / format.row_bytes(dim) as usize) as u32;
    let mut padded = Vec::new();
    format.pad_rows(rows, dim, &mut padded);
    let kernels = kernels(backend, Operation::Dense(format));
    let (q, r) =
        (backend.queries(&kernels, format, queries, dim).unwrap(), backend.buffer_of("rows", &padded).unwrap());
    let total = u64::from(count(queries)) * u64::from(count(rows));
    let scores = backend.buffer("scores", total * 4).unwrap();
    let mut run = backend.run(&kernels, &()).unwrap();
    run.dense(format, [&q, &r, &scores], count(queries), 0..count(rows), dim).unwrap();
    block_on(run.finish()).unwrap();
    bytemuck::pod_collect_to_vec(&block_on(scores.read(0, total * 4)).unwrap())
}

#[test]
fn dense_at_the_edges_of_eight_queries_64_rows_and_16_bytes() {
    on_each(&DENSE, Operation::Dense, async |probe, format| {
        for dim in [1, 3, 4, 5, 15, 16, 17, 33, 127, 128, 129, 130, 1024] {
            for queries in [1, 2, 9] {
                probe::dense(probe, format, [queries, 66, dim]).await.unwrap();
            }
        }
        for queries in [1, 2, 7, 8, 9, 15, 16, 17, 65] {
            for rows in [1, 2, 63, 64, 65, 129] {
                probe::dense(probe, format, [queries, rows, 20]).await.unwrap();
            }
        }
    });
}

#[test]
fn bounds_at_the_edges_of_blocks_and_workgroups() {
    for format in DENSE {
        let gpu = &backends()[0];
        let kernels = block_on(gpu.kernels_of("blocks", &[Operation::DenseBounds(format)])).unwrap();
        let probe = Probe { backend: gpu, kernels: &kernels, tolerance: 2e-6 };
        for queries in [1, 2, 9] {
            for columns in [1, 63, 64, 65, 128, 129, 4095, 4096, 4097] {
                block_on(probe::dense_bounds(&probe, format, [queries, columns])).unwrap();
            }
        }
    }
    // The processor and software adapters read similarities as they are.
    let bounds = Operation::DenseBounds(RowFormat::Int8);
    assert!(backends()[..2].iter().all(|backend| !kernels(backend, bounds).have(bounds)));
}

#[test]
fn dense_of_65536_dimensions_and_of_the_largest_codes() {
    // A chain of 16,384 additions of float32 is not within the probes' tolerance.
    on_each(&[RowFormat::Int8, RowFormat::Binary], Operation::Dense, async |probe, format| {
        probe::dense(probe, format, [3, 5, 65_536]).await.unwrap();
    });
    let [lowest, highest] = [[0x80; 65_536], [0x7f; 65_536]];
    // One number at the end tells whether the loop came that far.
    let mut vector = vec![0f32; 65_536];
    (vector[0], vector[65_535]) = (0.5, 3.0);
    let bytes = bytemuck::cast_slice(&vector);
    for backend in backends() {
        let got = similarities(backend, RowFormat::Int8, &lowest, &[lowest, highest].concat(), 65_536);
        assert_eq!(got.iter().map(|&w| w as i32).collect::<Vec<_>>(), [16_384 * 65_536, -128 * 127 * 65_536]);
        assert_eq!(similarities(backend, RowFormat::Float32, bytes, bytes, 65_536), [9.25f32.to_bits()]);
    }
}

#[test]
fn a_similarity_of_floats_has_the_same_bits_alone_in_any_batch_and_at_any_row() {
    for (backend, dim) in backends().iter().flat_map(|b| [1, 7, 128, 1030].map(|dim| (b, dim))) {
        let (queries, rows) = (probe::values(1, 19 * dim), probe::values(2, 70 * dim));
        let bytes = |values: &[f32]| bytemuck::cast_slice::<f32, u8>(values).to_vec();
        let compared = |q: &[u8], r: &[u8]| similarities(backend, RowFormat::Float32, q, r, dim as u32);
        let all = compared(&bytes(&queries), &bytes(&rows));
        for q in [0, 7, 8, 18] {
            let query = bytes(&queries[q * dim..(q + 1) * dim]);
            let alone = compared(&query, &bytes(&rows[3 * dim..]));
            assert_eq!(alone, all[q * 70 + 3..(q + 1) * 70], "query {q} of {dim} dimensions");
            let twice = compared(&query.repeat(2), &bytes(&rows[69 * dim..]));
            assert_eq!(twice, [all[q * 70 + 69]; 2], "query {q} of {dim} dimensions");
        }
    }
}

#[test]
fn more_rows_than_a_dispatch_takes_and_more_work_than_a_submission() {
    // 32,768 workgroups of 64 rows and some; then what is cut at first, when nothing is known of the adapter: by rows, by
    // queries.
    for (form, rows, queries, dim) in
        [(RowFormat::Binary, 2_097_200, 1, 8), (RowFormat::Int8, 60_000, 10, 256), (RowFormat::Float32, 3, 300, 65_000)]
    {
        let len = form.row_bytes(dim) as usize;
        let byte = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
        let whole = |i: usize| f32::from(i8::try_from(byte(i) % 16).unwrap() - 8);
        let make = |from: usize, count: usize| -> Vec<u8> {
            match form {
                // Whole numbers, whose sums are exact.
                RowFormat::Float32 => {
                    (from..from + count * dim as usize).flat_map(|i| whole(i).to_le_bytes()).collect()
                }
                _ => (from..from + count * len).map(byte).collect(),
            }
        };
        let (q, r) = (make(0, queries), make(77, rows));
        let got = similarities(&backends()[0], form, &q, &r, dim);
        assert_eq!(got.len(), queries * rows);
        let float = |bytes: &[u8]| bytemuck::pod_collect_to_vec::<u8, f32>(bytes);
        let expected = reference::dense(&q, &r, len, |a, b| match form {
            RowFormat::Binary => reference::hamming(a, b),
            RowFormat::Int8 => reference::dot_codes(bytemuck::cast_slice(a), bytemuck::cast_slice(b)) as u32,
            RowFormat::Float32 | RowFormat::Float16 => (reference::dot(&float(a), &float(b)) as f32).to_bits(),
        });
        let wrong = (0..got.len()).find(|&i| got[i] != expected[i]);
        assert_eq!(wrong, None, "{form:?}");
    }
}

#[test]
fn no_queries_and_no_rows_are_nothing_to_do() {
    for (backend, format) in backends().iter().flat_map(|b| DENSE.map(|format| (b, format))) {
        let kernels = kernels(backend, Operation::Dense(format));
        let [other, scores] = [(); 2].map(|()| backend.buffer_of("scores", &[7u32; 4]).unwrap());
        let mut run = backend.run(&kernels, &()).unwrap();
        run.dense(format, [&other, &other, &scores], 0, 0..1, 4).unwrap();
        run.dense(format, [&other, &other, &scores], 1, 0..0, 4).unwrap();
        block_on(run.finish()).unwrap();
        assert_eq!(block_on(scores.read(0, 16)).unwrap(), [7, 0, 0, 0].repeat(4));
    }
}

#[test]
fn rows_are_padded_to_16_bytes_and_unused_bits_are_cleared() {
    let mut padded = vec![9];
    RowFormat::Binary.pad_rows(&[0xff, 0xff, 0x12, 0xff], 9, &mut padded);
    assert_eq!(padded, [&[9, 0xff, 0x80][..], &[0; 14], &[0x12, 0x80], &[0; 14]].concat());
    for (format, dim, host, row) in [
        (RowFormat::Int8, 1024, 1024, 1024),
        (RowFormat::Int8, 17, 17, 32),
        (RowFormat::Float32, 5, 20, 32),
        (RowFormat::Float16, 9, 18, 32),
        (RowFormat::Binary, 129, 17, 32),
        (RowFormat::Binary, 128, 16, 16),
    ] {
        assert_eq!((format.row_bytes(dim), format.padded_bytes(dim)), (host, row));
    }
}

#[test]
fn packing_at_the_edges_of_a_word_and_of_a_padded_row() {
    on_each(&PACKED, Operation::PackRows, async |probe, format| {
        for dim in [1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 96, 127, 128, 130] {
            for rows in [1, 2, 64, 65] {
                probe::pack_rows(probe, format, rows, dim).await.unwrap();
            }
        }
        probe::pack_rows(probe, format, 2, 65_536).await.unwrap();
    });
}

/// Packs these vectors on each backend.
fn pack_these(format: RowFormat, floats: &[f32], dim: u32) {
    on_each(&[format], Operation::PackRows, async |probe, format| {
        probe::pack_these_rows(probe, format, floats, dim).await.unwrap();
    });
}

#[test]
fn every_float16_and_what_lies_between_two() {
    let mut floats = vec![0f32; 128];
    for bits in 0..0x7c00u16 {
        let (this, next) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits + 1).to_f32().min(65_536.0));
        // Halfway, in float32 exact, and its neighbours.
        let middle = this + (next - this) / 2.0;
        floats.extend([this, middle, middle.next_down(), middle.next_up()]);
        floats.extend([-this, -middle, -middle.next_down(), -middle.next_up()]);
    }
    assert_eq!(floats.len() % 128, 0);
    pack_these(RowFormat::Float16, &floats, 128);
}

/// Repeatable words, all bits of them at random.
fn words(seed: u64, count: usize) -> impl Iterator<Item = u32> {
    let halves = probe::values(seed, 2 * count);
    let half = |v: f32| ((v + 1.0) * 32_768.0) as u32 & 0xffff;
    (0..count).map(move |i| half(halves[2 * i]) << 16 | half(halves[2 * i + 1]))
}

#[test]
fn numbers_of_every_size_keep_the_bits_that_the_host_gives_them() {
    for format in PACKED {
        for dim in [4, 130] {
            // Every exponent but that of infinities; then rows of subnormals alone, whose scale is one too.
            let any =
                words(5, 4000 * dim).map(|w| f32::from_bits(if w >> 23 & 0xff == 0xff { w & !(1 << 30) } else { w }));
            let tiny = words(6, 2000 * dim).map(|w| f32::from_bits(w & 0x8000_ffff));
            let floats: Vec<f32> = any.chain(tiny).collect();
            assert!(floats.iter().all(|v| v.is_finite()) && floats.iter().any(|v| v.is_subnormal()));
            pack_these(format, &floats, dim as u32);
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
    pack_these(RowFormat::Int8, &floats, DIM as u32);
}

#[test]
fn more_vectors_than_a_dispatch_takes_and_more_work_than_a_submission() {
    for (format, rows, dim) in [(RowFormat::Float32, 530_000, 4), (RowFormat::Int8, 30_000, 128)] {
        let backend = &backends()[0];
        let kernels = kernels(backend, Operation::PackRows(format));
        let probe = Probe { backend, kernels: &kernels, tolerance: 0.0 };
        block_on(probe::pack_rows(&probe, format, rows, dim)).unwrap();
    }
}

#[test]
fn int8_without_room_for_scales_fails() {
    for backend in backends() {
        let kernels = kernels(backend, Operation::PackRows(RowFormat::Int8));
        let (vectors, data) = (backend.buffer("vectors", 64).unwrap(), backend.buffer("data", 64).unwrap());
        let mut run = backend.run(&kernels, &()).unwrap();
        let error = run.pack_rows(RowFormat::Int8, &vectors, (&data, None), 0..1, 0, 4).unwrap_err();
        assert!(error.code() == "gpu" && error.to_string().contains("scales"), "{error}");
    }
}
