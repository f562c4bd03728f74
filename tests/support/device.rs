use pplx_embed::backend::Device;

/// What models run on: `PPLX_TEST_DEVICE`, by default what a user gets, which is the processor where the GPU is software.
pub fn device() -> Device {
    std::env::var("PPLX_TEST_DEVICE").map_or(Device::Auto, |name| name.parse().unwrap())
}

/// Whether all cases are to run (`EVERY=1`), or only as many as each change can wait for.
pub fn every() -> bool {
    std::env::var_os("EVERY").is_some_and(|value| value == "1")
}
