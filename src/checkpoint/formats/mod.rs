//! How a weight matrix is stored: as numbers, or quantized in one of the layouts that are published as safetensors.
//!
//! [`Scheme::parse`] reads the settings of `config.json`, [`Scheme::find`] checks one module's tensors against them by
//! their headers alone, and [`StoredMatrix::decode`] turns their bytes into rows, a few at a time.
//!
//! Affine layouts keep their codes: `w = code * scale + bias`, in codes of 4 or 8 bits, whatever the layout packs them
//! in. A zero point `z` becomes the bias `-z * scale` in f32, which is exact for scales stored in 16 bits. Layouts of
//! another kind (FP8, NF4, FP4, columns in another order than their groups) become numbers.
//!
//! Throughout, a matrix is `[N, K]`: N outputs, K inputs.

mod affine;
mod awq;
mod bits;
mod bitsandbytes;
mod compressed_tensors;
mod fp8;
mod gptq;
mod grid;
mod mlx;
mod module;
mod settings;
mod torchao;

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use self::module::{Parts, StoredModule, TensorPart};
use super::Tensor;
use crate::error::{Error, Result};
use crate::numbers::{Float, MatrixFormat};

/// Longest axis of a matrix.
const MAX_AXIS: u64 = 1 << 28;

/// Rows of a decoded matrix.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MatrixRows {
    /// Little-endian numbers `[rows, K]`; or packed codes, the first in the lowest bits, each row a whole number of
    /// 32-bit little-endian words.
    pub values: Vec<u8>,
    /// `[scale, bias]` of each row's `ceil(K / group)` groups; empty for numbers.
    pub groups: Vec<[f32; 2]>,
}

/// How the modules of a checkpoint are quantized, as `config.json` says. The default is that of a `config.json` that
/// says nothing: modules are plain numbers, or MLX's layout where a module has `scales` and `biases`.
#[derive(Clone, Debug, Default)]
pub struct Scheme {
    method: Method,
}

#[derive(Clone, Debug, Default)]
enum Method {
    #[default]
    Unsaid,
    Mlx(mlx::MlxSettings),
    CompressedTensors(compressed_tensors::CompressedTensorsSettings),
    Gptq(gptq::GptqSettings),
    Awq(awq::AwqSettings),
    Fp8(fp8::Fp8Settings),
    BitsAndBytes(bitsandbytes::BitsAndBytesSettings),
    TorchAo,
}

impl Scheme {
    /// Reads the quantization settings of a `config.json`; `None` where it has none. `quantization_config` with a
    /// `quant_method` goes before `quantization`, which is MLX's.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] naming the field, [`Error::Unsupported`] naming a method or format this does not read.
    pub fn parse(config: &Value) -> Result<Option<Self>> {
        let given = |key: &str| config.get(key).filter(|v| !v.is_null());
        let (theirs, mlx) = (given("quantization_config"), given("quantization"));
        let method = match (theirs.and_then(|c| c.get("quant_method")).filter(|m| !m.is_null()), theirs) {
            (Some(method), Some(settings)) => {
                let method = method
                    .as_str()
                    .ok_or_else(|| Error::config("config.json", "quantization_config.quant_method is not a string"))?;
                Self::by_name(method, settings, config)?
            }
            (_, Some(settings)) if bitsandbytes::is_unnamed(settings) => {
                Method::BitsAndBytes(bitsandbytes::BitsAndBytesSettings::parse(settings, config)?)
            }
            (_, theirs) => match mlx.or(theirs) {
                // mlx-lm writes the same under both names.
                Some(settings) if mlx.is_some() || settings.get("bits").is_some() => {
                    Method::Mlx(mlx::MlxSettings::parse(settings)?)
                }
                Some(_) => return Err(settings::invalid("quant_method", "is missing")),
                None => return Ok(None),
            },
        };
        Ok(Some(Self { method }))
    }

