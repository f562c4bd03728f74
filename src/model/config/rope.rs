//! Rotary positions as `config.json` describes them.

use serde_json::{Map, Value};

use super::keys::{self, Notices, shortened};
use super::{FILE, invalid};
use crate::error::{Error, Result};
use crate::numbers::{Rope, RopeScaling};

/// Both names that the parameters have: transformers 5's, and the older one, which wins.
const PLACES: [&str; 2] = ["rope_parameters", "rope_scaling"];

/// Reads `rope_theta`, `rope_parameters` and `rope_scaling`.
///
/// # Errors
/// [`Error::InvalidConfig`] for what is missing, contradictory or out of range, [`Error::Unsupported`] for a type of
/// scaling that this does not have.
pub(super) fn parse(config: &Map<String, Value>, positions: u32, notices: &mut Notices) -> Result<Rope> {
    let mut found: Option<RopeScaling> = None;
    let mut theta: Option<(String, f64)> = number(config, "", "rope_theta")?.map(|value| ("rope_theta".into(), value));
    for place in PLACES {
        let parameters = match config.get(place) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(parameters)) if parameters.is_empty() => continue,
            Some(Value::Object(parameters)) => parameters,
            Some(other) => {
                return Err(invalid(format!("{place} is {}, allowed are objects and null", shortened(other))));
            }
        };
        let prefix = format!("{place}.");
        if let Some(value) = number(parameters, &prefix, "rope_theta")? {
            if let Some((name, other)) = theta.as_ref().filter(|(_, other)| *other != value) {
                return Err(invalid(format!("{name} is {other}, but {prefix}rope_theta is {value}")));
            }
            theta.get_or_insert((format!("{prefix}rope_theta"), value));
        }
        let scaling = scaling(config, parameters, &prefix, positions, notices)?;
        if found.as_ref().is_some_and(|found| *found != scaling) {
            return Err(invalid("rope_parameters and rope_scaling contradict each other"));
        }
        found = Some(scaling);
    }
    let (name, theta) = theta.ok_or_else(|| invalid("rope_theta is missing, and so is rope_parameters.rope_theta"))?;
    if theta <= 1.0 {
        return Err(invalid(format!("{name} is {theta}, allowed is above 1")));
    }
    Ok(Rope { theta, scaling: found.unwrap_or(RopeScaling::None) })
}

fn scaling(
    config: &Map<String, Value>,
    parameters: &Map<String, Value>,
    prefix: &str,
    positions: u32,
    notices: &mut Notices,
) -> Result<RopeScaling> {
    let kind = ["rope_type", "type"].iter().find_map(|key| parameters.get(*key).filter(|value| !value.is_null()));
    let kind = match kind {
        None => "default",
        Some(Value::String(kind)) => kind,
        Some(other) => return Err(invalid(format!("{prefix}rope_type is {}, allowed are texts", shortened(other)))),
    };
    let keys = match kind {
        "default" => keys::ROPE_DEFAULT,
        "linear" => keys::ROPE_LINEAR,
        "yarn" => keys::ROPE_YARN,
        other => {
            let what = format!("{prefix}rope_type {other} in {FILE}");
            return Err(Error::unsupported(what, "allowed are default, linear and yarn"));
        }
    };
    notices.check(FILE, prefix, parameters, keys)?;
    let number = |key: &str| number(parameters, prefix, key);
    let above_zero = |key: &str| match number(key)? {
        Some(value) if value <= 0.0 => Err(invalid(format!("{prefix}{key} is {value}, allowed is above 0"))),
        value => Ok(value),
    };
    let factor = || above_zero("factor")?.ok_or_else(|| invalid(format!("{prefix}factor is missing")));
    match kind {
        "linear" => Ok(RopeScaling::Linear { factor: factor()? }),
        "yarn" => {
            let outside = self::number(config, "", "original_max_position_embeddings")?;
            let original =
                match outside.map_or_else(|| above_zero("original_max_position_embeddings"), |n| Ok(Some(n)))? {
                    Some(n) if n >= 1.0 => n,
                    Some(n) => {
                        return Err(invalid(format!("original_max_position_embeddings is {n}, allowed is 1 or more")));
                    }
                    None => f64::from(positions),
                };
            // A factor of null is what the lengths say; without the key, transformers refuses the file.
            let factor = match parameters.get("factor") {
                Some(Value::Null) => f64::from(positions) / original,
                _ => factor()?,
            };
            let given = |value: Option<f64>| value.filter(|v| *v != 0.0);
            let attention =
                match (number("attention_factor")?, given(number("mscale")?), given(number("mscale_all_dim")?)) {
                    (Some(attention), _, _) => attention,
                    (None, Some(scale), Some(all)) => magnitude(factor, scale) / magnitude(factor, all),
                    (None, _, _) => magnitude(factor, 1.0),
                };
            let truncate = match parameters.get("truncate") {
                None => true,
                Some(Value::Bool(truncate)) => *truncate,
                Some(other) => {
                    return Err(invalid(format!(
                        "{prefix}truncate is {}, allowed are true and false",
                        shortened(other)
                    )));
                }
            };
            Ok(RopeScaling::Yarn {
                factor,
                original,
                beta_fast: given(above_zero("beta_fast")?).unwrap_or(32.0),
                beta_slow: given(above_zero("beta_slow")?).unwrap_or(1.0),
                truncate,
                attention,
            })
        }
        _ => Ok(RopeScaling::None),
    }
}

/// transformers' `get_mscale`.
fn magnitude(factor: f64, scale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 }
}

/// A finite number.
fn number(object: &Map<String, Value>, prefix: &str, key: &str) -> Result<Option<f64>> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64().filter(|v| v.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(format!("{prefix}{key} is {}, allowed are finite numbers", shortened(value)))),
        },
    }
}
