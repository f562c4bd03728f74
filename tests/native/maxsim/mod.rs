//! Late-interaction scores against sentence-transformers and an f64 oracle, with both families of the kernel on
//! the adapter that `VK_ICD_FILENAMES` chooses, and on the processor.

mod calls;
mod command_line;
mod cuts;
mod explanations;
mod properties;
mod scores;

use std::sync::OnceLock;

use pplx_embed::backend::Backend;
use pplx_embed::maxsim::{Match, Options, Scorer};

use crate::support::maxsim::Items;

const ALL: Options<'_> = Options { pairs: None, normalize: false };
const COSINE: Options<'_> = Options { pairs: None, normalize: true };

/// One device for the whole file, and a scorer for each family.
fn gpu() -> &'static Backend {
    static GPU: OnceLock<Backend> = OnceLock::new();
    GPU.get_or_init(|| pollster::block_on(Backend::gpu()).unwrap())
}

/// A scorer and what it runs on.
struct TestScorer {
    backend: Backend,
    scorer: Scorer,
}

impl TestScorer {
    fn of_family(family: &str) -> Self {
        Self { backend: gpu().clone(), scorer: Scorer::of(family) }
    }
}

/// The families of the GPU's kernel, and the processor between them.
fn scorers() -> &'static [TestScorer; 4] {
    static SCORERS: OnceLock<[TestScorer; 4]> = OnceLock::new();
    SCORERS.get_or_init(|| {
        let [strip, tile, narrow] = ["strip", "tile", "narrow"].map(TestScorer::of_family);
        [strip, tile, TestScorer { backend: Backend::cpu(), scorer: Scorer::new() }, narrow]
    })
}

fn score(on: &TestScorer, queries: &Items, documents: &Items, options: Options<'_>) -> Vec<f32> {
    let scored = on.scorer.score(&on.backend, queries.tokens(), documents.tokens(), options, &());
    pollster::block_on(scored).unwrap()
}

fn explain(on: &TestScorer, queries: &Items, documents: &Items, pair: (u32, u32)) -> Vec<Match> {
    let both = [queries.tokens(), documents.tokens()];
    pollster::block_on(on.scorer.explain(&on.backend, both, pair, false, &())).unwrap()
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|s| s.to_bits()).collect()
}
