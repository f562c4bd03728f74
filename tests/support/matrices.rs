//! The quantized fixtures, and what decoded rows stand for. See `fixtures/README.md`.

use std::collections::BTreeMap;

use half::{bf16, f16};
use pplx_embed::checkpoint::{Header, Tensor};
use pplx_embed::checkpoint::{MatrixRows, Scheme, StoredMatrix};
use pplx_embed::numbers::{Float, MatrixFormat};
use serde::Deserialize;
use serde_json::Value;

pub const MATRICES: &str = "tests/fixtures/formats/matrices";
pub const MODELS: &str = "tests/fixtures/formats/models";
pub const FAMILIES: [&str; 7] = ["mlx", "compressed-tensors", "gptq", "awq", "fp8", "bitsandbytes", "torchao"];

/// One matrix of a family's file.
#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub config: Value,
    pub shape: [u64; 2],
    pub kept: Value,
    /// The arithmetic is the library's own, or scales have so few bits that nothing is rounded.
    pub exact: bool,
}

/// A family's file: its header, and the bytes of each tensor.
pub struct File {
    pub tensors: BTreeMap<String, Tensor>,
    pub metadata: BTreeMap<String, String>,
    pub data: BTreeMap<String, Vec<u8>>,
}

impl File {
    pub fn read(path: &str) -> Self {
        let file = std::fs::read(path).unwrap();
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let header = Header::parse(path, &file[8..8 + length]).unwrap();
        let (mut tensors, mut data, mut at) = (BTreeMap::new(), BTreeMap::new(), 8 + length);
        for tensor in header.tensors {
            let name = tensor.name.strip_prefix("model.").unwrap_or(&tensor.name).to_owned();
            data.insert(name.clone(), file[at..at + tensor.bytes as usize].to_vec());
            at += tensor.bytes as usize;
            tensors.insert(name, tensor);
        }
        Self { tensors, metadata: header.metadata, data }
    }

    pub fn matrix(&self, case: &Case) -> pplx_embed::Result<StoredMatrix> {
        let scheme = Scheme::parse(&case.config).unwrap().unwrap();
        scheme.find(&case.name, case.shape, &self.tensors, &self.metadata)
    }

    pub fn parts(&self, matrix: &StoredMatrix) -> Vec<&[u8]> {
        matrix.tensors().iter().map(|name| self.data[name].as_slice()).collect()
    }
}

pub fn cases(family: &str) -> Vec<Case> {
    serde_json::from_slice(&std::fs::read(format!("{MATRICES}/{family}.json")).unwrap()).unwrap()
}

pub fn family(name: &str) -> File {
    File::read(&format!("{MATRICES}/{name}.safetensors"))
}

/// The weights that decoded rows stand for, in f64, where code times scale plus bias is exact; and each one's bias.
pub fn weights(rows: &MatrixRows, kept: MatrixFormat, columns: usize) -> Vec<(f64, f64)> {
    let plain = |number: Float| {
        let value = |b: &[u8]| match number {
            Float::F32 => f32::from_le_bytes(b.try_into().unwrap()),
            Float::F16 => f16::from_le_bytes(b.try_into().unwrap()).to_f32(),
            Float::Bf16 => bf16::from_le_bytes(b.try_into().unwrap()).to_f32(),
        };
        rows.values.chunks(number.bytes()).map(value).map(|w| (f64::from(w), 0.0)).collect()
    };
    let affine = |bits: u32, group: u32| {
        let (row_bytes, groups) = (4 * (columns * bits as usize).div_ceil(32), columns.div_ceil(group as usize));
        let lines = rows.values.chunks(row_bytes).zip(rows.groups.chunks(groups));
        let weight = |codes: &[u8], groups: &[[f32; 2]], i: usize| {
            let code = if bits == 4 { codes[i / 2] >> (4 * (i % 2)) & 15 } else { codes[i] };
            let [scale, bias] = groups[i / group as usize].map(f64::from);
            (f64::from(code) * scale + bias, bias)
        };
        lines.flat_map(|(codes, groups)| (0..columns).map(move |i| weight(codes, groups, i))).collect()
    };
    match kept {
        MatrixFormat::F32 => plain(Float::F32),
        MatrixFormat::F16 => plain(Float::F16),
        MatrixFormat::Bf16 => plain(Float::Bf16),
        MatrixFormat::Q8 { group } => affine(8, group),
        MatrixFormat::Q4 { group } => affine(4, group),
    }
}

pub fn kept(value: &Value) -> MatrixFormat {
    let number = |i: usize| value["affine"][i].as_u64().unwrap() as u32;
    match value["dense"].as_str() {
        Some(dtype) => Float::parse(dtype).unwrap().into(),
        None if number(0) == 4 => MatrixFormat::Q4 { group: number(1) },
        None => {
            assert_eq!(number(0), 8);
            MatrixFormat::Q8 { group: number(1) }
        }
    }
}
