use pplx_embed::backend::Device;

/// What models run on: `PPLX_TEST_DEVICE`, by default what a user gets, which is the processor where the GPU is software.
pub fn device() -> Device {
    std::env::var("PPLX_TEST_DEVICE").map_or(Device::Auto, |name| name.parse().unwrap())
}

/// Whether all cases are to run (`EVERY=1`), or only as many as each change can wait for.
pub fn every() -> bool {
    std::env::var_os("EVERY").is_some_and(|value| value == "1")
}

/// The sizes of cooperative matrices that tests of their kernels run with; without any it is said that they are skipped.
#[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
pub fn matrix_sizes(gpu: &pplx_embed::backend::Gpu) -> Vec<u32> {
    if gpu.matrices().is_empty() {
        println!("skipped: {} multiplies no cooperative matrices of halves", gpu.adapter().name);
    }
    gpu.matrices().to_vec()
}
