//! Scores of documents that are on the device: the bits of [`Scorer::score`], with both families of the kernel, on the
//! adapter that `VK_ICD_FILENAMES` chooses.

use std::cell::Cell;
use std::sync::OnceLock;

use pollster::block_on;
use pplx_embed::backend::{Backend, Buffer, Operation, probe};
use pplx_embed::maxsim::{Options, PieceSizes, Resident, Scorer, TokenVectors};
use pplx_embed::numbers::RowData;
use pplx_embed::numbers::RowFormat;
use pplx_embed::{Error, Progress, Watch};

use crate::support::maxsim::{FORMS, Items, close, oracle};

/// Empty documents, ones of a token, of a strip and one more or less, and of several; none, one and two at an end.
const LENGTHS: [usize; 16] = [0, 1, 1, 64, 0, 63, 65, 300, 0, 0, 1, 16, 17, 5, 129, 0];

fn gpu() -> &'static Backend {
    static GPU: OnceLock<Backend> = OnceLock::new();
    GPU.get_or_init(|| block_on(Backend::gpu()).unwrap())
}

fn scorers() -> &'static [Scorer; 3] {
    static SCORERS: OnceLock<[Scorer; 3]> = OnceLock::new();
    SCORERS.get_or_init(|| ["strip", "tile", "narrow"].map(Scorer::of))
}

/// Rows of items in a buffer that has room for three more, which are not zeros.
struct Buffers {
    data: Buffer,
    scales: Option<Buffer>,
}

impl Buffers {
    fn of(items: &Items) -> Self {
        let tokens = items.tokens();
        let (format, dim) = (tokens.format(), items.dim as u32);
        let mut rows = Vec::new();
        format.pad_rows(tokens.data.bytes(), dim, &mut rows);
        rows.resize(rows.len() + 3 * format.padded_bytes(dim) as usize, 0x3c);
        let scales = [&items.scales[..], &[9.0; 3]].concat();
        let scales = (items.form == RowFormat::Int8).then(|| gpu().buffer_of("scales", &scales).unwrap());
        Self { data: gpu().buffer_of("rows", &rows).unwrap(), scales }
    }

    fn resident<'a>(&'a self, items: &'a Items) -> Resident<'a> {
        let tokens = items.tokens();
        Resident {
            format: tokens.format(),
            dim: items.dim,
            offsets: &items.offsets,
            data: &self.data,
            scales: self.scales.as_ref(),
            peak: tokens.peak(),
        }
    }
}

fn resident(scorer: &Scorer, queries: &Items, documents: Resident<'_>, pairs: Option<&[(u32, u32)]>) -> Vec<u32> {
    bits(&block_on(scorer.score_resident(gpu(), queries.tokens(), documents, pairs, &())).unwrap())
}

fn uploaded(scorer: &Scorer, queries: &Items, documents: &Items, pairs: Option<&[(u32, u32)]>) -> Vec<u32> {
    let options = Options { pairs, normalize: false };
    bits(&block_on(scorer.score(gpu(), queries.tokens(), documents.tokens(), options, &())).unwrap())
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|s| s.to_bits()).collect()
}

#[test]
fn every_form_has_the_bits_of_documents_that_are_uploaded() {
    for scorer in scorers() {
        for (form, dim) in FORMS.into_iter().flat_map(|form| [1, 3, 96, 128, 130].map(|dim| (form, dim))) {
            let queries = Items::random(RowFormat::Float32, dim, &[1, 9, 33, 70], 1);
            let documents = Items::random(form, dim, &LENGTHS, 2);
            let buffers = Buffers::of(&documents);
            let got = block_on(scorer.score_resident(gpu(), queries.tokens(), buffers.resident(&documents), None, &()));
            let got = got.unwrap();
            assert_eq!(bits(&got), uploaded(scorer, &queries, &documents, None), "{form:?}, {dim} dimensions");
            close(&got, &oracle(&queries, &documents, false), &format!("{form:?}, {dim} dimensions"));
            let empty: Vec<bool> = got.iter().map(|&s| s == f32::NEG_INFINITY).collect();
            assert_eq!(empty, LENGTHS.map(|n| n == 0).repeat(4));
        }
    }
}

#[test]
fn chosen_documents_score_as_among_all_whatever_lies_between_them() {
    let count = LENGTHS.len() as u32;
    // One document alone, the first and last, neighbours, every other, in any order, twice, and each query its own.
    let chosen: [&[(u32, u32)]; 8] = [
        &[(0, 7)],
        &[(1, 1), (1, 14)],
        &[(2, 6), (2, 7), (2, 5)],
        &[(0, 1), (0, 3), (0, 5), (0, 7), (0, 11), (0, 13)],
        &[(1, 13), (1, 0), (1, 2), (1, 13), (1, 4)],
        &[(0, 2), (1, 3), (2, 7), (0, 14), (1, 6), (2, 12)],
        &[(2, 15), (2, 0)],
        &[],
    ];
    for (scorer, form) in scorers().iter().flat_map(|s| FORMS.map(|form| (s, form))) {
        let queries = Items::random(RowFormat::Float32, 40, &[3, 33, 65], 1);
        let documents = Items::random(form, 40, &LENGTHS, 2);
        let buffers = Buffers::of(&documents);
        let all = uploaded(scorer, &queries, &documents, None);
        for pairs in chosen {
            let expected: Vec<u32> = pairs.iter().map(|&(q, d)| all[(q * count + d) as usize]).collect();
            let got = resident(scorer, &queries, buffers.resident(&documents), Some(pairs));
            assert_eq!(got, expected, "{form:?} {pairs:?}");
        }
    }
}

