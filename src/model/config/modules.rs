//! `modules.json` and the modules' own configurations: what is done with the encoder's vectors.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::keys::{self, Keys, Notices, shortened};
use super::{MAX_JSON, Pooling};
use crate::backend::Activation;
use crate::error::{Error, Result};
use crate::hub::{self, Source};
use crate::json;

const MODULES: &str = "modules.json";
/// What modules of one vector a text read and write.
const SENTENCE: &str = "sentence_embedding";
/// What those of a vector a token do.
pub(in crate::model) const TOKENS: &str = "token_embeddings";
/// Most steps after pooling.
const MAX_STEPS: usize = 8;
/// The packages whose modules these are. Other packages' modules of the same name are other modules.
const PACKAGES: [&str; 3] = ["sentence_transformers", "pylate", "st_quantize"];

/// An entry of `modules.json`.
#[derive(Deserialize)]
pub(in crate::model) struct Module {
    /// Its folder.
    #[serde(default)]
    pub(in crate::model) path: String,
    /// Its Python class.
    #[serde(rename = "type")]
    pub(in crate::model) kind: String,
}

/// A linear layer, and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenseLayer {
    /// Its folder in the repository.
    pub path: String,
    /// Dimensions that go in.
    pub inputs: u32,
    /// Dimensions that come out.
    pub outputs: u32,
    /// It has a bias.
    pub bias: bool,
    /// What is done with its outputs.
    pub activation: Activation,
}

/// A step between pooling and the vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadStep {
    /// To unit length.
    Normalize,
    /// Through a linear layer.
    Dense(DenseLayer),
}

/// What the modules of a model with one vector a text do after the encoder.
pub(super) struct Modules {
    pub(super) pooling: Option<Pooling>,
    pub(super) include_prompt: bool,
    /// Up to the last linear layer.
    pub(super) head: Vec<HeadStep>,
    /// A Normalize module comes after all of them.
    pub(super) normalize: bool,
    /// A FlexibleQuantizer does.
    pub(super) tanh_int8: bool,
}

#[derive(Deserialize)]
struct RawPooling {
    pooling_mode: Option<Modes>,
    embedding_dimension: Option<u64>,
    word_embedding_dimension: Option<u64>,
    /// `null` is false, as in Python; absent is true.
    #[serde(default = "included")]
    include_prompt: Option<bool>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

fn included() -> Option<bool> {
    Some(true)
}

/// One mode, or several whose vectors are put end to end.
#[derive(Deserialize)]
#[serde(untagged)]
enum Modes {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct RawDense {
    in_features: u64,
    out_features: u64,
    bias: Option<bool>,
    activation_function: Option<String>,
    module_input_name: Option<String>,
    module_output_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct RawNormalize {
    module_input_name: Option<String>,
    module_output_name: Option<String>,
}

impl Module {
    /// The class has this name.
    pub(in crate::model) fn is(&self, class: &str) -> bool {
        self.kind.rsplit('.').next() == Some(class)
    }

    /// The module's own configuration.
    pub(in crate::model) fn file(&self) -> String {
        if self.path.is_empty() { "config.json".into() } else { format!("{}/config.json", self.path) }
    }

