//! Which keys of a repository's configuration files are read, which cannot change a vector, and which must be off. A key in
//! none of these lists is warned of: nothing that might change a vector is passed over without a word. `docs/settings.md`
//! lists the same keys; a test compares the two.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// What is known of a key.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) enum Rule {
    /// It is read, and its value checked, where it is used.
    Used,
    /// It cannot change a vector.
    Harmless,
    /// It could, but not with one of these values, which are JSON; nor with null.
    Only(&'static [&'static str]),
}

use Rule::{Harmless, Only, Used};

/// The keys that are known of one file, or of an object in one.
pub(in crate::model) type Keys = &'static [(&'static str, Rule)];

/// `config.json`: the fields of transformers' `PreTrainedConfig` (also of version 4) and `Qwen3Config`, and those that
/// published Qwen3 encoders have besides.
#[rustfmt::skip]
pub(super) const CONFIG: Keys = &[
    ("model_type", Used), ("auto_map", Used), ("hidden_size", Used), ("num_hidden_layers", Used),
    ("num_attention_heads", Used), ("num_key_value_heads", Used), ("head_dim", Used), ("intermediate_size", Used),
    ("vocab_size", Used), ("rms_norm_eps", Used), ("hidden_act", Used), ("attention_bias", Used),
    ("rope_theta", Used), ("rope_parameters", Used), ("rope_scaling", Used),
    ("max_position_embeddings", Used), ("original_max_position_embeddings", Used),
    ("is_causal", Used), ("use_bidirectional_attention", Used),
    ("use_sliding_window", Used), ("sliding_window", Used), ("max_window_layers", Used), ("layer_types", Used),
    ("quantization_config", Used), ("quantization", Used),
    // Other architectures' switches, at what Qwen3 is.
    ("partial_rotary_factor", Only(&["1"])), ("rope_interleaved", Only(&["false"])), ("mlp_bias", Only(&["false"])),
    ("qkv_bias", Only(&["false"])), ("use_qk_norm", Only(&["true"])), ("qk_norm", Only(&["true"])),
    ("is_encoder_decoder", Only(&["false"])), ("is_decoder", Only(&["false", "true"])), ("add_cross_attention", Only(&["false"])),
    ("cross_attention_hidden_size", Only(&[])), ("pruned_heads", Only(&["{}"])), ("per_layer_config", Only(&["{}"])),
    ("prefix", Only(&["\"\""])), ("logits_soft_cap", Only(&[])), ("attn_logit_softcapping", Only(&[])),
    ("num_experts", Only(&["0"])), ("tie_encoder_decoder", Only(&["false"])),
    // Where it comes from, and what wrote it.
    ("architectures", Harmless), ("transformers_version", Harmless), ("_name_or_path", Harmless), ("name_or_path", Harmless),
    ("_commit_hash", Harmless), ("unsloth_version", Harmless), ("unsloth_fixed", Harmless), ("tokenizer_class", Harmless),
    ("transformers.js_config", Harmless), ("sentence_transformers", Harmless), ("finetuning_task", Harmless),
    ("task_specific_params", Harmless), ("custom_pipelines", Harmless),
    // The type that weights are stored in says itself what it is; everything is computed in float32.
    ("dtype", Harmless), ("torch_dtype", Harmless), ("use_bfloat16", Harmless),
    // Training.
    ("attention_dropout", Harmless), ("hidden_dropout", Harmless), ("hidden_dropout_prob", Harmless),
    ("attention_probs_dropout_prob", Harmless), ("dropout", Harmless), ("classifier_dropout", Harmless),
    ("initializer_range", Harmless), ("gradient_checkpointing", Harmless), ("pretraining_tp", Harmless),
    ("tf_legacy_loss", Harmless), ("torchscript", Harmless),
    // How it is computed, not what.
    ("use_cache", Harmless), ("attn_implementation", Harmless), ("_attn_implementation", Harmless),
    ("_attn_implementation_autoset", Harmless), ("_attn_implementation_internal", Harmless), ("_flash_attn_2_enabled", Harmless),
    ("chunk_size_feed_forward", Harmless), ("use_flash_attn", Harmless), ("fused_mlp", Harmless),
    // What else a forward pass returns.
    ("output_hidden_states", Harmless), ("output_attentions", Harmless), ("return_dict", Harmless),
    ("tie_last_hidden_states", Harmless),
    // Heads that no embedding passes through.
    ("tie_word_embeddings", Harmless), ("num_labels", Harmless), ("id2label", Harmless), ("label2id", Harmless),
    ("problem_type", Harmless),
    // Special tokens: `tokenizer.json` decides what is added.
    ("bos_token_id", Harmless), ("eos_token_id", Harmless), ("pad_token_id", Harmless), ("sep_token_id", Harmless),
    ("cls_token_id", Harmless), ("mask_token_id", Harmless), ("unk_token_id", Harmless), ("decoder_start_token_id", Harmless),
    // Generating text.
    ("max_length", Harmless), ("min_length", Harmless), ("do_sample", Harmless), ("early_stopping", Harmless),
    ("num_beams", Harmless), ("num_beam_groups", Harmless), ("diversity_penalty", Harmless), ("temperature", Harmless),
    ("top_k", Harmless), ("top_p", Harmless), ("typical_p", Harmless), ("repetition_penalty", Harmless),
    ("length_penalty", Harmless), ("no_repeat_ngram_size", Harmless), ("encoder_no_repeat_ngram_size", Harmless),
    ("bad_words_ids", Harmless), ("num_return_sequences", Harmless), ("output_scores", Harmless),
    ("return_dict_in_generate", Harmless), ("forced_bos_token_id", Harmless), ("forced_eos_token_id", Harmless),
    ("remove_invalid_values", Harmless), ("exponential_decay_length_penalty", Harmless), ("suppress_tokens", Harmless),
    ("begin_suppress_tokens", Harmless),
];

