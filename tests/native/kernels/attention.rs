//! Attention, and the norm and rotation of the heads that go into it.

use pollster::block_on;
use pplx_embed::backend::probe::{self, Probe};
use pplx_embed::backend::{Heads, Operation};

use super::{backends, heads, on_each};
use crate::support::every;

#[test]
fn head_norm_rope_for_every_kind_of_head() {
    on_each(async |probe| {
        for dh in [4, 20, 64, 100, 128, 256] {
            for [rows, heads] in [[1, 1], [7, 3], [31, 2], [9, 16]] {
                probe::head_norm_rope(probe, rows, [heads, dh]).await.unwrap();
            }
        }
    });
}

#[test]
fn attention_in_windows_at_the_edges_of_four_queries_and_eight_keys() {
    on_each(async |probe| {
        for causal in [false, true] {
            for window in [1, 2, 4, 7, 8, 9, 12, 17, 40] {
                let heads = Heads { query: 4, key: 2, dim: 12, causal, window: Some(window) };
                probe::attention(probe, &[1, 9, 67, 33], heads).await.unwrap();
            }
            // Windows that begin in the second range of keys, and that reach over its edge.
            let heads = Heads { query: 2, key: 1, dim: 4, causal, window: Some(300) };
            probe::attention(probe, &[3, 4500], heads).await.unwrap();
        }
    });
}

#[test]
fn head_norm_rope_of_a_workgroup_for_every_kind_of_head() {
    let gpu = &backends()[0];
    let kernels = block_on(gpu.kernels_of("lanes", &[Operation::HeadNormRope])).unwrap();
    let probe = Probe { backend: gpu, kernels: &kernels, tolerance: 2e-5 };
    for dh in [2, 4, 20, 64, 100, 126, 128, 130, 256] {
        for [rows, heads] in [[1, 1], [7, 3], [31, 2], [9, 16]] {
            block_on(probe::head_norm_rope(&probe, rows, [heads, dh])).unwrap();
        }
    }
}

#[test]
fn attention_at_the_edges_of_four_queries_and_eight_keys() {
    on_each(async |probe| {
        for causal in [false, true] {
            for length in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 67] {
                let heads = Heads { query: 2, key: 1, dim: 16, causal, window: None };
                probe::attention(probe, &[length], heads).await.unwrap();
            }
        }
    });
}

#[test]
fn attention_of_ragged_batches_with_every_grouping_and_head_dim() {
    on_each(async |probe| {
        for causal in [false, true] {
            for (query, key) in [(1, 1), (2, 2), (3, 3), (4, 2), (6, 2), (8, 2), (4, 1)] {
                let heads = Heads { query, key, dim: 8, causal, window: None };
                probe::attention(probe, &[5, 1, 8, 13, 4], heads).await.unwrap();
            }
            for dim in [4, 20, 64, 100, 128, 256, 260] {
                probe::attention(probe, &[3, 9, 1], heads(dim, causal)).await.unwrap();
            }
        }
    });
}

#[test]
fn attention_at_the_edges_of_a_range_of_2048_keys() {
    on_each(async |probe| {
        for causal in [false, true] {
            let heads = Heads { query: 2, key: 1, dim: 4, causal, window: None };
            let all = [&[2049][..], &[2048], &[2047], &[3, 4097, 5]];
            for lengths in &all[..if every() { 4 } else { 2 }] {
                probe::attention(probe, lengths, heads).await.unwrap();
            }
        }
    });
}

#[test]
fn attention_tiles_at_their_edges() {
    let gpu = &backends()[0];
    let sizes = [64, 128, 256].map(|dim| Operation::Attention(heads(dim, false)));
    let kernels = block_on(gpu.kernels_of("tile", &sizes)).unwrap();
    let probe = Probe { backend: gpu, kernels: &kernels, tolerance: 2e-5 };
    block_on(async {
        for causal in [false, true] {
            // A workgroup takes 64 or 32 queries of all heads of a group, and 32 or 64 keys at a time.
            for dim in [4, 20, 64, 68, 100, 128, 132, 256] {
                for lengths in [&[1][..], &[15, 16, 17, 1], &[31, 32, 33], &[63, 64, 65], &[5, 129, 3]] {
                    probe::attention(&probe, lengths, heads(dim, causal)).await.unwrap();
                }
            }
            for (query, key) in [(1, 1), (3, 3), (3, 1), (6, 2), (16, 8), (16, 2), (16, 1), (32, 1)] {
                let heads = Heads { query, key, dim: 128, causal, window: None };
                assert_eq!(kernels.tile_rows(heads), 64 / (query / key));
                probe::attention(&probe, &[1, 33, 65], heads).await.unwrap();
            }
        }
        probe::attention(&probe, &[3, 2051], heads(8, true)).await.unwrap();
        // Windows that hide parts of blocks, whole blocks before and behind, and nothing.
        for causal in [false, true] {
            for window in [1, 2, 31, 32, 33, 65, 500] {
                let some = |dim: &u32| every() || window == 33 || *dim == 128;
                for dim in [20, 128, 256].into_iter().filter(some) {
                    let heads = Heads { window: Some(window), ..heads(dim, causal) };
                    probe::attention(&probe, &[5, 131, 200], heads).await.unwrap();
                }
            }
        }
    });
    let narrow = block_on(gpu.kernels_of("narrow", &sizes[1..2])).unwrap();
    assert_eq!(narrow.tile_rows(heads(128, false)), 16);
    let probe = Probe { kernels: &narrow, ..probe };
    for causal in [false, true] {
        for (dim, window) in [(68, None), (100, Some(33)), (128, None), (128, Some(70))] {
            for lengths in [&[1][..], &[15, 16, 17], &[63, 64, 65], &[5, 129, 3]] {
                let heads = Heads { window, ..heads(dim, causal) };
                block_on(probe::attention(&probe, lengths, heads)).unwrap();
            }
        }
    }
    assert!(block_on(gpu.kernels_of("tile", &[Operation::Attention(heads(260, false))])).is_err());
}