    /// Its configuration as a type, if there is one, with each key checked.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], [`Error::Unsupported`], or what kept it from being read.
    pub(in crate::model) async fn settings<T: DeserializeOwned>(
        &self,
        source: &impl Source,
        keys: Keys,
        notices: &mut Notices,
    ) -> Result<Option<T>> {
        let file = self.file();
        let Some(bytes) = hub::read_optional(source, &file, MAX_JSON).await? else { return Ok(None) };
        let value = json::parse(&file, &bytes)?;
        if let Some(object) = value.as_object() {
            notices.check(&file, "", object, keys)?;
        }
        serde_json::from_value(value).map(Some).map_err(|e| Error::config(file, e.to_string()))
    }
}

/// Parses `modules.json`.
///
/// # Errors
/// [`Error::InvalidConfig`], or [`Error::Unsupported`] naming a module that this does not have.
pub(super) fn parse_modules(bytes: &[u8], notices: &mut Notices) -> Result<Vec<Module>> {
    let value = json::parse(MODULES, bytes)?;
    for object in value.as_array().into_iter().flatten().filter_map(Value::as_object) {
        notices.check(MODULES, "", object, keys::MODULE)?;
    }
    let modules: Vec<Module> = serde_json::from_value(value).map_err(|e| Error::config(MODULES, e.to_string()))?;
    for module in &modules {
        let Module { path, kind } = module;
        let known = ["Transformer", "Pooling", "Normalize", "FlexibleQuantizer", "Dense", "MultiVectorMask", "Dropout"];
        if !known.iter().any(|k| module.is(k)) {
            return Err(Error::unsupported(format!("module {kind}"), format!("allowed are {}", known.join(", "))));
        }
        if !kind.split('.').next().is_some_and(|package| PACKAGES.contains(&package)) {
            let message = format!("it is code of the repository; allowed are modules of {}", PACKAGES.join(", "));
            return Err(Error::unsupported(format!("module {kind}"), message));
        }
        if path.contains("..") || path.starts_with('/') || path.contains('\\') || path.contains(':') {
            let message = format!("path {path:?} of module {kind} leads out of the model's folder");
            return Err(Error::config(MODULES, message));
        }
        let folder = path.trim_start_matches("./").trim_end_matches('/');
        if module.is("Transformer") && !matches!(folder, "" | ".") {
            let what = format!("module {kind} in the folder {folder}, where {MODULES} has it,");
            let message = format!(
                "allowed is the top of the repository; move the files of {folder} there, and make its path \"\" in {MODULES}"
            );
            return Err(Error::unsupported(what, message));
        }
    }
    Ok(modules)
}

/// The folders of the modules that `modules.json` of `source` lists; none if there is no such file.
///
/// # Errors
/// As [`parse_modules`], or what kept the file from being read.
pub(in crate::model) async fn module_folders(source: &impl Source) -> Result<Vec<String>> {
    let Some(bytes) = hub::read_optional(source, MODULES, MAX_JSON).await? else { return Ok(Vec::new()) };
    let modules = parse_modules(&bytes, &mut Notices::default())?;
    Ok(modules.into_iter().map(|module| module.path.trim_matches('/').to_owned()).collect())
}

impl Modules {
    /// What `modules` do with vectors of `hidden` dimensions.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], [`Error::Unsupported`], or what kept a file from being read.
    pub(super) async fn load(
        source: &impl Source,
        modules: &[Module],
        hidden: u32,
        notices: &mut Notices,
    ) -> Result<Self> {
        let mut pipeline =
            Self { pooling: None, include_prompt: true, head: Vec::new(), normalize: false, tanh_int8: false };
        let mut steps = Vec::new();
        let mut dimensions = hidden;
        let out_of_place = |module: &Module, message: &str| {
            Err(Error::unsupported(format!("module {} in this place of {MODULES}", module.kind), message))
        };
        for (at, module) in modules.iter().enumerate() {
            if module.is("Transformer") {
                if at > 0 {
                    return out_of_place(module, "allowed is one, as the first");
                }
            } else if module.is("Pooling") {
                if pipeline.pooling.is_some() || !steps.is_empty() {
                    return out_of_place(module, "allowed is one, before Dense and Normalize");
                }
                let raw = module.settings::<RawPooling>(source, keys::POOLING, notices).await?;
                let Some(raw) = raw else {
                    return Err(Error::config(module.file(), "is not there, though modules.json lists it"));
                };
                pipeline.include_prompt = raw.include_prompt == Some(true);
                pipeline.pooling = Some(raw.pooling(&module.file(), hidden)?);
            } else if module.is("Dropout") {
                // Of training only.
            } else if pipeline.tanh_int8 {
                return out_of_place(module, "nothing comes after FlexibleQuantizer");
            } else if module.is("FlexibleQuantizer") {
                pipeline.tanh_int8 = true;
            } else if module.is("Normalize") {
                let raw = module.settings::<RawNormalize>(source, keys::NORMALIZE, notices).await?.unwrap_or_default();
                only(SENTENCE, &raw.module_input_name, &raw.module_output_name, &module.file())?;
                steps.push(HeadStep::Normalize);
            } else if module.is("Dense") {
                let dense = DenseLayer::load(source, module, dimensions, SENTENCE, notices).await?;
                dimensions = dense.outputs;
                steps.push(HeadStep::Dense(dense));
            } else {
                return out_of_place(module, "allowed is a late interaction model of sentence-transformers or PyLate");
            }
            if steps.len() > MAX_STEPS {
                return Err(Error::unsupported(
                    format!("more than {MAX_STEPS} modules after Pooling"),
                    "leave some out",
                ));
            }
        }
        // What comes after the last linear layer is done with the dimensions that are kept.
        let last = steps.iter().rposition(|step| matches!(step, HeadStep::Dense(_))).map_or(0, |at| at + 1);
        pipeline.normalize = steps.split_off(last).contains(&HeadStep::Normalize);
        pipeline.head = steps;
        Ok(pipeline)
    }
}

impl RawPooling {
    fn pooling(&self, file: &str, hidden: u32) -> Result<Pooling> {
        if let Some(other) =
            self.embedding_dimension.or(self.word_embedding_dimension).filter(|d| *d != u64::from(hidden))
        {
            let message = format!("embedding_dimension is {other}, hidden_size of config.json is {hidden}");
            return Err(Error::config(file, message));
        }
        let flags = || {
            let set = self.other.iter().filter(|(_, value)| **value == Value::Bool(true));
            let names = set.filter_map(|(name, _)| name.strip_prefix("pooling_mode_"));
            names.map(|name| name.strip_suffix("_tokens").or(name.strip_suffix("_token")).unwrap_or(name).to_owned())
        };
        let modes: Vec<String> = match &self.pooling_mode {
            Some(Modes::One(mode)) => vec![mode.clone()],
            Some(Modes::Several(modes)) => modes.clone(),
            None => flags().collect(),
        };
        match modes.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            // As sentence-transformers does where nothing is set.
            [] | ["mean"] => Ok(Pooling::Mean),
            ["lasttoken" | "last"] => Ok(Pooling::Last),
            ["cls"] => Ok(Pooling::First),
            ["weightedmean"] => Ok(Pooling::WeightedMean),
            ["mean_sqrt_len_tokens" | "mean_sqrt_len"] => Ok(Pooling::MeanSqrtLength),
            _ => {
                let what = format!("pooling mode {} in {file}", shortened(&Value::from(modes.join("+"))));
                let allowed = "allowed is one of mean, lasttoken, cls, weightedmean and mean_sqrt_len_tokens";
                Err(Error::unsupported(what, allowed))
            }
        }
    }
}

impl DenseLayer {
    /// Reads the configuration of a Dense module that takes `inputs` dimensions of the feature `feature`.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], [`Error::Unsupported`], or what kept the file from being read.
    pub(in crate::model) async fn load(
        source: &impl Source,
        module: &Module,
        inputs: u32,
        feature: &str,
        notices: &mut Notices,
    ) -> Result<Self> {
        let file = module.file();
        let Some(raw) = module.settings::<RawDense>(source, keys::DENSE, notices).await? else {
            return Err(Error::config(file, "is not there, though modules.json lists it"));
        };
        if raw.in_features != u64::from(inputs) {
            let allowed = format!("allowed is {inputs}, as hidden_size or the Dense before it says");
            return Err(Error::config(file, format!("in_features is {}, {allowed}", raw.in_features)));
        }
        if !(1..=1 << 16).contains(&raw.out_features) {
            return Err(Error::config(file, format!("out_features is {}, allowed is 1 to 65536", raw.out_features)));
        }
        // sentence-transformers' default is the hyperbolic tangent.
        let activation = match raw.activation_function.as_deref() {
            None | Some("torch.nn.modules.activation.Tanh" | "torch.nn.Tanh") => Activation::Tanh,
            Some("torch.nn.modules.linear.Identity" | "torch.nn.Identity") => Activation::Identity,
            Some(other) => {
                let what = format!("activation_function {} in {file}", shortened(&Value::from(other)));
                return Err(Error::unsupported(what, "allowed are torch.nn's Identity and Tanh"));
            }
        };
        only(feature, &raw.module_input_name, &raw.module_output_name, &file)?;
        let (path, outputs) = (module.path.clone(), raw.out_features as u32);
        Ok(Self { path, inputs, outputs, bias: raw.bias != Some(false), activation })
    }
}

/// A module reads and writes `feature`, which is also what it does where it does not say.
fn only(feature: &str, input: &Option<String>, output: &Option<String>, file: &str) -> Result<()> {
    for (key, name) in [("module_input_name", input), ("module_output_name", output)] {
        if let Some(other) = name.as_deref().filter(|name| *name != feature) {
            let what = format!("{key} {} in {file}", shortened(&Value::from(other)));
            return Err(Error::unsupported(what, format!("allowed is {feature}")));
        }
    }
    Ok(())
}
