//! From a checkpoint to weights on the device: which tensor goes where, in which form.

use std::collections::BTreeMap;

use super::Config;
use crate::checkpoint::{Files, Header, Number, Tensor};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Linear, Storage, WeightType};
use crate::hub::{Reader, Source, Stream};
use crate::watch::{Progress, Watch};

/// Bytes of a tensor read, converted and written at a time.
const STEP: u64 = 4 << 20;
/// Bytes written before staging memory is given back.
const FLUSH: u64 = 32 << 20;

/// One layer's weights.
pub(super) struct Layer {
    pub(super) input_norm: wgpu::Buffer,
    pub(super) q: Linear,
    pub(super) k: Linear,
    pub(super) v: Linear,
    pub(super) q_norm: wgpu::Buffer,
    pub(super) k_norm: wgpu::Buffer,
    pub(super) o: Linear,
    pub(super) mlp_norm: wgpu::Buffer,
    /// The pair of gate and up.
    pub(super) gate_up: Linear,
    pub(super) down: Linear,
}

/// A model's weights: the embedding table in host memory as it is stored, the rest on the device.
pub(super) struct Weights {
    pub(super) embedding: Embedding,
    pub(super) layers: Vec<Layer>,
    pub(super) norm: wgpu::Buffer,
    pub(super) weight_type: WeightType,
}

/// The embedding table `[V, H]`. Rows are gathered on the CPU; it is never a GPU buffer.
pub(super) struct Embedding {
    bytes: Vec<u8>,
    number: Number,
    hidden: usize,
}

impl Embedding {
    /// The rows of `ids` as f32, `[ids, H]`.
    pub(super) fn rows(&self, ids: &[u32]) -> Vec<f32> {
        let row = self.hidden * self.number.bytes();
        let mut rows = Vec::with_capacity(ids.len() * self.hidden);
        for &id in ids {
            self.number.widen(&self.bytes[id as usize * row..][..row], &mut rows);
        }
        rows
    }

    fn host_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl Weights {
    /// Bytes in host memory and on the device.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let linears = self.layers.iter().flat_map(|l| [&l.q, &l.k, &l.v, &l.o, &l.gate_up, &l.down]);
        let norms = self.layers.iter().flat_map(|l| [&l.input_norm, &l.q_norm, &l.k_norm, &l.mlp_norm]);
        let norms: u64 = norms.chain([&self.norm]).map(wgpu::Buffer::size).sum();
        (self.embedding.host_bytes(), linears.map(Linear::bytes).sum::<u64>() + norms)
    }

    /// Streams the checkpoint of `source` onto the device. `held` is how linear weights are held; `None` keeps the
    /// format they are stored in.
    ///
    /// # Errors
    /// [`Error::InvalidCheckpoint`] naming a tensor that is missing, twice there or of the wrong shape,
    /// [`Error::Unsupported`] naming one of a dtype this does not read, or what kept a file from being read. What was
    /// loaded by then is freed.
    pub(super) async fn load(
        source: &impl Source,
        config: &Config,
        gpu: &Gpu,
        held: Option<WeightType>,
        watch: &dyn Watch,
    ) -> Result<Self> {
        let files = Files::find(source).await?;
        let (plan, loaded) = (plan(config), BTreeMap::new());
        let mut loader = Loader { config, gpu, held, first_stored: None, watch, plan, loaded, unflushed: 0 };
        if let Files::Sharded(index) = &files {
            let names: Vec<&str> = index.tensors().collect();
            loader.require(&names, "model.safetensors.index.json")?;
        }
        for path in files.paths() {
            let mut reader = Reader::new(path, source.open(path).await?);
            let header = Header::read(&mut reader).await?;
            let names: Vec<&str> = header.tensors.iter().map(|t| t.name.as_str()).collect();
            if files == Files::Single {
                loader.require(&names, path)?;
            }
            loader.check(path, &header)?;
            for tensor in &header.tensors {
                loader.load(&mut reader, tensor).await?;
            }
        }
        gpu.flush_writes().await?;
        loader.finish()
    }
}

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Embedding,
    Norm,
    Linear,
}

