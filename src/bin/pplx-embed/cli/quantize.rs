//! `pplx-embed quantize`

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use pplx_embed::checkpoint::{
    Files, Header, Loss, Quantizer, Rewrite, Scheme, Tensor, WantedMatrix, WeightPass, plain_name, rewritten,
};
use pplx_embed::hub::{self, Cursor, Reader, Source};
use pplx_embed::model::{Config, explained, tokenizer_json};
use pplx_embed::numbers::{Float, MatrixFormat};
use pplx_embed::{Error, Meter, Result};
use serde_json::{Map, Value, json};

use super::arguments::{ModelFiles, Quantize};
use super::progress::Console;

/// Largest file beside the weights, in bytes; a tokenizer.json has 11 million.
const MAX_FILE: usize = 128 << 20;
/// The embedding table's module, which keeps 8 bits: its errors reach every layer, and the lookup costs no less in 4.
const EMBEDDING: &str = "embed_tokens";
/// What is copied where it is there; `tokenizer.json` is written anyway.
const COPIED: [&str; 6] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
];
const INDEX: &str = "model.safetensors.index.json";

/// Writes a model's folder anew, quantized.
pub(crate) fn run(command: &Quantize) -> Result<()> {
    let argument = |name: &str, message: String| Error::InvalidArgument { argument: name.into(), message };
    let usual = Quantizer::new(command.bits, command.group_size)?;
    if command.output.exists() {
        return Err(argument("--output", format!("{} is there already", command.output.display())));
    }
    let Some(name) = command.output.file_name() else {
        return Err(argument("--output", format!("{} is not the name of a folder", command.output.display())));
    };
    let mut partial = name.to_owned();
    partial.push(".partial");
    let folder = Partial::create(command.output.with_file_name(partial))?;
    let console = Console::new(command.origin.quiet);
    let done = pollster::block_on(async {
        match command.origin.open(&console).await? {
            ModelFiles::Folder(source, commit) => {
                let base = commit.map(|_| command.origin.model.as_str());
                write(&source, &folder.0, usual, base, &console).await
            }
            ModelFiles::Server(source) => {
                write(&*source, &folder.0, usual, Some(&command.origin.model), &console).await
            }
        }
    });
    console.done();
    let done = done?;
    folder.rename(&command.output)?;
    let summary = json!({
        "output": command.output,
        "bits": command.bits,
        "group_size": command.group_size,
        "quantized": done.quantized,
        "kept": done.kept,
        "bytes": { "source": done.source_bytes, "output": done.bytes },
        "relative_error": done.losses.iter().map(|(bits, loss)| (bits.to_string(), loss.relative())).collect::<BTreeMap<_, _>>(),
    });
    if command.origin.json {
        return super::info::print(&summary.to_string());
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    console.note(&format!(
        "{}: {:.1} MiB of weights from {:.1}, {} tensors quantized, {} as they were",
        command.output.display(),
        mib(done.bytes),
        mib(done.source_bytes),
        done.quantized,
        done.kept,
    ));
    Ok(())
}

/// What was written.
#[derive(Default)]
struct Done {
    quantized: usize,
    kept: usize,
    source_bytes: u64,
    bytes: u64,
    /// By bits.
    losses: BTreeMap<u32, Loss>,
    /// The file each tensor is in.
    files: BTreeMap<String, String>,
    /// Modules that are quantized unlike the others.
    overrides: BTreeMap<String, Quantizer>,
}

async fn write(
    source: &impl Source,
    folder: &Path,
    usual: Quantizer,
    base: Option<&str>,
    console: &Console,
) -> Result<Done> {
    match write_files(source, folder, usual, base, console).await {
        Err(error) => Err(explained(source, error).await),
        done => done,
    }
}

async fn write_files(
    source: &impl Source,
    folder: &Path,
    usual: Quantizer,
    base: Option<&str>,
    console: &Console,
) -> Result<Done> {
    let config = hub::read(source, "config.json", MAX_FILE).await?;
    let invalid = |e: serde_json::Error| Error::InvalidConfig { file: "config.json".into(), message: e.to_string() };
    let mut config: Map<String, Value> = serde_json::from_slice(&config).map_err(invalid)?;
    for field in ["quantization", "quantization_config"] {
        if config.get(field).is_some_and(|v| !v.is_null()) {
            let what = format!("quantizing a checkpoint that is quantized already (config.json has {field})");
            return Err(Error::Unsupported { what, message: "allowed are weights of F32, F16 and BF16".into() });
        }
    }
    Config::load(source).await?;
    let tokenizer = tokenizer_json(source, MAX_FILE).await?;

    let mut done = Done::default();
    let files = Files::find(source).await?;
    for file in files.paths() {
        shard(source, file, folder, usual, &mut done, console).await?;
    }
    if let Files::Sharded(index) = &files
        && let Some(name) = index.tensors().find(|name| !done.files.contains_key(*name))
    {
        let message = format!("tensor {name} is in none of the files");
        return Err(Error::InvalidCheckpoint { file: INDEX.into(), message });
    }
    if !matches!(files, Files::Single) {
        let index = json!({ "metadata": { "total_size": done.bytes }, "weight_map": done.files });
        save(folder, INDEX, pretty(&index).as_bytes())?;
    }

    let quantization = quantization(usual, &done.overrides);
    for field in ["quantization", "quantization_config"] {
        config.insert(field.into(), quantization.clone());
    }
    save(folder, "config.json", pretty(&Value::Object(config)).as_bytes())?;
    save(folder, "tokenizer.json", &tokenizer)?;
    for file in COPIED {
        let Some(bytes) = hub::read_optional(source, file, MAX_FILE).await? else { continue };
        if file == "modules.json" {
            copy_modules(source, folder, &bytes).await?;
        }
        save(folder, file, &bytes)?;
    }
    let source_card = hub::read_optional(source, "README.md", MAX_FILE).await?.unwrap_or_default();
    save(folder, "README.md", card(usual, &done, base, &source_card).as_bytes())?;
    Ok(done)
}

/// Writes one file of weights.
async fn shard(
    source: &impl Source,
    file: &str,
    folder: &Path,
    usual: Quantizer,
    done: &mut Done,
    console: &Console,
) -> Result<()> {
    let mut cursor = Cursor::Stream(Reader::new(file, source.open(file).await?));
    let header = Header::read(&mut cursor).await?;
    let forms = forms(&header, usual);
    let planned = rewritten(file, &header, &forms, |_| true)?;
    let tensors: BTreeMap<String, Tensor> =
        header.tensors.iter().map(|t| (plain_name(&t.name).to_owned(), t.clone())).collect();
    let mut wanted = Vec::new();
    for (name, &to) in &forms {
        let shape = &tensors[&format!("{name}.weight")].shape;
        let matrix = Scheme::default().find(name, [shape[0], shape[1]], &tensors, &header.metadata)?;
        wanted.push(WantedMatrix { name: name.clone(), matrix, to });
    }
    let mut pass = WeightPass::new(wanted, tensors.into_keys());

    let path = folder.join(file);
    let io = |e: std::io::Error| Error::Io { file: path.display().to_string(), message: e.to_string() };
    let mut out = BufWriter::with_capacity(1 << 20, File::create_new(&path).map_err(io)?);
    let mut meter = Meter::new(console, header.file_bytes());
    meter.begin(file, cursor.size(), false);
    let append = async |bytes: &[u8]| out.write_all(bytes).map_err(io);
    let mut rewrite = Rewrite::begin(file, &planned, append, |position| meter.at(position)).await?;
    pass.file(&mut cursor, &header, false, &mut rewrite).await?;
    for (bits, loss) in rewrite.finish()? {
        done.losses.entry(bits).or_default().add(loss);
    }
    out.into_inner().map_err(|e| io(e.into_error()))?.sync_all().map_err(io)?;
    done.count(file, &header, &forms, planned, usual)
}

/// The matrices that are quantized, and how: as in mlx-lm those of linear and embedding modules whose rows are whole
/// groups.
fn forms(header: &Header, usual: Quantizer) -> BTreeMap<String, MatrixFormat> {
    let form = |tensor: &Tensor| {
        let path = plain_name(&tensor.name).strip_suffix(".weight").filter(|path| !path.is_empty())?;
        Float::parse(&tensor.dtype)?;
        let group = usual.group();
        let format = if path == EMBEDDING || usual.bits() == 8 {
            MatrixFormat::Q8 { group }
        } else {
            MatrixFormat::Q4 { group }
        };
        match tensor.shape[..] {
            [n, k] if n > 0 && k > 0 && k % u64::from(usual.group()) == 0 => Some((path.to_owned(), format)),
            _ => None,
        }
    };
    header.tensors.iter().filter_map(form).collect()
}

impl Done {
    /// Counts a file in.
    fn count(
        &mut self,
        file: &str,
        header: &Header,
        forms: &BTreeMap<String, MatrixFormat>,
        planned: Vec<Tensor>,
        usual: Quantizer,
    ) -> Result<()> {
        self.source_bytes += header.data_bytes;
        self.quantized += forms.len();
        self.kept += header.tensors.len() - forms.len();
        for tensor in &header.tensors {
            let path = tensor.name.strip_suffix(".weight").unwrap_or_default();
            if let Some(&format) = forms.get(plain_name(path))
                && let Some(group) = format.group()
                && format.bits() != usual.bits()
            {
                self.overrides.insert(path.into(), Quantizer::new(format.bits(), group)?);
            }
        }
        for tensor in planned {
            self.bytes += tensor.bytes;
            if let Some(other) = self.files.insert(tensor.name.clone(), file.into()) {
                let message = format!("tensor {} is in {other} too", tensor.name);
                return Err(Error::InvalidCheckpoint { file: file.into(), message });
            }
        }
        Ok(())
    }
}

/// `config.json`'s `quantization`, as mlx-lm writes it.
fn quantization(usual: Quantizer, overrides: &BTreeMap<String, Quantizer>) -> Value {
    let settings = |q: Quantizer| json!({ "group_size": q.group(), "bits": q.bits() });
    let mut quantization = settings(usual);
    for (path, quantizer) in overrides {
        quantization[path] = settings(*quantizer);
    }
    quantization
}

/// The configurations of the modules in folders of their own, such as `1_Pooling/config.json`.
async fn copy_modules(source: &impl Source, folder: &Path, modules: &[u8]) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct ModuleFolder {
        #[serde(default)]
        path: String,
    }
    let invalid = |message: String| Error::InvalidConfig { file: "modules.json".into(), message };
    let modules: Vec<ModuleFolder> = serde_json::from_slice(modules).map_err(|e| invalid(e.to_string()))?;
    for ModuleFolder { path } in modules.iter().filter(|m| !m.path.is_empty()) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if path.starts_with('.') || !path.chars().all(plain) {
            return Err(invalid(format!("path {path:?} is not the name of a folder")));
        }
        // A Dense module has weights of its own; they are small, and stay as they are.
        for file in ["config.json", "model.safetensors"].map(|file| format!("{path}/{file}")) {
            if let Some(bytes) = hub::read_optional(source, &file, MAX_FILE).await? {
                save(folder, &file, &bytes)?;
            }
        }
    }
    Ok(())
}

