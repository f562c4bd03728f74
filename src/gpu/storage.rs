//! How weights are held on the device.

use crate::error::{Error, Result};

/// Most iterations of a loop on any adapter: llvmpipe ends loops, without a word, after 65,535 of them.
const MAX_ITERATIONS: u64 = 65_535;

/// The numbers a weight matrix is made of. Each is made f32 as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// float32
    F32,
    /// float16
    F16,
    /// bfloat16
    Bf16,
    /// Unsigned 8 bit codes; see [`Storage`].
    Q8,
    /// Unsigned 4 bit codes; see [`Storage`].
    Q4,
}

impl WeightType {
    /// Bits of one weight, without what its group shares.
    pub fn bits(self) -> u32 {
        match self {
            Self::F32 => 32,
            Self::F16 | Self::Bf16 => 16,
            Self::Q8 => 8,
            Self::Q4 => 4,
        }
    }

    /// Whether weights are codes that share a scale and a bias with their group.
    pub fn is_affine(self) -> bool {
        matches!(self, Self::Q8 | Self::Q4)
    }

    /// Its name, which is also the suffix of the shader modules that read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }
}

/// How a matrix `[N, K]` is held on the device.
///
/// A dense matrix is its numbers, row by row. An affine one is codes `q`, and for each group of consecutive inputs of
/// a row a scale and a bias, both f32: `w = q * scale + bias` (as MLX's affine mode). Code `i` of a row is bits
/// `i * bits .. (i + 1) * bits` of the row's little-endian bit stream, which is MLX's packing, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Storage {
    /// What the matrix is made of.
    pub weight_type: WeightType,
    /// Inputs that share a scale and a bias: a multiple of four, or at least K for one group a row. 0 for dense types.
    pub group: u32,
}

impl Storage {
    /// The numbers as they are, without groups.
    pub fn dense(weight_type: WeightType) -> Self {
        Self { weight_type, group: 0 }
    }

    /// Bytes of a row of `k` numbers or codes.
    pub fn row_bytes(self, k: u32) -> u64 {
        u64::from(k) * u64::from(self.weight_type.bits()) / 8
    }

    /// Groups of a row of `k` inputs, the last of which may be shorter; 0 for dense types.
    pub fn row_groups(self, k: u32) -> u32 {
        k.checked_div(self.group).map_or(0, |_| k.div_ceil(self.group))
    }

    /// As the shaders count: groups of a row, and vec4s of K in a group. A dense row is one group.
    pub(super) fn shader_groups(self, k: u32) -> [u32; 2] {
        if self.group == 0 { [1, k / 4] } else { [self.row_groups(k), self.group.min(k) / 4] }
    }

    /// Whether the kernels can read rows of `k` held like this.
    ///
    /// # Errors
    /// [`Error::Unsupported`], naming `label`.
    pub(super) fn check(self, label: &str, k: u32) -> Result<()> {
        let (name, group) = (self.weight_type.name(), self.group);
        let refused = |message: String| {
            Err(Error::unsupported(format!("{label} with K = {k} as {name} in groups of {group}"), message))
        };
        if self.weight_type.is_affine() != (group > 0) {
            return refused("q8 and q4 need groups, other types have none (0)".into());
        }
        if group % 4 != 0 && group < k {
            return refused("groups are a multiple of 4, or as long as a row".into());
        }
        // A row starts with a 32-bit word, and a shader reads four numbers at a time.
        let multiple = (32 / self.weight_type.bits()).max(4);
        if !k.is_multiple_of(multiple) {
            return refused(format!("K is a multiple of {multiple}"));
        }
        let [groups, _] = self.shader_groups(k);
        if u64::from(k / 4) + u64::from(groups) > MAX_ITERATIONS {
            return refused(format!("a quarter of K and the groups of a row are at most {MAX_ITERATIONS} together"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Storage, WeightType};

    fn accepted(weight_type: WeightType, group: u32, k: u32) -> bool {
        let result = Storage { weight_type, group }.check("w", k);
        assert!(result.as_ref().err().is_none_or(|e| e.code() == "unsupported" && e.to_string().contains("K = ")));
        result.is_ok()
    }

    #[test]
    fn rows_start_with_a_word() {
        for (weight_type, group, multiple) in
            [(WeightType::F32, 0, 4), (WeightType::F16, 0, 4), (WeightType::Q8, 32, 4), (WeightType::Q4, 32, 8)]
        {
            assert!(accepted(weight_type, group, multiple * 9));
            assert!(!accepted(weight_type, group, multiple * 9 + multiple / 2));
        }
    }

    #[test]
    fn groups_are_whole_vec4s_or_a_row() {
        for (group, fits) in [(0, false), (4, true), (6, false), (62, false), (64, true), (65, true), (u32::MAX, true)]
        {
            assert_eq!(accepted(WeightType::Q4, group, 64), fits, "{group}");
        }
        assert!(!accepted(WeightType::F16, 32, 64));
    }

    #[test]
    fn loops_stay_below_what_llvmpipe_runs() {
        assert!(accepted(WeightType::F32, 0, 4 * 65_534));
        assert!(!accepted(WeightType::F32, 0, 4 * 65_535));
        assert!(!accepted(WeightType::Q8, 4, 4 * 40_000));
        assert!(accepted(WeightType::Q8, u32::MAX, 4 * 40_000));
    }

    #[test]
    fn bytes_and_groups_of_a_row() {
        let q4 = Storage { weight_type: WeightType::Q4, group: 64 };
        assert_eq!((q4.row_bytes(200), q4.row_groups(200), q4.shader_groups(200)), (100, 4, [4, 16]));
        let channel = Storage { weight_type: WeightType::Q8, group: u32::MAX };
        assert_eq!((channel.row_bytes(200), channel.row_groups(200), channel.shader_groups(200)), (200, 1, [1, 50]));
        let f16 = Storage::dense(WeightType::F16);
        assert_eq!((f16.row_bytes(200), f16.row_groups(200), f16.shader_groups(200)), (400, 0, [1, 50]));
    }
}
