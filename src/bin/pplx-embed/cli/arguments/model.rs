//! The model to use: where it is, where the cache is, and what it runs on.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use pplx_embed::backend::{Device, Precision};
use pplx_embed::hub::cache::{Cached, Directory};
use pplx_embed::hub::{self, Folder, Http, LocalCopy, Repository, Retry};
use pplx_embed::model::{LoadOptions, Model, WeightChoice};
use pplx_embed::{Error, Result};

use crate::cli::drivers::DriverOptions;
use crate::cli::progress::Console;

#[derive(Args)]
pub(crate) struct CacheFolder {
    /// Where models from the Hub are kept. By default, $PPLX_EMBED_CACHE, or pplx-embed in the platform's folder for
    /// caches.
    #[arg(long, global = true)]
    cache_dir: Option<PathBuf>,
}

impl CacheFolder {
    /// The cache.
    pub(crate) fn open(&self) -> Result<Directory> {
        let path = self.cache_dir.clone().or_else(Directory::default_path).ok_or_else(|| Error::InvalidArgument {
            argument: "--cache-dir".into(),
            message: "is not given, and this platform has no folder for caches".into(),
        })?;
        Directory::new(path)
    }
}

/// Where a model is, and how to speak of it.
#[derive(Args)]
pub(crate) struct ModelLocation {
    /// A model's folder, or its id on the Hub.
    #[arg(long)]
    pub(crate) model: String,
    /// The revision of a model on the Hub.
    #[arg(long, default_value = "main")]
    revision: String,
    /// The address of the Hub.
    #[arg(long, env = "HF_ENDPOINT", default_value = "https://huggingface.co")]
    endpoint: String,
    #[command(flatten)]
    place: CacheFolder,
    /// Do not read or keep files of a model from the Hub.
    #[arg(long)]
    no_cache: bool,
    /// No progress and no notes on standard error.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Results and errors as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ModelOptions {
    #[command(flatten)]
    pub(crate) origin: ModelLocation,
    /// What to run on: gpu, cpu, or auto, which is the GPU if there is a real one.
    #[arg(long, value_parser = Device::from_str, default_value = "auto")]
    device: Device,
    /// Threads of the processor; by default one for each core.
    #[arg(long)]
    threads: Option<u32>,
    /// How weights are held: auto (as they are stored, if there is memory for it), f32, f16, q8 or q4. By default auto,
    /// and f32 to verify.
    #[arg(long)]
    weights: Option<String>,
    /// How weights of 8 and 4 bits meet activations: exact, or fast (of 8 bits, which changes vectors slightly). Where there are
    /// no instructions for it, or they are not faster, fast runs as exact; `info` says what runs.
    #[arg(long, value_parser = Precision::from_str, default_value = "exact")]
    precision: Precision,
    #[command(flatten)]
    drivers: DriverOptions,
}

/// Where a model's files are read.
pub(crate) enum ModelFiles<'a> {
    /// A folder, and the commit that it is of, if it is one of Hugging Face's cache.
    Folder(Folder, Option<String>),
    /// A server, with the cache where there is one.
    Server(Box<Cached<'a, Http, Directory>>),
}

impl ModelLocation {
    /// The folder that models from the Hub are kept in.
    pub(crate) fn cache_path(&self) -> Result<PathBuf> {
        Ok(self.place.open()?.path().to_owned())
    }

