//! What the names of a model's files say.

/// Most shards of a model.
const MAX_SHARDS: u32 = 10_000;

/// Which shard of how many a file is by its name, `model-00002-of-00003.safetensors`; both are 1 or more.
pub fn shard_number(name: &str) -> Option<(u32, u32)> {
    let (number, total) = name.strip_prefix("model-")?.strip_suffix(".safetensors")?.split_once("-of-")?;
    let digits = |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let (number, total) = (digits(number)?, digits(total)?);
    ((1..=MAX_SHARDS).contains(&total) && (1..=total).contains(&number)).then_some((number, total))
}

/// The name of shard `number` in the set that `shard` is one of, with as many digits.
pub fn shard_name(shard: &str, number: u32) -> Option<String> {
    let (_, total) = shard_number(shard)?;
    let width = shard.strip_prefix("model-")?.split('-').next()?.len();
    Some(format!("model-{number:0width$}-of-{total:0width$}.safetensors"))
}

#[cfg(test)]
mod tests {
    use super::{shard_name, shard_number};

    #[test]
    fn shards_are_told_by_their_names() {
        assert_eq!(shard_number("model-00002-of-00003.safetensors"), Some((2, 3)));
        assert_eq!(shard_number("model-1-of-1.safetensors"), Some((1, 1)));
        assert_eq!(
            shard_name("model-00002-of-00003.safetensors", 1).as_deref(),
            Some("model-00001-of-00003.safetensors")
        );
        for other in [
            "model.safetensors",
            "model-00000-of-00003.safetensors",
            "model-00004-of-00003.safetensors",
            "model-00001-of-99999.safetensors",
            "model-+1-of-3.safetensors",
            "model--of-.safetensors",
            "model-1-of-99999999999.safetensors",
            "onnx/model-00001-of-00003.safetensors",
        ] {
            assert_eq!(shard_number(other), None, "{other}");
        }
    }
}