/// `rope_parameters` and `rope_scaling` of a plain rotary embedding.
pub(super) const ROPE_DEFAULT: Keys = &[
    ("rope_theta", Used),
    ("rope_type", Used),
    ("type", Used),
    ("partial_rotary_factor", Only(&["1"])),
    ("factor", Only(&["1"])),
    ("mrope_section", Only(&["[]"])),
    // A set of parameters for each type of layer, which Qwen3 does not have.
    ("full_attention", Only(&[])),
    ("sliding_attention", Only(&[])),
];

/// The same with `rope_type` linear.
pub(super) const ROPE_LINEAR: Keys = &[
    ("rope_theta", Used),
    ("rope_type", Used),
    ("type", Used),
    ("factor", Used),
    ("partial_rotary_factor", Only(&["1"])),
];

/// The same with `rope_type` yarn.
pub(super) const ROPE_YARN: Keys = &[
    ("rope_theta", Used),
    ("rope_type", Used),
    ("type", Used),
    ("factor", Used),
    ("original_max_position_embeddings", Used),
    ("attention_factor", Used),
    ("beta_fast", Used),
    ("beta_slow", Used),
    ("mscale", Used),
    ("mscale_all_dim", Used),
    ("truncate", Used),
    ("partial_rotary_factor", Only(&["1"])),
];

/// `sentence_bert_config.json`: the arguments of sentence-transformers' `Transformer`.
#[rustfmt::skip]
pub(super) const TRANSFORMER: Keys = &[
    ("max_seq_length", Used), ("do_lower_case", Used), ("config_args", Used), ("config_kwargs", Used),
    ("model_args", Used), ("model_kwargs", Used), ("tokenizer_args", Used), ("processor_kwargs", Used),
    ("query_length", Used), ("document_length", Used), ("query_expansion", Used),
    ("transformer_task", Only(&["\"feature-extraction\""])),
    ("modality_config", Only(&[
        "{}", r#"{"text": {"method": "forward", "method_output_name": "last_hidden_state"}}"#,
    ])),
    ("module_output_name", Only(&["\"token_embeddings\""])),
    ("processing_kwargs", Only(&["{}"])),
    ("tokenizer_name_or_path", Only(&[])),
    // Padding, of which there is none here.
    ("unpad_inputs", Harmless),
    ("cache_dir", Harmless), ("backend", Harmless),
];