/// The tensors of the architecture, by name without the `model.` prefix: role and shape.
fn plan(config: &Config) -> BTreeMap<String, (Role, Vec<u64>)> {
    let of = |n: u32| u64::from(n);
    let (h, i, dh) = (of(config.hidden), of(config.intermediate), of(config.head_dim));
    let (q, kv) = (of(config.query_heads) * dh, of(config.key_heads) * dh);
    let mut plan = BTreeMap::from([
        ("embed_tokens.weight".into(), (Role::Embedding, vec![of(config.vocabulary), h])),
        ("norm.weight".into(), (Role::Norm, vec![h])),
    ]);
    for layer in 0..config.layers {
        let mut add = |name: &str, role, shape: &[u64]| {
            plan.insert(format!("layers.{layer}.{name}.weight"), (role, shape.to_vec()));
        };
        add("input_layernorm", Role::Norm, &[h]);
        add("post_attention_layernorm", Role::Norm, &[h]);
        add("self_attn.q_norm", Role::Norm, &[dh]);
        add("self_attn.k_norm", Role::Norm, &[dh]);
        add("self_attn.q_proj", Role::Linear, &[q, h]);
        add("self_attn.k_proj", Role::Linear, &[kv, h]);
        add("self_attn.v_proj", Role::Linear, &[kv, h]);
        add("self_attn.o_proj", Role::Linear, &[h, q]);
        add("mlp.gate_proj", Role::Linear, &[i, h]);
        add("mlp.up_proj", Role::Linear, &[i, h]);
        add("mlp.down_proj", Role::Linear, &[h, i]);
    }
    plan
}

enum Loaded {
    Embedding(Embedding),
    Norm(wgpu::Buffer),
    Linear(Linear),
    /// One of a pair, which is under the pair's name.
    Half,
}

/// The name of the pair that a tensor is one of, and which.
fn pair_of(name: &str) -> Option<(String, usize)> {
    let of = |suffix, matrix| Some((format!("{}mlp.gate_up", name.strip_suffix(suffix)?), matrix));
    of("mlp.gate_proj.weight", 0).or_else(|| of("mlp.up_proj.weight", 1))
}

struct Loader<'a> {
    config: &'a Config,
    gpu: &'a Gpu,
    held: Option<WeightType>,
    /// The format of the first linear weight, which the others follow unless `held` says otherwise.
    first_stored: Option<WeightType>,
    watch: &'a dyn Watch,
    plan: BTreeMap<String, (Role, Vec<u64>)>,
    loaded: BTreeMap<String, Loaded>,
    unflushed: u64,
}

fn plain(name: &str) -> &str {
    name.strip_prefix("model.").unwrap_or(name)
}

