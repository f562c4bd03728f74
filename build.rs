//! Puts the shader modules together, as `shaders/variants.txt` lists them, and validates each one with
//! naga. A shader that does not parse or validate is a build error that shows the line in its file. Workgroup sizes,
//! bindings and constants are read from it for the host.

#![allow(clippy::print_stderr, reason = "a build script has no other way to say what is wrong")]

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The constants of shaders that the host reads: a page downloads them.
const CONSTANTS: [&str; 9] =
    ["FEWEST", "KEYS", "LANES", "OUTPUTS", "QUERIES", "ROWS", "SUBGROUPS", "TOKENS", "WIDE_QUERIES"];

fn main() {
    if let Err(error) = build() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let shaders = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("shaders");
    println!("cargo:rerun-if-changed={}", shaders.display());

    let list = fs::read_to_string(shaders.join("variants.txt"))?;
    // Each file once, and the modules that are made of them.
    let (mut files, mut table) = (Vec::new(), String::new());
    let in_page = env::var("CARGO_CFG_TARGET_ARCH")? == "wasm32";
    for line in list.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (line, native) = line.strip_prefix("native ").map_or((line, false), |line| (line, true));
        if native && in_page {
            continue;
        }
        let (name, parts) = line.split_once('=').ok_or_else(|| format!("variants.txt: no `=` in {line:?}"))?;
        let module = ShaderModule::read(&shaders, name.trim(), parts)?;
        let parsed = module.validate(native)?;
        let mut own = Vec::new();
        for (file, text) in module.texts() {
            let known = files.iter().position(|(name, _)| name == file);
            own.push(known.unwrap_or(files.len()));
            if known.is_none() {
                files.push((file.to_owned(), text.to_owned()));
            }
        }
        writeln!(table, "    {},", module.reflect(&parsed, &own)?)?;
    }
    let texts: String = files.iter().map(|(_, text)| format!("    {text:?},\n")).collect();
    let shaders = format!("(&[\n{texts}], &[\n{table}])\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("shaders.rs"), shaders)?;
    if in_page { relaxed() } else { Ok(()) }
}