    fn by_name(method: &str, settings: &Value, config: &Value) -> Result<Method> {
        Ok(match method {
            "compressed-tensors" => {
                Method::CompressedTensors(compressed_tensors::CompressedTensorsSettings::parse(settings)?)
            }
            "gptq" => Method::Gptq(gptq::GptqSettings::parse(settings)?),
            "awq" => Method::Awq(awq::AwqSettings::parse(settings)?),
            "fp8" => Method::Fp8(fp8::Fp8Settings::parse(settings)?),
            "bitsandbytes" => Method::BitsAndBytes(bitsandbytes::BitsAndBytesSettings::parse(settings, config)?),
            "torchao" => Method::TorchAo,
            other => {
                let allowed = "allowed are compressed-tensors, gptq, awq, fp8, bitsandbytes, torchao, and MLX's affine";
                return Err(Error::unsupported(format!("quant_method {other}"), allowed));
            }
        })
    }

    /// How module `name`, such as `layers.0.mlp.up_proj`, of the shape `[N, K]` is stored. `tensors` are those of all
    /// the checkpoint's files by name, `metadata` is that of all of them; a leading `model.` is dropped from the names
    /// of modules and tensors, not from the keys of the metadata.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] naming a tensor that is missing, or has a dtype or shape that does not fit,
    /// [`Error::Unsupported`] naming a layout this does not read.
    pub fn find(
        &self,
        name: &str,
        shape: [u64; 2],
        tensors: &BTreeMap<String, Tensor>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<StoredMatrix> {
        let mut module = StoredModule::new(name, shape, tensors);
        if shape.iter().any(|axis| !(1..=MAX_AXIS).contains(axis)) {
            return Err(module.wrong("weight", format!("shape {shape:?} asked for, each axis may be 1 to {MAX_AXIS}")));
        }
        let quantized = match &self.method {
            Method::Unsaid => mlx::find_unsaid(&mut module)?,
            Method::Mlx(settings) => mlx::find(settings, &mut module)?,
            Method::CompressedTensors(settings) => compressed_tensors::find(settings, &mut module)?,
            Method::Gptq(settings) => gptq::find(settings, &mut module)?,
            Method::Awq(settings) => awq::find(settings, &mut module)?,
            Method::Fp8(settings) => fp8::find(settings, &mut module)?,
            Method::BitsAndBytes(settings) => bitsandbytes::find(settings, &mut module)?,
            Method::TorchAo => torchao::find(&mut module, metadata)?,
        };
        let layout = match quantized {
            Some(layout) => layout,
            None => StoredLayout::Plain(module.plain()?),
        };
        let bias = module.bias()?;
        let (names, parts) = module.into_parts();
        Ok(StoredMatrix { shape, names, parts, layout, bias })
    }
}

/// What a module's tensors mean.
#[derive(Clone, Debug)]
enum StoredLayout {
    /// Part 0 holds the numbers.
    Plain(Float),
    Affine(affine::AffineCodes),
    Fp8(fp8::Fp8),
    FourBit(bitsandbytes::FourBit),
}

/// One stored matrix `[N, K]`.
#[derive(Clone, Debug)]
pub struct StoredMatrix {
    shape: [u64; 2],
    names: Vec<String>,
    parts: Vec<TensorPart>,
    layout: StoredLayout,
    /// The part with a bias vector, which must be zero.
    bias: Option<usize>,
}

impl StoredMatrix {
    /// `[N, K]`
    pub fn shape(&self) -> [u64; 2] {
        self.shape
    }

    /// In what form its rows come.
    pub fn format(&self) -> MatrixFormat {
        match &self.layout {
            StoredLayout::Plain(number) => (*number).into(),
            StoredLayout::Affine(affine) => affine.format(self.shape[1]),
            StoredLayout::Fp8(_) => MatrixFormat::F32,
            StoredLayout::FourBit(four_bit) => four_bit.number().into(),
        }
    }

    /// Whether its rows are those of one tensor of numbers, as they are.
    pub fn is_plain(&self) -> bool {
        matches!(self.layout, StoredLayout::Plain(_)) && self.names.len() == 1
    }

    /// The tensors, as [`Scheme::find`] was given them, that must be at hand to decode.
    pub fn tensors(&self) -> &[String] {
        &self.names
    }