/// The model card.
fn card(usual: Quantizer, done: &Done, base: Option<&str>, source_card: &[u8]) -> String {
    let (bits, group) = (usual.bits(), usual.group());
    let mut front = vec!["library_name: pplx-embed-web".to_owned(), "pipeline_tag: feature-extraction".into()];
    front.push(format!("tags: [pplx-embed, quantized, {bits}-bit]"));
    // The licence goes with the weights; it stands in the source's front matter.
    let source_card = String::from_utf8_lossy(source_card);
    let matter = source_card.lines().skip(1).take_while(|line| line.trim_end() != "---");
    if source_card.starts_with("---") {
        front.extend(matter.filter(|line| line.starts_with("license")).map(str::to_owned));
    }
    if let Some(base) = base {
        front.extend([format!("base_model: {base}"), "base_model_relation: quantized".into()]);
    }
    let errors: Vec<String> =
        (done.losses.iter()).map(|(bits, loss)| format!("| {bits} | {:.3} % |\n", 100.0 * loss.relative())).collect();
    let name = base.unwrap_or("A model");
    let others = match &done.overrides {
        overrides if overrides.is_empty() => String::new(),
        overrides => {
            let list: Vec<String> = overrides.iter().map(|(p, q)| format!("`{p}` has {} bits", q.bits())).collect();
            format!(" {}.", list.join(", "))
        }
    };
    format!(
        "---\n{}\n---\n# {name} in {bits} bits\n\n\
         Its weights are affine codes of {bits} bits, with a scale and a bias in F16 for each {group} of them.{others} \
         Norms are as they were. The layout is MLX's. Written by `pplx-embed quantize --bits {bits} --group-size {group}`.\n\n\
         ```js\nimport {{ load }} from \"pplx-embed-web\";\nconst model = await load(\"OWNER/NAME\");   // where this folder is on the Hub\n```\n\n\
         Root mean square of the weights' errors, in parts of that of the weights:\n\n\
         | bits | error |\n| --- | --- |\n{}",
        front.join("\n"),
        errors.concat(),
    )
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn save(folder: &Path, file: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(file);
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(&path, bytes)
    };
    write().map_err(|e: std::io::Error| Error::Io { file: path.display().to_string(), message: e.to_string() })
}

/// The folder being written, which is removed unless it is renamed.
struct Partial(PathBuf);

impl Partial {
    fn create(path: PathBuf) -> Result<Self> {
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                let message = format!("{} is there: of a run that goes on, or was cut off; remove it", path.display());
                Err(Error::InvalidArgument { argument: "--output".into(), message })
            }
            Err(e) => Err(Error::Io { file: path.display().to_string(), message: e.to_string() }),
        }
    }

    fn rename(self, to: &Path) -> Result<()> {
        fs::rename(&self.0, to).map_err(|e| Error::Io { file: to.display().to_string(), message: e.to_string() })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
