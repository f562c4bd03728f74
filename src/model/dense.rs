//! Dense modules: linear layers of float32 behind the encoder.

use std::collections::BTreeMap;

use super::config::DenseLayer;
use crate::backend::{Activation, Backend, Buffer, Kernels, Run, Weight};
use crate::checkpoint::{Header, Tensor};
use crate::error::{Error, Result};
use crate::hub::{self, Source};
use crate::numbers::{Float, MatrixFormat};

/// Largest file of one accepted, in bytes.
const MAX_FILE: usize = 1 << 28;
const WEIGHT: &str = "linear.weight";
const BIAS: &str = "linear.bias";

/// A linear layer on the device, which is held as float32: it is small.
pub(super) struct Dense {
    weight: Weight,
    /// `[outputs]`
    bias: Option<Buffer>,
    activation: Activation,
    pub(super) outputs: u32,
}

impl Dense {
    /// Reads `model.safetensors` in the module's folder.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] for tensors that are missing, of another shape or not finite, [`Error::Unsupported`] for
    /// other types of numbers, or what kept the file from being read.
    pub(super) async fn load(
        source: &impl Source,
        layer: &DenseLayer,
        backend: &Backend,
        kernels: &Kernels,
    ) -> Result<Self> {
        let file = format!("{}/model.safetensors", layer.path);
        let invalid = |message: String| Error::checkpoint(&file, message);
        let bytes = hub::read(source, &file, MAX_FILE).await?;
        let (prefix, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| invalid("has no header".into()))?;
        let length = usize::try_from(u64::from_le_bytes(*prefix)).ok().filter(|&n| n <= rest.len());
        let length = length.ok_or_else(|| invalid("the header is longer than the file".into()))?;
        let (json, data) = rest.split_at(length);
        let header = Header::parse(&file, json)?;
        if header.data_bytes != data.len() as u64 {
            return Err(invalid(format!(
                "has {} bytes of data, its header describes {}",
                data.len(),
                header.data_bytes
            )));
        }
        let mut tensors = BTreeMap::new();
        let mut from = 0;
        for tensor in &header.tensors {
            tensors.insert(tensor.name.as_str(), (tensor, &data[from..from + tensor.bytes as usize]));
            from += tensor.bytes as usize;
        }
        let values = |name: &str, shape: &[u64]| {
            let (tensor, bytes) = tensors.get(name).ok_or_else(|| invalid(format!("tensor {name} is missing")))?;
            values(&file, tensor, bytes, shape)
        };
        let (outputs, inputs) = (u64::from(layer.outputs), u64::from(layer.inputs));
        let weight = backend.weight(kernels, WEIGHT, [1, layer.outputs, layer.inputs], MatrixFormat::F32)?;
        weight.write(0, 0, bytemuck::cast_slice(&values(WEIGHT, &[outputs, inputs])?));
        let bias = match layer.bias {
            true => Some(backend.buffer_of("bias", &values(BIAS, &[outputs])?)?),
            false => None,
        };
        let bias = match (bias, layer.activation) {
            // The activation comes with the bias.
            (None, Activation::Tanh) => Some(backend.buffer_of("bias", &vec![0.0f32; layer.outputs as usize])?),
            (bias, _) => bias,
        };
        Ok(Self { weight, bias, activation: layer.activation, outputs: layer.outputs })
    }

    /// `y = activation(x w^T + b)` for `rows` rows: `x` `[rows, inputs]`, `y` `[rows, outputs]`.
    ///
    /// # Errors
    /// As [`Run`] says.
    pub(super) async fn run(&self, run: &mut Run<'_>, x: &Buffer, y: &Buffer, rows: u32) -> Result<()> {
        run.matmul(x, &self.weight, y, rows, 0).await?;
        match &self.bias {
            Some(bias) => run.bias([bias, y], rows, 0, self.outputs, self.activation),
            None => Ok(()),
        }
    }

    /// Its matrix, bias and activation.
    pub(super) fn parts(&self) -> (&Weight, Option<&Buffer>, Activation) {
        (&self.weight, self.bias.as_ref(), self.activation)
    }

    /// The layer of these parts.
    pub(super) fn of_parts(weight: Weight, bias: Option<Buffer>, activation: Activation, outputs: u32) -> Self {
        Self { weight, bias, activation, outputs }
    }

    /// Bytes on the device.
    pub(super) fn bytes(&self) -> u64 {
        self.weight.bytes() + self.bias.as_ref().map_or(0, Buffer::size)
    }
}

/// The numbers of a tensor that has to have this shape.
fn values(file: &str, tensor: &Tensor, bytes: &[u8], shape: &[u64]) -> Result<Vec<f32>> {
    let name = &tensor.name;
    let Some(number) = Float::parse(&tensor.dtype) else {
        let what = format!("{name} of dtype {} in {file}", tensor.dtype);
        return Err(Error::unsupported(what, "allowed are F32, F16 and BF16"));
    };
    if tensor.shape != shape {
        let wanted = format!("its config.json asks for {shape:?}");
        return Err(Error::checkpoint(file, format!("tensor {name} has shape {:?}, {wanted}", tensor.shape)));
    }
    let mut values = Vec::new();
    number.widen(bytes, &mut values);
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::checkpoint(file, format!("tensor {name} has {} at [{at}]", values[at]))),
        None => Ok(values),
    }
}