    /// The model's folder; or else what Hugging Face's tools have of the same commit, whole; or else the server, with the
    /// cache where there is one. Without a network, the commit is that which the revision meant when it was fetched.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a path without a folder, [`Error::NotFound`] where nothing may be asked for and
    /// nothing is there; as [`Cached::open`].
    pub(crate) async fn open<'a>(&self, console: &'a Console) -> Result<ModelFiles<'a>> {
        let path = Path::new(&self.model);
        if path.is_dir() {
            return Ok(ModelFiles::Folder(Folder::new(path), None));
        }
        self.refuse_path(path)?;
        // An id looks like a path, and a path like an id.
        if path.parent().is_some_and(|parent| !parent.as_os_str().is_empty() && parent.is_dir()) {
            console
                .note(&format!("note: there is no folder {}; a server is asked for a model of this name", self.model));
        }
        let copy = hub::local_copy(&self.model, Some(&self.revision));
        let whole = copy.clone().filter(|copy| copy.missing.is_none());
        let offline = hub::offline_variable().is_some();
        if let Some(copy) = whole.clone().filter(|_| offline) {
            return Ok(Self::read_from(copy));
        }
        let endpoint = Some(self.endpoint.trim()).filter(|endpoint| !endpoint.is_empty()).map(String::from);
        let repository = Repository {
            token: hub::token(endpoint.as_deref()),
            endpoint,
            id: self.model.clone(),
            revision: Some(self.revision.clone()),
        };
        let store = match self.no_cache {
            true => None,
            false => self.place.open().inspect_err(|e| console.note(&format!("note: not cached: {e}"))).ok(),
        };
        // With a whole copy at hand, or without a network, there is no need to try for long.
        let attempts = if offline {
            1
        } else if whole.is_some() {
            2
        } else {
            Retry::default().attempts
        };
        let http = if offline { Http::default().offline() } else { Http::default() };
        let opened = Cached::open(&repository, http, Retry { attempts, ..Retry::default() }, store, console).await;
        match (opened, whole) {
            (Ok(server), _) => {
                let same = server.commit().and_then(|commit| hub::local_copy(&self.model, Some(&commit)));
                let same = same.filter(|copy| copy.missing.is_none());
                Ok(match same {
                    Some(copy) => Self::read_from(copy),
                    None => ModelFiles::Server(Box::new(server)),
                })
            }
            (Err(error), Some(copy)) if hub::is_unreachable(&error) => {
                console.note(&format!("note: {error}; using revision {} from Hugging Face's cache", copy.commit));
                Ok(Self::read_from(copy))
            }
            (Err(error), None) if offline && hub::is_unreachable(&error) => Err(self.not_kept(copy)),
            (Err(error), _) => Err(error),
        }
    }

    fn read_from(copy: LocalCopy) -> ModelFiles<'static> {
        ModelFiles::Folder(Folder::new(copy.folder), Some(copy.commit))
    }

    /// Refuses what was meant for a folder, or names a file: a Hub would be asked for it in vain.
    fn refuse_path(&self, path: &Path) -> Result<()> {
        let refuse = |message: &str| {
            let message = format!("{}, {message}", path.display());
            Err(Error::InvalidArgument { argument: "--model".into(), message })
        };
        if path.is_file() {
            return refuse(
                "which is a file; allowed is a model's folder, with config.json, tokenizer.json and safetensors",
            );
        }
        let is_path = [".", "/", "~"].iter().any(|start| self.model.starts_with(start)) || self.model.contains('\\');
        if is_path || self.model.matches('/').count() > 1 {
            return refuse("where there is no folder");
        }
        Ok(())
    }

    /// The error where no server may be asked, and the model is not kept whole.
    fn not_kept(&self, copy: Option<LocalCopy>) -> Error {
        let own = self.place.open().map_or_else(|_| "no cache".into(), |own| own.path().display().to_string());
        let others = hub::hub_cache().map_or_else(|| "Hugging Face's cache".into(), |path| path.display().to_string());
        let lacks = copy.and_then(|copy| Some(format!(", whose copy lacks {}", copy.missing?))).unwrap_or_default();
        let variable = hub::offline_variable().unwrap_or("HF_HUB_OFFLINE");
        let place = format!("{own}, nor whole at {others}{lacks}; {variable} is set, so no server is asked");
        Error::NotFound { file: format!("{} at revision {}", self.model, self.revision), place }
    }
}

impl ModelOptions {
    /// Loads the model.
    pub(crate) fn load(&self, console: &Console) -> Result<Model> {
        self.load_as("auto", console)
    }

    /// Loads the model, with weights in the form `usual` unless another is asked for.
    pub(crate) fn load_as(&self, usual: &str, console: &Console) -> Result<Model> {
        let weights = WeightChoice::from_str(self.weights.as_deref().unwrap_or(usual))?;
        let (id, device, threads) = (self.origin.model.clone(), self.device, self.threads);
        let mut options =
            LoadOptions { id, device, threads, weights, precision: self.precision, ..LoadOptions::default() };
        let open = async |_, device| self.drivers.open(device, threads, console).await;
        pollster::block_on(async {
            match self.origin.open(console).await? {
                ModelFiles::Folder(folder, commit) => {
                    options.revision = commit;
                    Model::load_on(&folder, open, options, console).await
                }
                ModelFiles::Server(source) => {
                    options.revision = source.revision();
                    let model = Model::load_on(&*source, open, options, console).await?;
                    source.loaded().await;
                    Ok(model)
                }
            }
        })
    }
}
