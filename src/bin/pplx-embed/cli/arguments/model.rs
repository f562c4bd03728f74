//! The model to use: where it is, where the cache is, and what it runs on.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use pplx_embed::backend::Device;
use pplx_embed::hub::cache::{Cached, Directory};
use pplx_embed::hub::{self, Folder, Http, Repository, Retry};
use pplx_embed::model::{LoadOptions, Model, WeightChoice};
use pplx_embed::{Error, Result};

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
}

impl ModelLocation {
    /// The folder that models from the Hub are kept in.
    pub(crate) fn cache_path(&self) -> Result<PathBuf> {
        Ok(self.place.open()?.path().to_owned())
    }

    /// The folder, if that is what the model is.
    pub(crate) fn folder(&self) -> Option<Folder> {
        let path = std::path::Path::new(&self.model);
        path.is_dir().then(|| Folder::new(path))
    }

    /// The model on the Hub, with the cache where there is one.
    pub(crate) async fn open<'a>(&self, console: &'a Console) -> Result<Cached<'a, Http, Directory>> {
        let repository = Repository {
            endpoint: Some(self.endpoint.clone()),
            id: self.model.clone(),
            revision: Some(self.revision.clone()),
            token: hub::token(Some(&self.endpoint)),
        };
        let store = match self.no_cache {
            true => None,
            false => self.place.open().inspect_err(|e| console.note(&format!("note: not cached: {e}"))).ok(),
        };
        Cached::open(&repository, Http::default(), Retry::default(), store, console).await
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
        let mut options = LoadOptions { id, device, threads, weights, ..LoadOptions::default() };
        if let Some(folder) = self.origin.folder() {
            return pollster::block_on(Model::load(&folder, options, console));
        }
        pollster::block_on(async {
            let source = self.origin.open(console).await?;
            options.revision = source.revision();
            // The same commit, fetched before by another tool.
            if let Some(folder) = source.commit().and_then(|commit| hub::local_copy(&self.origin.model, Some(&commit)))
            {
                return Model::load(&Folder::new(folder), options, console).await;
            }
            let model = Model::load(&source, options, console).await?;
            source.loaded().await;
            Ok(model)
        })
    }
}