/// `model_args` there: arguments of transformers' `from_pretrained`.
#[rustfmt::skip]
pub(super) const MODEL_ARGS: Keys = &[
    ("attn_implementation", Harmless), ("torch_dtype", Harmless), ("dtype", Harmless), ("device_map", Harmless),
    ("low_cpu_mem_usage", Harmless), ("use_safetensors", Harmless), ("trust_remote_code", Harmless), ("cache_dir", Harmless),
    ("token", Harmless), ("use_cache", Harmless), ("file_name", Harmless), ("provider", Harmless), ("export", Harmless),
];

/// `tokenizer_args` there.
#[rustfmt::skip]
pub(super) const TOKENIZER_ARGS: Keys = &[
    ("model_max_length", Used),
    ("padding_side", Harmless), ("use_fast", Harmless), ("trust_remote_code", Harmless), ("cache_dir", Harmless),
    ("token", Harmless), ("truncation_side", Only(&["\"right\""])), ("fix_mistral_regex", Only(&["false"])),
];

/// `config_args` there that are no fields of `config.json`.
pub(super) const CONFIG_ARGS_HARMLESS: [&str; 3] = ["trust_remote_code", "cache_dir", "token"];

/// Fields that transformers' `Qwen3Config` always has. Of others it takes from `config_args` only what `config.json` has.
#[rustfmt::skip]
pub(super) const CONFIG_FIELDS: [&str; 19] = [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps", "rope_parameters", "attention_bias",
    "use_sliding_window", "sliding_window", "max_window_layers", "layer_types", "use_cache", "dtype", "attention_dropout",
];

/// `config_sentence_transformers.json`.
#[rustfmt::skip]
pub(super) const SENTENCE_TRANSFORMER: Keys = &[
    ("prompts", Used), ("default_prompt_name", Used), ("truncate_dim", Used), ("model_type", Used),
    // How vectors are compared, not what they are.
    ("similarity_fn_name", Harmless),
    ("__version__", Harmless),
    // PyLate's, which only a late interaction model reads.
    ("query_prefix", Used), ("document_prefix", Used), ("query_length", Used), ("document_length", Used),
    ("do_query_expansion", Used), ("attend_to_expansion_tokens", Used), ("skiplist_words", Used),
];

/// An entry of `modules.json`.
pub(super) const MODULE: Keys =
    &[("path", Used), ("type", Used), ("idx", Harmless), ("name", Harmless), ("kwargs", Only(&["[]", "{}"]))];

/// The `Pooling` module's own `config.json`.
#[rustfmt::skip]
pub(super) const POOLING: Keys = &[
    ("pooling_mode", Used), ("embedding_dimension", Used), ("word_embedding_dimension", Used), ("include_prompt", Used),
    ("pooling_mode_cls_token", Used), ("pooling_mode_mean_tokens", Used), ("pooling_mode_max_tokens", Used),
    ("pooling_mode_mean_sqrt_len_tokens", Used), ("pooling_mode_weightedmean_tokens", Used),
    ("pooling_mode_lasttoken", Used),
];

/// The `Dense` module's.
#[rustfmt::skip]
pub(super) const DENSE: Keys = &[
    ("in_features", Used), ("out_features", Used), ("bias", Used), ("activation_function", Used),
    ("module_input_name", Used), ("module_output_name", Used), ("use_residual", Only(&["false"])),
    // What weights are before they are loaded.
    ("init_weight", Harmless), ("init_bias", Harmless),
];

/// The `Normalize` module's.
pub(in crate::model) const NORMALIZE: Keys = &[("module_input_name", Used), ("module_output_name", Used)];

/// The `MultiVectorMask` module's.
pub(in crate::model) const MULTI_VECTOR_MASK: Keys =
    &[("skiplist_words", Used), ("skiplist_tasks", Used), ("keep_only_token_ids", Used)];