/// Compiles `relaxed/kernel.rs`: a module that imports its memory, and has neither a stack nor data in it.
fn relaxed() -> Result<(), Box<dyn Error>> {
    let source = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("relaxed/kernel.rs");
    println!("cargo:rerun-if-changed={}", source.display());
    let out = PathBuf::from(env::var("OUT_DIR")?).join("relaxed.wasm");
    let mut rustc = Command::new(env::var("RUSTC")?);
    rustc.args(["--edition=2024", "--crate-type=cdylib", "--crate-name=relaxed", "--target"]);
    rustc.arg(env::var("TARGET")?).arg(&source).arg("-o").arg(&out);
    let link = ["--import-memory", "-zstack-size=0"].map(|flag| format!("link-arg={flag}"));
    let codegen = ["opt-level=3", "panic=abort", "strip=symbols", "target-feature=+simd128,+relaxed-simd"];
    for flag in codegen.into_iter().chain(link.iter().map(String::as_str)) {
        rustc.args(["-C", flag]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let compiled = rustc.status()?.success();
    if compiled { Ok(()) } else { Err(format!("{} does not compile", source.display()).into()) }
}

/// The lines of a shader without comments and indentation; empty ones stay, so that a line keeps its number.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code).trim());
    lines.flat_map(|line| [line, "\n"]).collect()
}

struct ShaderModule {
    name: String,
    /// Each file and the byte of `source` where it starts.
    files: Vec<(String, usize)>,
    source: String,
}

impl ShaderModule {
    fn read(folder: &Path, name: &str, files: &str) -> Result<Self, Box<dyn Error>> {
        // A page downloads them: without comments they are half as large. Natively they are read by people too.
        let bare = env::var("CARGO_CFG_TARGET_ARCH")? == "wasm32";
        let mut module = Self { name: name.into(), files: Vec::new(), source: String::new() };
        for file in files.split_whitespace() {
            module.files.push((file.into(), module.source.len()));
            let text = fs::read_to_string(folder.join(file)).map_err(|e| format!("shaders/{file}: {e}"))?;
            module.source += &if bare { without_comments(&text) } else { text };
            module.source.push('\n');
        }
        Ok(module)
    }

    /// Its files and their texts.
    fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let ends = self.files.iter().skip(1).map(|(_, start)| *start).chain([self.source.len()]);
        self.files.iter().zip(ends).map(|((file, start), end)| (file.as_str(), &self.source[*start..end]))
    }

    fn validate(&self, native: bool) -> Result<naga::Module, String> {
        let parsed = naga::front::wgsl::parse_str(&self.source)
            .map_err(|e| self.at(e.location(&self.source), &e.emit_to_string(&self.source)))?;
        use naga::valid::Capabilities;
        // Only what every WebGPU device has. unpack2x16float is among it, but naga counts it apart.
        let mut allowed = Capabilities::default() | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        if native {
            // What `gpu/matrices.rs` asks for where there are cooperative matrices.
            allowed |= Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP;
        }
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), allowed)
            .validate(&parsed)
            .map_err(|e| self.at(e.location(&self.source), &e.emit_to_string(&self.source)))?;
        Ok(parsed)
    }

    /// The module as a `Shader` of `src/backend/gpu/shaders.rs`: what the host functions would otherwise repeat.
    fn reflect(&self, parsed: &naga::Module, files: &[usize]) -> Result<String, String> {
        let [entry] = &parsed.entry_points[..] else {
            return Err(format!("module {}: has {} entry points, one is needed", self.name, parsed.entry_points.len()));
        };
        let mut bindings = Vec::new();
        let mut written = Vec::new();
        let mut params_bytes = 0;
        for (_, variable) in parsed.global_variables.iter() {
            bindings.extend(variable.binding.map(|b| b.binding));
            if let naga::AddressSpace::Storage { access } = variable.space
                && access.contains(naga::StorageAccess::STORE)
            {
                written.extend(variable.binding.map(|b| b.binding));
            }
            if variable.space == naga::AddressSpace::Uniform {
                params_bytes = parsed.types[variable.ty].inner.size(parsed.to_ctx());
            }
        }
        bindings.sort_unstable();
        let storage = bindings.get(1..).unwrap_or_default();
        if bindings.first() != Some(&0) || bindings.windows(2).any(|pair| pair[0] == pair[1]) || storage.len() > 8 {
            return Err(format!("module {}: binds {bindings:?}, allowed are 0 and up to eight others", self.name));
        }
        let constants: Vec<(&str, u32)> = parsed
            .constants
            .iter()
            .filter_map(|(_, constant)| match parsed.global_expressions[constant.init] {
                naga::Expression::Literal(naga::Literal::U32(value)) => Some((constant.name.as_deref()?, value)),
                _ => None,
            })
            .filter(|(name, _)| CONSTANTS.contains(name))
            .collect();
        Ok(format!(
            "Shader {{ name: {:?}, files: &{files:?}, workgroup: {:?}, buffers: &{storage:?}, written: &{written:?}, \
             params_bytes: {params_bytes}, constants: &{constants:?} }}",
            self.name, entry.workgroup_size,
        ))
    }

    /// An error message that starts with the file and line an editor can jump to.
    fn at(&self, location: Option<naga::SourceLocation>, message: &str) -> String {
        let offset = location.map_or(0, |l| l.offset as usize);
        let (file, start) = self.files.iter().rfind(|(_, start)| *start <= offset).map_or(("?", 0), |(f, s)| (f, *s));
        let line = self.source[start..offset].matches('\n').count() + 1;
        format!("shaders/{file}:{line} (module {}): {message}", self.name)
    }
}
