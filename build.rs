//! Puts the shader modules together, as `shaders/variants` lists them, and validates each one with
//! naga. A shader that does not parse or validate is a build error that shows the line in its file.

#![allow(clippy::print_stderr, reason = "a build script has no other way to say what is wrong")]

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    if let Err(error) = build() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let shaders = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("shaders");
    println!("cargo:rerun-if-changed={}", shaders.display());

    let list = fs::read_to_string(shaders.join("variants"))?;
    let mut table = String::from("&[\n");
    for line in list.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (name, files) = line.split_once('=').ok_or_else(|| format!("variants: no `=` in {line:?}"))?;
        let module = Module::read(&shaders, name.trim(), files)?;
        module.validate()?;
        writeln!(table, "    ({:?}, {:?}),", module.name, module.source)?;
    }
    table.push_str("]\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("shaders.rs"), table)?;
    Ok(())
}

struct Module {
    name: String,
    /// Each file and the byte of `source` where it starts.
    files: Vec<(String, usize)>,
    source: String,
}

impl Module {
    fn read(folder: &Path, name: &str, files: &str) -> Result<Self, Box<dyn Error>> {
        let mut module = Self { name: name.into(), files: Vec::new(), source: String::new() };
        for file in files.split_whitespace() {
            module.files.push((file.into(), module.source.len()));
            module.source += &fs::read_to_string(folder.join(file)).map_err(|e| format!("shaders/{file}: {e}"))?;
            module.source.push('\n');
        }
        Ok(module)
    }

    fn validate(&self) -> Result<(), String> {
        let parsed = naga::front::wgsl::parse_str(&self.source)
            .map_err(|e| self.at(e.location(&self.source), &e.emit_to_string(&self.source)))?;
        // Only what every WebGPU device has. unpack2x16float is among it, but naga counts it apart.
        let core = naga::valid::Capabilities::default() | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), core)
            .validate(&parsed)
            .map_err(|e| self.at(e.location(&self.source), &e.emit_to_string(&self.source)))?;
        Ok(())
    }

    /// An error message that starts with the file and line an editor can jump to.
    fn at(&self, location: Option<naga::SourceLocation>, message: &str) -> String {
        let offset = location.map_or(0, |l| l.offset as usize);
        let (file, start) = self.files.iter().rfind(|(_, start)| *start <= offset).map_or(("?", 0), |(f, s)| (f, *s));
        let line = self.source[start..offset].matches('\n').count() + 1;
        format!("shaders/{file}:{line} (module {}): {message}", self.name)
    }
}