#[test]
fn any_cut_into_passes_and_groups_gives_the_same_bits() {
    let pairs: Vec<(u32, u32)> = (0..60).map(|i| (i * 7 % 4, i * 11 % 16)).collect();
    for family in ["strip", "tile", "narrow"] {
        let mut scorer = Scorer::of(family);
        for form in FORMS {
            let queries = Items::random(RowFormat::Float32, 24, &[3, 33, 1, 12], 1);
            let documents = Items::random(form, 24, &LENGTHS, 2);
            let buffers = Buffers::of(&documents);
            // The families add in their own orders; within one, no cut may show.
            let whole = Scorer::of(family);
            let [all, some] = [None, Some(&pairs[..])].map(|p| uploaded(&whole, &queries, &documents, p));
            for (query_rows, best) in [(32_768, 1 << 20), (5, 16), (1, 1), (40, 64), (49, 150)] {
                // However small a shard is, what is on the device is not cut.
                scorer = scorer.with_sizes(PieceSizes { shard_bytes: 1, query_rows, best });
                let what = format!("{form:?} {family:?} {query_rows} {best}");
                assert_eq!(resident(&scorer, &queries, buffers.resident(&documents), None), all, "{what}");
                let of_pairs = resident(&scorer, &queries, buffers.resident(&documents), Some(&pairs));
                assert_eq!(of_pairs, some, "{what}, pairs");
            }
        }
    }
}

#[test]
fn a_document_of_100_000_tokens_and_100_000_documents_of_one() {
    let queries = Items::random(RowFormat::Float32, 4, &[3], 1);
    for lengths in [vec![1, 100_000, 0, 2], vec![1; 100_000]] {
        let documents = Items::random(RowFormat::Float16, 4, &lengths, 2);
        let buffers = Buffers::of(&documents);
        for scorer in scorers() {
            let got = resident(scorer, &queries, buffers.resident(&documents), None);
            assert_eq!(got, uploaded(scorer, &queries, &documents, None));
            let pairs: Vec<(u32, u32)> = (0..lengths.len() as u32).step_by(3).map(|d| (0, d)).collect();
            let expected: Vec<u32> = got.iter().step_by(3).copied().collect();
            assert_eq!(resident(scorer, &queries, buffers.resident(&documents), Some(&pairs)), expected);
        }
    }
}

#[test]
fn vectors_kept_on_the_device_score_as_the_host_rounds_them() {
    for format in FORMS {
        let dim = 50;
        let queries = Items::random(RowFormat::Float32, dim, &[3, 20], 1);
        let mut documents = Items::random(format, dim, &LENGTHS, 2);
        let rows: Vec<_> = documents.floats.chunks(dim).map(pplx_embed::numbers::scaled_int8).collect();
        documents.codes = rows.iter().flat_map(|(codes, _)| codes).copied().collect();
        documents.scales = rows.iter().map(|(_, scale)| *scale).collect();
        let count = documents.scales.len() as u32;
        let vectors = gpu().buffer_of("vectors", &documents.floats).unwrap();
        let data = gpu().buffer("rows", u64::from(count * format.padded_bytes(dim as u32))).unwrap();
        let scales = (format == RowFormat::Int8).then(|| gpu().buffer("scales", u64::from(count) * 4).unwrap());
        let kernels = block_on(gpu().kernels(&[Operation::PackRows(format)])).unwrap();
        let mut run = gpu().run(&kernels, &()).unwrap();
        run.pack_rows(format, &vectors, (&data, scales.as_ref()), 0..100, 0, dim as u32).unwrap();
        run.pack_rows(format, &vectors, (&data, scales.as_ref()), 100..count, 100, dim as u32).unwrap();
        block_on(run.finish()).unwrap();
        let on_device = Buffers { data, scales };
        for scorer in scorers() {
            let got = resident(scorer, &queries, on_device.resident(&documents), None);
            assert_eq!(got, uploaded(scorer, &queries, &documents, None), "{format:?}");
        }
    }
}

