//! Inputs of a linear layer that are rounded with one scale.

use super::MatrixFormat;

/// Inputs that share a scale, of the weights and of the activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first of them.
    pub start: usize,
    /// How many they are.
    pub count: usize,
    /// Their group of the weights.
    pub group: usize,
}

impl Block {
    /// The blocks of a row of `k` inputs: its groups, those of more than `most` cut into pieces of `cut`.
    pub fn of_row(k: usize, format: MatrixFormat, most: usize, cut: usize) -> Vec<Self> {
        let group = format.group().map_or(k, |group| k.min(group as usize)).max(1);
        let cut = if group > most { cut } else { group };
        let mut blocks = Vec::new();
        for (index, first) in (0..k).step_by(group).enumerate() {
            let end = k.min(first + group);
            let pieces = (first..end).step_by(cut);
            blocks.extend(pieces.map(|start| Self { start, count: cut.min(end - start), group: index }));
        }
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, MatrixFormat};

    #[test]
    fn groups_are_blocks_or_are_cut_with_shorter_last_ones() {
        let of = |k, group| {
            let blocks = Block::of_row(k, MatrixFormat::Q8 { group }, 64, 64);
            blocks.iter().map(|b| [b.start, b.count, b.group]).collect::<Vec<_>>()
        };
        assert_eq!(of(40, 16), [[0, 16, 0], [16, 16, 1], [32, 8, 2]]);
        assert_eq!(of(250, 100), [[0, 64, 0], [64, 36, 0], [100, 64, 1], [164, 36, 1], [200, 50, 2]]);
        assert_eq!(of(100, u32::MAX), [[0, 64, 0], [64, 36, 0]]);
        assert_eq!(of(0, 64), Vec::<[usize; 3]>::new());
    }
}
