//! What is known of a loaded model.

use std::collections::BTreeMap;

use super::encoder::Step;
use super::late::{Late, LateInfo};
use super::{Model, ModelKind, Pooling, Separator};
use crate::backend::{AdapterInfo, Precision};
use crate::numbers::{Dtype, MatrixFormat};

/// What is known of a loaded model.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// Its name.
    pub id: String,
    /// Its revision, where the source has such.
    pub revision: Option<String>,
    /// What it makes of its input.
    pub kind: ModelKind,
    /// D, dimensions of a full vector.
    pub dimensions: u32,
    /// Most tokens of a text; longer ones are cut.
    pub max_tokens: u32,
    /// What stands between the chunks of a document; there for context models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<Separator>,
    /// The settings of a late interaction model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<LateInfo>,
    /// L.
    pub layers: u32,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// The form `embed` gives by default.
    pub default_dtype: Dtype,
    /// Whether `embed` scales float32 vectors to unit length by default.
    pub default_normalize: bool,
    /// How many of the leading dimensions `embed` keeps by default.
    pub default_dimensions: u32,
    /// Texts that can be put before texts, by name; `query` and `document` are always there, if only as empty ones.
    pub prompts: BTreeMap<String, String>,
    /// The name of the prompt that `embed` puts before texts by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_prompt_name: Option<String>,
    /// `gpu` or `cpu`.
    pub device: &'static str,
    /// Why it is that device.
    pub why: String,
    /// Threads of the processor that work, or are being started; 0 on a GPU.
    pub threads: u32,
    /// What it runs on.
    pub adapter: AdapterInfo,
    /// How linear weights are held; where there are several ways, the one with most bytes.
    pub weights: MatrixFormat,
    /// Why they are not held as they are stored, where [`super::WeightChoice::Auto`] had to choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_note: Option<String>,
    /// How exactly linear layers take their activations: what runs, whatever was asked for.
    pub precision: Precision,
    /// The kernels in use, `<operation>.<family>.<format>`, each compared with the reference on this device.
    pub kernels: Vec<String>,
    /// Bytes of the weights.
    pub bytes: WeightBytes,
}

/// Where a model's weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WeightBytes {
    /// Bytes in host memory: the embedding table.
    pub host: u64,
    /// Bytes on the device.
    pub device: u64,
}

impl Model {
    /// What is known of the model.
    pub fn info(&self) -> ModelInfo {
        let (host, device) = self.weights.bytes();
        let dense = self.head.iter().map(|step| match step {
            Step::Normalize => 0,
            Step::Dense(dense) => dense.bytes(),
        });
        let projection = self.late.as_ref().map_or(0, Late::bytes) + dense.sum::<u64>();
        ModelInfo {
            id: self.options.id.clone(),
            revision: self.options.revision.clone(),
            kind: self.config.kind,
            dimensions: self.config.dimensions(),
            max_tokens: self.tokenizer.max_tokens(),
            separator: self.tokenizer.separator().cloned(),
            late: self.late.as_ref().map(Late::info),
            layers: self.config.layers,
            pooling: self.config.pooling,
            default_dtype: self.default_dtype(),
            default_normalize: self.config.normalize,
            default_dimensions: self.config.truncate.unwrap_or(self.config.dimensions()),
            prompts: self.config.prompts.named().clone(),
            default_prompt_name: self.config.prompts.default_name().map(String::from),
            device: self.backend.name(),
            why: self.why.clone(),
            threads: self.backend.threads() + self.helpers.count(),
            adapter: self.backend.adapter().clone(),
            weights: self.weights.main_format(),
            weights_note: self.weights.note.clone(),
            precision: self.kernels.precision(),
            kernels: self.kernels.choices().into_iter().map(|(name, _)| name).collect(),
            bytes: WeightBytes { host, device: device + projection },
        }
    }
}
