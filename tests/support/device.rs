use pplx_embed::backend::Device;

/// What models run on: `PPLX_TEST_DEVICE`, by default what a user gets, which is the processor where the GPU is software.
pub fn device() -> Device {
    std::env::var("PPLX_TEST_DEVICE").map_or(Device::Auto, |name| name.parse().unwrap())
}