impl Loader<'_> {
    /// Every tensor of the plan is among `names`.
    fn require(&self, names: &[&str], file: &str) -> Result<()> {
        let names: std::collections::BTreeSet<&str> = names.iter().map(|n| plain(n)).collect();
        match self.plan.keys().find(|wanted| !names.contains(wanted.as_str())) {
            Some(missing) => Err(Error::checkpoint(file, format!("tensor {missing} is missing"))),
            None => Ok(()),
        }
    }

    /// Every tensor of the file that the plan wants has the plan's shape and a dtype that can be read.
    fn check(&self, file: &str, header: &Header) -> Result<()> {
        for tensor in &header.tensors {
            let Some((_, shape)) = self.plan.get(plain(&tensor.name)) else { continue };
            if tensor.shape != *shape {
                let message =
                    format!("tensor {} has shape {:?}, config.json asks for {shape:?}", tensor.name, tensor.shape);
                return Err(Error::checkpoint(file, message));
            }
            if Number::parse(&tensor.dtype).is_none() {
                let what = format!("dtype {} of tensor {} in {file}", tensor.dtype, tensor.name);
                return Err(Error::unsupported(what, "allowed are F32, F16 and BF16"));
            }
        }
        Ok(())
    }

    async fn load<S: Stream>(&mut self, reader: &mut Reader<S>, tensor: &Tensor) -> Result<()> {
        let name = plain(&tensor.name);
        let wanted = self.plan.get(name).map(|(role, _)| *role);
        let (Some(role), Some(number)) = (wanted, Number::parse(&tensor.dtype)) else {
            return reader.skip(tensor.bytes).await;
        };
        if self.loaded.contains_key(name) {
            return Err(Error::checkpoint(reader.file(), format!("tensor {name} is there twice")));
        }
        let loaded = match role {
            Role::Embedding => Loaded::Embedding(self.embedding(reader, tensor, number).await?),
            Role::Norm => Loaded::Norm(self.norm(reader, tensor, number).await?),
            Role::Linear => self.linear(reader, tensor, number).await?,
        };
        self.loaded.insert(name.into(), loaded);
        Ok(())
    }

    async fn embedding<S: Stream>(
        &mut self,
        reader: &mut Reader<S>,
        tensor: &Tensor,
        number: Number,
    ) -> Result<Embedding> {
        let mut bytes = Vec::new();
        // Once the file's size has vouched for the header, room for the whole is asked for at once.
        if reader.size().is_some() {
            let room = usize::try_from(tensor.bytes).ok().and_then(|n| bytes.try_reserve_exact(n).ok());
            room.ok_or_else(|| Error::OutOfMemory {
                message: format!("{} bytes of host memory for tensor {}", tensor.bytes, tensor.name),
            })?;
        }
        while (bytes.len() as u64) < tensor.bytes {
            bytes.extend(self.step(reader, STEP.min(tensor.bytes - bytes.len() as u64)).await?);
        }
        Ok(Embedding { bytes, number, hidden: self.config.hidden as usize })
    }

    async fn norm<S: Stream>(
        &mut self,
        reader: &mut Reader<S>,
        tensor: &Tensor,
        number: Number,
    ) -> Result<wgpu::Buffer> {
        let bytes = self.step(reader, tensor.bytes).await?;
        let mut values = Vec::new();
        number.widen(&bytes, &mut values);
        self.gpu.storage_of(&tensor.name, &values)
    }

    async fn linear<S: Stream>(&mut self, reader: &mut Reader<S>, tensor: &Tensor, number: Number) -> Result<Loaded> {
        let stored = match number {
            Number::F32 => WeightType::F32,
            Number::F16 => WeightType::F16,
            Number::Bf16 => WeightType::Bf16,
        };
        let as_stored = self.held.is_none();
        let held = self.held.unwrap_or(*self.first_stored.get_or_insert(stored));
        if as_stored && held != stored && held != WeightType::F32 {
            let what = format!("tensor {} of dtype {} after weights of another", tensor.name, tensor.dtype);
            return Err(Error::unsupported(what, "choose weights \"f32\", which holds them all exactly"));
        }
        let to = match held {
            WeightType::F32 => Number::F32,
            WeightType::F16 => Number::F16,
            WeightType::Bf16 => Number::Bf16,
            WeightType::Q8 | WeightType::Q4 => {
                return Err(Error::unsupported(format!("weights {}", held.name()), "allowed are auto, f32 and f16"));
            }
        };
        let (n, k) = (tensor.shape[0] as u32, tensor.shape[1] as u32);
        let (storage, pair) = (Storage::dense(held), pair_of(plain(&tensor.name)));
        let (linear, matrix) = match &pair {
            None => (Linear::zeros(self.gpu, &tensor.name, n, k, storage)?, 0),
            Some((name, matrix)) => match self.loaded.remove(name) {
                Some(Loaded::Linear(linear)) => (linear, *matrix),
                _ => (Linear::pair(self.gpu, name, n, k, storage)?, *matrix),
            },
        };
        let row = u64::from(k) * number.bytes() as u64;
        let step = (STEP / row).max(1) * row;
        let mut read = 0;
        while read < tensor.bytes {
            let bytes = self.step(reader, step.min(tensor.bytes - read)).await?;
            let converted = number.convert(&bytes, to).ok_or_else(|| {
                let message = "it has values beyond the range of f16; choose \"auto\" or \"f32\"";
                Error::unsupported(format!("weights as f16 for tensor {}", tensor.name), message)
            })?;
            linear.write(self.gpu, matrix, (read / row) as u32, &converted);
            read += bytes.len() as u64;
            self.unflushed += converted.len() as u64;
            if self.unflushed >= FLUSH {
                self.unflushed = 0;
                self.gpu.flush_writes().await?;
            }
        }
        let Some((name, _)) = pair else { return Ok(Loaded::Linear(linear)) };
        self.loaded.insert(name, Loaded::Linear(linear));
        Ok(Loaded::Half)
    }

    /// The next `bytes` bytes of a tensor.
    async fn step<S: Stream>(&self, reader: &mut Reader<S>, bytes: u64) -> Result<Vec<u8>> {
        if self.watch.cancelled() {
            return Err(Error::Aborted);
        }
        let bytes = reader.exact(bytes as usize).await?;
        let (file, loaded, total) = (reader.file().to_owned(), reader.position(), reader.size());
        self.watch.progress(Progress::Download { file, loaded, total });
        Ok(bytes)
    }

    /// Puts the loaded tensors in their places.
    fn finish(mut self) -> Result<Weights> {
        let weight_type = self.held.or(self.first_stored).unwrap_or(WeightType::F32);
        let layers = (0..self.config.layers)
            .map(|layer| {
                let name = |name: &str| format!("layers.{layer}.{name}.weight");
                Ok(Layer {
                    input_norm: self.take_norm(&name("input_layernorm"))?,
                    q: self.take_linear(&name("self_attn.q_proj"))?,
                    k: self.take_linear(&name("self_attn.k_proj"))?,
                    v: self.take_linear(&name("self_attn.v_proj"))?,
                    q_norm: self.take_norm(&name("self_attn.q_norm"))?,
                    k_norm: self.take_norm(&name("self_attn.k_norm"))?,
                    o: self.take_linear(&name("self_attn.o_proj"))?,
                    mlp_norm: self.take_norm(&name("post_attention_layernorm"))?,
                    gate_up: self.take_pair(name)?,
                    down: self.take_linear(&name("mlp.down_proj"))?,
                })
            })
            .collect::<Result<_>>()?;
        let norm = self.take_norm("norm.weight")?;
        match self.loaded.remove("embed_tokens.weight") {
            Some(Loaded::Embedding(embedding)) => Ok(Weights { embedding, layers, norm, weight_type }),
            _ => Err(missing("embed_tokens.weight")),
        }
    }

    fn take_norm(&mut self, name: &str) -> Result<wgpu::Buffer> {
        match self.loaded.remove(name) {
            Some(Loaded::Norm(buffer)) => Ok(buffer),
            _ => Err(missing(name)),
        }
    }

    fn take_pair(&mut self, name: impl Fn(&str) -> String) -> Result<Linear> {
        for half in [name("mlp.gate_proj"), name("mlp.up_proj")] {
            self.loaded.remove(&half).ok_or_else(|| missing(&half))?;
        }
        let pair = pair_of(&name("mlp.gate_proj")).map_or_else(String::new, |(pair, _)| pair);
        self.take_linear(&pair)
    }

    fn take_linear(&mut self, name: &str) -> Result<Linear> {
        match self.loaded.remove(name) {
            Some(Loaded::Linear(linear)) => Ok(linear),
            _ => Err(missing(name)),
        }
    }
}

/// An index that lists a tensor its shard does not hold.
fn missing(name: &str) -> Error {
    Error::checkpoint("model.safetensors.index.json", format!("tensor {name} is not in the shard it is listed in"))
}