/// The settings of one file as they are read, and what there is to say of them that is no error.
#[derive(Default)]
pub(crate) struct Notices(pub(super) Vec<String>);

impl Notices {
    pub(super) fn add(&mut self, notice: String) {
        if !self.0.contains(&notice) {
            self.0.push(notice);
        }
    }

    /// Checks each key of `object`, which is `place` (empty, or ending in a dot) of `file`, and notes those that are unknown
    /// and say something.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for one that is not at a value that means "off".
    pub(super) fn check(&mut self, file: &str, place: &str, object: &Map<String, Value>, keys: Keys) -> Result<()> {
        for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            match keys.iter().find(|(name, _)| name == key).map(|(_, rule)| rule) {
                Some(Used | Harmless) => {}
                Some(Only(allowed)) if allowed.iter().any(|allowed| same(allowed, value)) => {}
                Some(Only(allowed)) => {
                    let allowed = [allowed, &["null"][..]].concat().join(", ");
                    let what = format!("{place}{key} {} in {file}", shortened(value));
                    return Err(Error::unsupported(what, format!("allowed are {allowed}")));
                }
                None if says_nothing(value) => {}
                None => self.add(format!("{file}: {place}{key} is {}, which is not known here", shortened(value))),
            }
        }
        Ok(())
    }
}

/// `value` is what the JSON `text` says; 1 is 1.0.
fn same(text: &str, value: &Value) -> bool {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Number(number)) => value.as_f64() == number.as_f64(),
        Ok(allowed) => allowed == *value,
        Err(_) => false,
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

/// A value as JSON, cut where it is long: files are not trusted to be short.
pub(super) fn shortened(value: &Value) -> String {
    const MAX: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documentation's rows under a heading, by their first cell.
    fn row<'a>(page: &'a str, heading: &str, label: &str) -> &'a str {
        let section =
            page.split("\n## ").flat_map(|part| part.split("\n### ")).find(|s| s.starts_with(&format!("{heading}\n")));
        let section = section.unwrap_or_else(|| panic!("no section {heading}"));
        section.lines().find(|line| line.starts_with(&format!("| {label} |"))).unwrap_or("")
    }

    #[test]
    fn the_documentation_lists_every_key_with_its_rule() {
        let page = include_str!("../../../docs/settings.md");
        let rope = |kind: &str| format!("rope_parameters, rope_scaling with rope_type {kind}");
        for (heading, keys) in [
            ("config.json".to_owned(), CONFIG),
            (rope("default"), ROPE_DEFAULT),
            (rope("linear"), ROPE_LINEAR),
            (rope("yarn"), ROPE_YARN),
            ("sentence_bert_config.json".into(), TRANSFORMER),
            ("model_args, model_kwargs".into(), MODEL_ARGS),
            ("tokenizer_args, processor_kwargs".into(), TOKENIZER_ARGS),
            ("config_sentence_transformers.json".into(), SENTENCE_TRANSFORMER),
            ("modules.json".into(), MODULE),
            ("Pooling".into(), POOLING),
            ("Dense".into(), DENSE),
            ("Normalize".into(), NORMALIZE),
            ("MultiVectorMask".into(), MULTI_VECTOR_MASK),
        ] {
            let mut listed = 0;
            for (key, rule) in keys {
                let (label, values) = match rule {
                    Used => ("used", &[][..]),
                    Harmless => ("cannot change a vector", &[][..]),
                    Only(values) => ("must be off", *values),
                };
                let row = row(page, &heading, label);
                assert!(row.contains(&format!("`{key}`")), "{heading}: {key} is not in the row {label:?}");
                assert!(values.iter().all(|value| row.contains(&format!("`{value}`"))), "{heading}: values of {key}");
                listed += 1 + if label == "must be off" { values.len() } else { 0 };
            }
            let rows = ["used", "cannot change a vector", "must be off"].map(|label| row(page, &heading, label));
            let named: usize = rows.iter().map(|row| row.matches('`').count() / 2).sum();
            assert_eq!(named, listed, "{heading} lists keys that are not known");
        }
    }
}
