/// Rotary position embedding (Su et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// What is done to them for texts longer than the model was trained with.
    pub scaling: RopeScaling,
}

/// How rotary frequencies are stretched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Each is divided by `factor` (Chen et al. 2023).
    Linear {
        /// Above 0.
        factor: f64,
    },
    /// YaRN (Peng et al. 2023): slow ones are divided by `factor`, fast ones stay, and those between are mixed.
    Yarn {
        /// Above 0.
        factor: f64,
        /// Positions that the model was trained with first.
        original: f64,
        /// Frequencies that turn more often than this within `original` positions stay.
        beta_fast: f64,
        /// Frequencies that turn less often than this are divided.
        beta_slow: f64,
        /// The borders between them are at whole dimensions.
        truncate: bool,
        /// Cosine and sine are multiplied by this.
        attention: f64,
    },
}

impl Rope {
    /// It as eight numbers, for messages between threads.
    pub(crate) fn to_numbers(self) -> [f64; 8] {
        let theta = self.theta;
        match self.scaling {
            RopeScaling::None => [0.0, theta, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            RopeScaling::Linear { factor } => [1.0, theta, factor, 0.0, 0.0, 0.0, 0.0, 0.0],
            RopeScaling::Yarn { factor, original, beta_fast, beta_slow, truncate, attention } => {
                [2.0, theta, factor, original, beta_fast, beta_slow, f64::from(u8::from(truncate)), attention]
            }
        }
    }

    /// What [`Rope::to_numbers`] made.
    pub(crate) fn of_numbers(
        [kind, theta, factor, original, beta_fast, beta_slow, truncate, attention]: [f64; 8],
    ) -> Self {
        let truncate = truncate != 0.0;
        let scaling = match kind {
            0.0 => RopeScaling::None,
            1.0 => RopeScaling::Linear { factor },
            _ => RopeScaling::Yarn { factor, original, beta_fast, beta_slow, truncate, attention },
        };
        Self { theta, scaling }
    }

    /// The frequency of each pair of dimensions, `[Dh/2]`, rounded to f32 where transformers' `modeling_rope_utils` does.
    fn frequencies(&self, dh: usize) -> Vec<f32> {
        let period = |i: usize| self.theta.powf((2 * i) as f64 / dh as f64) as f32;
        let pairs = 0..dh / 2;
        match self.scaling {
            RopeScaling::None => pairs.map(|i| 1.0 / period(i)).collect(),
            RopeScaling::Linear { factor } => pairs.map(|i| 1.0 / period(i) / factor as f32).collect(),
            RopeScaling::Yarn { factor, original, beta_fast, beta_slow, truncate, .. } => {
                let dim = dh as f64;
                let border =
                    |turns: f64| dim * (original / (turns * 2.0 * std::f64::consts::PI)).ln() / (2.0 * self.theta.ln());
                let (low, high) = (border(beta_fast), border(beta_slow));
                let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
                let (low, mut high) = (low.max(0.0), high.min(dim - 1.0));
                if low == high {
                    high += 0.001;
                }
                pairs
                    .map(|i| {
                        let divided = ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
                        let stays = 1.0 - divided;
                        1.0 / (factor as f32 * period(i)) * (1.0 - stays) + 1.0 / period(i) * stays
                    })
                    .collect()
            }
        }
    }

    /// Cosine and sine of every position and frequency, `[positions, Dh/2, 2]`, times YaRN's factor.
    ///
    /// Without scaling the angle is `position * theta^(-2i/Dh)`. As in transformers' `Qwen3RotaryEmbedding`, the frequency
    /// and the product are rounded to f32 before the cosine is taken. At position 32,768 that rounding moves the angle by
    /// 0.002, so leaving it out would change the vectors.
    pub fn table(&self, positions: usize, dh: usize) -> Vec<f32> {
        let frequencies = self.frequencies(dh);
        let factor = match self.scaling {
            RopeScaling::Yarn { attention, .. } => attention as f32,
            RopeScaling::None | RopeScaling::Linear { .. } => 1.0,
        };
        (0..positions)
            .flat_map(|position| {
                frequencies.iter().flat_map(move |f| {
                    let angle = f64::from(position as f32 * f);
                    [angle.cos() as f32 * factor, angle.sin() as f32 * factor]
                })
            })
            .collect()
    }
}