    /// Appends rows `rows` to `out`, in the form that [`StoredMatrix::format`] says. `parts` are the complete bytes of the
    /// tensors that [`StoredMatrix::tensors`] names, in that order. After an error `out` may hold some of the rows.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] naming a tensor whose bytes are not those of its header, or whose values make no
    /// sense: scales that are not finite, groups out of range, settings that contradict its header;
    /// [`Error::InvalidArgument`] for rows beyond N; [`Error::Unsupported`] for a bias vector that is not zero.
    pub fn decode(&self, parts: &[&[u8]], rows: Range<u64>, out: &mut MatrixRows) -> Result<()> {
        if rows.start > rows.end || rows.end > self.shape[0] {
            return Err(Error::argument("rows", format!("are {rows:?}, the matrix has {}", self.shape[0])));
        }
        if parts.len() != self.parts.len() {
            let message = format!("has {} entries, one for each of {:?} is needed", parts.len(), self.names);
            return Err(Error::argument("parts", message));
        }
        let parts = Parts { names: &self.names, parts: &self.parts, bytes: parts };
        parts.check_sizes(None)?;
        let columns = self.shape[1] as usize;
        let rows = rows.start as usize..rows.end as usize;
        self.check_bias(&parts, &rows)?;
        match &self.layout {
            StoredLayout::Plain(number) => {
                let row = columns * number.bytes();
                out.values.extend_from_slice(&parts.bytes[0][rows.start * row..rows.end * row]);
                Ok(())
            }
            StoredLayout::Affine(affine) => affine.decode(&parts, rows, columns, out),
            StoredLayout::Fp8(fp8) => fp8.decode(&parts, rows, columns, out),
            StoredLayout::FourBit(four_bit) => four_bit.decode(&parts, rows, self.shape, out),
        }
    }

    /// The place in [`StoredMatrix::tensors`] of the one whose bytes are the rows' codes just as they are handed on. They may
    /// then go before the others are at hand, and [`StoredMatrix::decode_groups`] give the rest.
    pub fn codes(&self) -> Option<usize> {
        match (&self.layout, self.bias) {
            (StoredLayout::Affine(affine), None) => affine.stored_codes(self.shape[1]),
            _ => None,
        }
    }

    /// As [`StoredMatrix::decode`], but appends scales and biases only. The bytes of the codes need not be there.
    ///
    /// # Errors
    /// As [`StoredMatrix::decode`]; [`Error::InvalidArgument`] for a matrix without [`StoredMatrix::codes`].
    pub fn decode_groups(&self, parts: &[&[u8]], rows: Range<u64>, out: &mut MatrixRows) -> Result<()> {
        let (StoredLayout::Affine(affine), Some(codes)) = (&self.layout, self.codes()) else {
            return Err(Error::argument("matrix", "has no codes that could go without the rest"));
        };
        if rows.start > rows.end || rows.end > self.shape[0] || parts.len() != self.parts.len() {
            return Err(Error::argument("rows", format!("are {rows:?}, the matrix has {}", self.shape[0])));
        }
        let parts = Parts { names: &self.names, parts: &self.parts, bytes: parts };
        parts.check_sizes(Some(codes))?;
        affine.decode_groups(&parts, rows.start as usize..rows.end as usize, self.shape[1] as usize, out)
    }

    /// Some tools store a bias vector of zeros with every module; one that is not zero would be lost.
    fn check_bias(&self, parts: &Parts<'_>, rows: &Range<usize>) -> Result<()> {
        let Some(part) = self.bias else { return Ok(()) };
        let each = parts.bytes[part].len() / self.shape[0] as usize;
        let used = &parts.bytes[part][rows.start * each..rows.end * each];
        // The top bit is the sign: -0 is zero, too.
        let zero =
            |number: &[u8]| number.iter().rev().enumerate().all(|(i, &b)| b & if i == 0 { 0x7f } else { 0xff } == 0);
        match used.chunks_exact(each).all(zero) {
            true => Ok(()),
            false => Err(Error::unsupported(format!("tensor {}", self.names[part]), "modules may have no bias")),
        }
    }
}
