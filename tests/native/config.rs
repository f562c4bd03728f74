//! Configurations: what is missing, contradictory or not supported is named.

use pplx_embed::model::{Config, Pooling};
use serde_json::{Value, json};

fn real() -> Value {
    // The published config.json of pplx-embed-v1-0.6b, as far as it is read.
    json!({
        "model_type": "bidirectional_pplx_qwen3", "attention_bias": false, "head_dim": 128, "hidden_act": "silu",
        "hidden_size": 1024, "intermediate_size": 3072, "layer_types": vec!["full_attention"; 28],
        "max_position_embeddings": 32768, "num_attention_heads": 16, "num_hidden_layers": 28,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000,
        "rope_parameters": {"rope_theta": 1_000_000, "rope_type": "default"}, "sliding_window": null,
        "use_sliding_window": false, "use_bidirectional_attention": true, "vocab_size": 151_936,
    })
}

fn parse(config: &Value) -> Result<Config, pplx_embed::Error> {
    Config::parse(config.to_string().as_bytes())
}

#[test]
fn the_published_config_is_read() {
    let config = parse(&real()).unwrap();
    assert_eq!((config.hidden, config.layers, config.intermediate, config.vocabulary), (1024, 28, 3072, 151_936));
    assert_eq!((config.query_heads, config.key_heads, config.head_dim), (16, 8, 128));
    assert_eq!((config.causal, config.pooling, config.tanh_int8), (false, Pooling::Mean, true));
    assert_eq!((config.rope.theta, config.max_positions), (1e6, 32768));
}

#[test]
fn plain_qwen3_is_causal_and_pools_the_last_token() {
    let mut config = real();
    config["model_type"] = json!("qwen3");
    config["use_bidirectional_attention"] = json!(null);
    let parsed = parse(&config).unwrap();
    assert_eq!((parsed.causal, parsed.pooling, parsed.tanh_int8), (true, Pooling::Last, false));
    config["use_bidirectional_attention"] = json!(true);
    assert!(!parse(&config).unwrap().causal);
}

#[test]
fn rope_theta_is_found_in_either_place() {
    for drop in ["rope_theta", "rope_parameters"] {
        let mut config = real();
        config.as_object_mut().unwrap().remove(drop);
        assert_eq!(parse(&config).unwrap().rope.theta, 1e6);
    }
}

#[test]
fn a_missing_field_is_named() {
    for field in [
        "model_type",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
        "max_position_embeddings",
    ] {
        let mut config = real();
        config.as_object_mut().unwrap().remove(field);
        let error = parse(&config).err().unwrap();
        assert_eq!(error.code(), "invalid-config");
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[test]
fn what_is_contradictory_absurd_or_unsupported_is_named() {
    for (field, value, code, word) in [
        ("use_bidirectional_attention", json!(false), "invalid-config", "bidirectional_pplx_qwen3"),
        ("rope_theta", json!(10_000), "invalid-config", "rope_parameters.rope_theta"),
        ("num_key_value_heads", json!(3), "invalid-config", "does not divide"),
        ("num_key_value_heads", json!(32), "invalid-config", "1 to 16"),
        ("head_dim", json!(0), "invalid-config", "head_dim is 0"),
        ("head_dim", json!(66), "invalid-config", "multiples of 4"),
        ("head_dim", json!(260), "invalid-config", "1 to 256"),
        ("hidden_size", json!(1022), "invalid-config", "multiples of 4"),
        ("hidden_size", json!(u64::MAX), "invalid-config", "hidden_size"),
        ("hidden_size", json!(-1), "invalid-config", "-1"),
        ("hidden_size", json!("1024"), "invalid-config", "1024"),
        ("vocab_size", json!(0), "invalid-config", "vocab_size is 0"),
        ("rms_norm_eps", json!(-1.0), "invalid-config", "rms_norm_eps"),
        ("rms_norm_eps", json!(1e-46), "invalid-config", "rms_norm_eps"),
        ("model_type", json!("bert"), "unsupported", "bert"),
        ("hidden_act", json!("gelu"), "unsupported", "gelu"),
        ("is_causal", json!(true), "invalid-config", "is_causal is true"),
        ("is_causal", json!("no"), "invalid-config", "no"),
        ("layer_types", json!(["sliding_attention"]), "invalid-config", "layer_types has 1 entries"),
        ("layer_types", json!(vec!["chunked_attention"; 28]), "unsupported", "chunked_attention"),
        ("layer_types", json!(vec!["sliding_attention"; 28]), "unsupported", "sliding-window"),
        (
            "rope_parameters",
            json!({"rope_type": "yarn", "rope_theta": 1_000_000}),
            "invalid-config",
            "rope_parameters.factor",
        ),
        (
            "rope_parameters",
            json!({"rope_type": "default", "factor": 4.0}),
            "unsupported",
            "rope_parameters.factor 4.0",
        ),
        ("rope_parameters", json!({"full_attention": {"rope_theta": 1}}), "unsupported", "full_attention"),
        ("rope_parameters", json!("yarn"), "invalid-config", "rope_parameters is \"yarn\""),
        ("rope_scaling", json!({"type": "linear"}), "invalid-config", "rope_scaling.factor"),
        ("rope_scaling", json!({"type": "linear", "factor": 2}), "invalid-config", "contradict"),
        ("rope_scaling", json!({"type": "linear", "factor": "NaN"}), "invalid-config", "NaN"),
        ("rope_scaling", json!({"type": "dynamic", "factor": 2}), "unsupported", "dynamic"),
        ("partial_rotary_factor", json!(0.5), "unsupported", "partial_rotary_factor 0.5 in config.json"),
        ("add_cross_attention", json!(true), "unsupported", "add_cross_attention"),
        ("quantization_config", json!({"quant_method": "hqq"}), "unsupported", "hqq"),
    ] {
        let mut config = real();
        config[field] = value.clone();
        let error = parse(&config).err().unwrap_or_else(|| panic!("{field} = {value} is accepted"));
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(word), "no {word:?} in {error}");
    }
}
