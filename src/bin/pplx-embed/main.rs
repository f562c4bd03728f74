//! `pplx-embed`: the models on the command line. Exit codes: 0, 1 for a failed run, 2 for wrong usage.

#[cfg(not(target_arch = "wasm32"))]
mod cli;

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    cli::main()
}

/// A browser has no command line, but cargo builds every binary before it runs a test.
#[cfg(target_arch = "wasm32")]
fn main() {}
