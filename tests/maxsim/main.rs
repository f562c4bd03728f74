//! Late-interaction scores against sentence-transformers and an f64 oracle, with both families of the kernel, on the
//! adapter that `VK_ICD_FILENAMES` chooses.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod calls;
mod command_line;
mod cuts;
mod explanations;
mod properties;
mod scores;
#[path = "../support/mod.rs"]
mod support;

use std::sync::OnceLock;

use pplx_embed::gpu::{Family, Gpu};
use pplx_embed::maxsim::{Match, Options, Scorer};
use support::maxsim::Items;

const ALL: Options<'_> = Options { pairs: None, normalize: false };
const COSINE: Options<'_> = Options { pairs: None, normalize: true };

/// One device for the whole file, and a scorer for each family.
fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| pollster::block_on(Gpu::open()).unwrap())
}

fn scorers() -> &'static [Scorer; 2] {
    static SCORERS: OnceLock<[Scorer; 2]> = OnceLock::new();
    SCORERS.get_or_init(|| [Family::Strip, Family::Tile].map(Scorer::of))
}

fn score(scorer: &Scorer, queries: &Items, documents: &Items, options: Options<'_>) -> Vec<f32> {
    pollster::block_on(scorer.score(gpu(), queries.tokens(), documents.tokens(), options, &())).unwrap()
}

fn explain(scorer: &Scorer, queries: &Items, documents: &Items, pair: (u32, u32)) -> Vec<Match> {
    let both = [queries.tokens(), documents.tokens()];
    pollster::block_on(scorer.explain(gpu(), both, pair, false, &())).unwrap()
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|s| s.to_bits()).collect()
}
