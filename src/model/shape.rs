//! What a forward pass reads of a configuration: it is sent to helpers as words.

use super::config::Pooling;
use crate::backend::Heads;
use crate::numbers::Rope;

/// Words before the windows of the layers.
const FIXED: usize = 27;

/// The sizes and settings that a forward pass reads. The fields without a comment are those of [`super::Config`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) hidden: u32,
    pub(super) layers: u32,
    pub(super) query_heads: u32,
    pub(super) key_heads: u32,
    pub(super) head_dim: u32,
    pub(super) intermediate: u32,
    /// Of a full vector.
    pub(super) dimensions: u32,
    /// Dimensions of the widest vector from pooling on.
    pub(super) widest: u32,
    pub(super) norm_eps: f32,
    pub(super) causal: bool,
    pub(super) attention_bias: bool,
    /// It is a late interaction model.
    pub(super) late: bool,
    /// There are linear layers after pooling.
    pub(super) dense: bool,
    pub(super) pooling: Pooling,
    pub(super) rope: Rope,
    pub(super) windows: Vec<Option<u32>>,
}

impl Shape {
    /// The shape of a layer's attention.
    pub(super) fn heads(&self, layer: usize) -> Heads {
        let window = self.windows.get(layer).copied().flatten();
        Heads { query: self.query_heads, key: self.key_heads, dim: self.head_dim, causal: self.causal, window }
    }

    /// It as words, which have all of it, to the bit.
    pub(super) fn to_words(&self) -> Vec<u32> {
        let flags = [self.causal, self.attention_bias, self.late, self.dense];
        let flags = (0..).zip(flags).map(|(i, flag)| u32::from(flag) << i).sum();
        let pooling = Pooling::ALL.iter().position(|p| *p == self.pooling).unwrap_or_default() as u32;
        let mut words = vec![self.hidden, self.layers, self.query_heads, self.key_heads, self.head_dim];
        words.extend([self.intermediate, self.dimensions, self.widest, self.norm_eps.to_bits(), flags, pooling]);
        words.extend(
            self.rope.to_numbers().map(f64::to_bits).iter().flat_map(|&bits| [bits as u32, (bits >> 32) as u32]),
        );
        // A window is at least 1, so that 0 can say that there is none.
        words.extend(self.windows.iter().map(|window| window.unwrap_or(0)));
        words
    }

    /// What [`Shape::to_words`] made; `None` for what it does not make.
    pub(super) fn of_words(words: &[u32]) -> Option<Self> {
        let (fixed, windows) = words.split_first_chunk::<FIXED>()?;
        let [
            hidden,
            layers,
            query_heads,
            key_heads,
            head_dim,
            intermediate,
            dimensions,
            widest,
            eps,
            flags,
            pooling,
            rope @ ..,
        ] = fixed;
        let number = |i: usize| f64::from_bits(u64::from(rope[2 * i]) | u64::from(rope[2 * i + 1]) << 32);
        let flag = |i: u32| flags >> i & 1 == 1;
        Some(Self {
            hidden: *hidden,
            layers: *layers,
            query_heads: *query_heads,
            key_heads: *key_heads,
            head_dim: *head_dim,
            intermediate: *intermediate,
            dimensions: *dimensions,
            widest: *widest,
            norm_eps: f32::from_bits(*eps),
            causal: flag(0),
            attention_bias: flag(1),
            late: flag(2),
            dense: flag(3),
            pooling: *Pooling::ALL.get(*pooling as usize)?,
            rope: Rope::of_numbers(std::array::from_fn(number)),
            windows: windows.iter().map(|&window| Some(window).filter(|n| *n > 0)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Pooling, Rope, Shape};
    use crate::numbers::RopeScaling;

    #[test]
    fn words_have_all_of_a_shape() {
        let plain = Shape {
            hidden: 256,
            layers: 3,
            query_heads: 4,
            key_heads: 2,
            head_dim: 64,
            intermediate: 768,
            dimensions: 128,
            widest: 512,
            norm_eps: 1e-6,
            causal: false,
            attention_bias: true,
            late: false,
            dense: true,
            pooling: Pooling::Last,
            rope: Rope { theta: 1e6 + 0.1, scaling: RopeScaling::None },
            windows: vec![None, Some(128), None],
        };
        let linear = RopeScaling::Linear { factor: 4.1 };
        let yarn = RopeScaling::Yarn {
            factor: 4.0,
            original: 32768.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            truncate: true,
            attention: 1.1386294,
        };
        for (pooling, scaling) in [(Pooling::Last, linear), (Pooling::Mean, yarn), (Pooling::WeightedMean, linear)] {
            let shape = Shape { pooling, rope: Rope { scaling, ..plain.rope }, causal: true, ..plain.clone() };
            assert_eq!(Shape::of_words(&shape.to_words()), Some(shape));
        }
        assert_eq!(Shape::of_words(&plain.to_words()).as_ref(), Some(&plain));
        assert_eq!(Shape::of_words(&[1; 5]), None);
        assert_eq!(Shape::of_words(&[9; 40]), None, "there is no such pooling");
    }
}
