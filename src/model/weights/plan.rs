//! The tensors of the architecture: what there must be, of which shape, and what for.

use super::Config;

/// A matrix's place in the model; those of a layer say which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MatrixPlace {
    Embedding,
    Query(usize),
    Key(usize),
    Value(usize),
    Output(usize),
    Gate(usize),
    Up(usize),
    Down(usize),
}

/// The place of a norm or a bias in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VectorPlace {
    Final,
    Input(usize),
    Query(usize),
    Key(usize),
    Mlp(usize),
    Bias(Projection, usize),
}

/// A projection of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Projection {
    Query,
    Key,
    Value,
    Output,
}

/// One of the model's matrices.
pub(super) struct PlannedMatrix {
    /// Without `model.` and `.weight`, such as `layers.0.mlp.up_proj`.
    pub(super) name: String,
    pub(super) place: MatrixPlace,
    /// `[N, K]`
    pub(super) shape: [u64; 2],
}

/// Everything the model consists of.
pub(super) struct Plan {
    pub(super) matrices: Vec<PlannedMatrix>,
    /// Tensor name without `model.`, place, length.
    pub(super) vectors: Vec<(String, VectorPlace, u64)>,
}

impl Plan {
    pub(super) fn new(config: &Config) -> Self {
        let of = |n: u32| u64::from(n);
        let (h, i, dh) = (of(config.hidden), of(config.intermediate), of(config.head_dim));
        let (q, kv) = (of(config.query_heads) * dh, of(config.key_heads) * dh);
        let table = PlannedMatrix {
            name: "embed_tokens".into(),
            place: MatrixPlace::Embedding,
            shape: [of(config.vocabulary), h],
        };
        let mut plan = Self { matrices: vec![table], vectors: vec![("norm.weight".into(), VectorPlace::Final, h)] };
        for l in 0..config.layers as usize {
            for (name, norm, length) in [
                ("input_layernorm", VectorPlace::Input(l), h),
                ("post_attention_layernorm", VectorPlace::Mlp(l), h),
                ("self_attn.q_norm", VectorPlace::Query(l), dh),
                ("self_attn.k_norm", VectorPlace::Key(l), dh),
            ] {
                plan.vectors.push((format!("layers.{l}.{name}.weight"), norm, length));
            }
            let biases = [
                ("q_proj", Projection::Query, q),
                ("k_proj", Projection::Key, kv),
                ("v_proj", Projection::Value, kv),
                ("o_proj", Projection::Output, h),
            ];
            for (name, projection, length) in biases.into_iter().filter(|_| config.attention_bias) {
                plan.vectors.push((
                    format!("layers.{l}.self_attn.{name}.bias"),
                    VectorPlace::Bias(projection, l),
                    length,
                ));
            }
            for (name, place, shape) in [
                ("self_attn.q_proj", MatrixPlace::Query(l), [q, h]),
                ("self_attn.k_proj", MatrixPlace::Key(l), [kv, h]),
                ("self_attn.v_proj", MatrixPlace::Value(l), [kv, h]),
                ("self_attn.o_proj", MatrixPlace::Output(l), [h, q]),
                ("mlp.gate_proj", MatrixPlace::Gate(l), [i, h]),
                ("mlp.up_proj", MatrixPlace::Up(l), [i, h]),
                ("mlp.down_proj", MatrixPlace::Down(l), [h, i]),
            ] {
                plan.matrices.push(PlannedMatrix { name: format!("layers.{l}.{name}"), place, shape });
            }
        }
        plan
    }
}