#[test]
fn nothing_to_score_is_an_empty_result() {
    let queries = Items::random(RowFormat::Float32, 8, &[2, 1], 1);
    let none = Items::random(RowFormat::Float32, 8, &[], 2);
    let hollow = Items::random(RowFormat::Float32, 8, &[0; 70_000], 3);
    let (of_none, of_hollow) = (Buffers::of(&none), Buffers::of(&hollow));
    for scorer in scorers() {
        assert!(resident(scorer, &queries, of_none.resident(&none), None).is_empty());
        assert!(resident(scorer, &none, of_hollow.resident(&hollow), None).is_empty());
        let infinite = vec![f32::NEG_INFINITY.to_bits(); 140_000];
        assert_eq!(resident(scorer, &queries, of_hollow.resident(&hollow), None), infinite);
    }
}

#[test]
fn what_cannot_be_scored_is_refused_by_field() {
    let items = Items::random(RowFormat::Int8, 4, &[2, 1], 1);
    let queries = Items::random(RowFormat::Float32, 4, &[1], 1);
    let buffers = Buffers::of(&items);
    let good = buffers.resident(&items);
    let refused = |documents: Resident<'_>, pairs: Option<&[(u32, u32)]>, words: &str| {
        let scored = block_on(scorers()[0].score_resident(gpu(), queries.tokens(), documents, pairs, &()));
        let error = scored.unwrap_err();
        assert_eq!(error.code(), "invalid-argument", "{error}");
        assert!(error.to_string().contains(words), "no {words:?} in {error}");
    };
    refused(Resident { offsets: &[], ..good }, None, "documents.offsets: is empty");
    refused(Resident { offsets: &[1, 3], ..good }, None, "documents.offsets[0]: 1, allowed is 0");
    refused(Resident { offsets: &[0, 2, 1], ..good }, None, "documents.offsets[2]: 1, allowed is 2 or more");
    refused(
        Resident { offsets: &[0, 99], ..good },
        None,
        "documents.data: has 96 bytes, the offsets end with 99 rows of 16",
    );
    refused(Resident { offsets: &[0, u64::MAX], ..good }, None, "documents.data: has 96 bytes");
    let wide = gpu().buffer("rows", 1600).unwrap();
    refused(Resident { offsets: &[0, 99], data: &wide, ..good }, None, "documents.scales: has 32 bytes");
    refused(Resident { dim: 0, ..good }, None, "documents.dim: 0");
    refused(Resident { dim: 3, ..good }, None, "documents.dim: 3, allowed is 4, as the queries have");
    refused(Resident { peak: 1e38, ..good }, None, "documents: numbers of up to 1e38");
    refused(Resident { peak: f64::NAN, ..good }, None, "documents.peak: NaN");
    refused(good, Some(&[(0, 0), (0, 2)]), "pairs[1]: document 2, allowed is 0 to 1");
}

#[test]
fn numbers_that_are_large_are_scored_where_no_sum_can_leave_float32() {
    let floats: Vec<f32> = probe::values(3, 40).iter().map(|v| v * 1e30).collect();
    let documents = Items::new(RowFormat::Float32, 4, &[3, 7], floats);
    let queries = Items::random(RowFormat::Float32, 4, &[2], 1);
    let buffers = Buffers::of(&documents);
    for scorer in scorers() {
        let got = resident(scorer, &queries, buffers.resident(&documents), None);
        assert_eq!(got, uploaded(scorer, &queries, &documents, None));
        assert!(got.iter().all(|&b| f32::from_bits(b).is_finite()));
    }
    let ones = [1i8; 4];
    let tokens = |data| TokenVectors { data, offsets: &[0, 1], dim: 4 };
    assert_eq!(tokens(RowData::Int8 { codes: &ones, scales: Some(&[-2.0]) }).peak(), 256.0);
    assert_eq!(tokens(RowData::Float32(&[0.5, -3.0, 0.0, 1.0])).peak(), 3.0);
}

/// Cancels when it has been asked so often.
struct Patience(Cell<u32>);

impl Watch for Patience {
    fn cancelled(&self) -> bool {
        self.0.set(self.0.get().saturating_sub(1));
        self.0.get() == 0
    }

    fn progress(&self, progress: Progress) {
        assert!(matches!(progress, Progress::Score { done, total } if done <= total), "{progress:?}");
    }
}

#[test]
fn cancelling_leaves_documents_and_a_scorer_that_work() {
    let queries = Items::random(RowFormat::Float32, 8, &[3, 5], 1);
    let documents = Items::random(RowFormat::Float32, 8, &LENGTHS, 2);
    let buffers = Buffers::of(&documents);
    let scorer = Scorer::of("strip").with_sizes(PieceSizes { best: 16, ..PieceSizes::default() });
    let expected = resident(&scorer, &queries, buffers.resident(&documents), None);
    for asked in [1, 2, 5] {
        let watch = Patience(Cell::new(asked));
        let scored =
            block_on(scorer.score_resident(gpu(), queries.tokens(), buffers.resident(&documents), None, &watch));
        assert!(matches!(scored, Err(Error::Aborted)), "{asked}");
    }
    assert_eq!(resident(&scorer, &queries, buffers.resident(&documents), None), expected);
}
