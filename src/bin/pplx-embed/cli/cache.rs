//! `pplx-embed cache`

use pplx_embed::hub::cache;
use pplx_embed::{Error, Result};

use super::arguments::{Cache, CacheAction};
use super::info::print;

/// Says what is in the cache, or removes it.
pub(crate) fn run(command: &Cache) -> Result<()> {
    let store = command.place.open()?;
    pollster::block_on(async {
        let freed = match &command.action {
            CacheAction::List => return list(&cache::list(&store).await?, command.json),
            CacheAction::Path if command.json => {
                return print(&serde_json::json!({ "path": store.path() }).to_string());
            }
            CacheAction::Path => return print(&store.path().display().to_string()),
            CacheAction::Clear => cache::clear(&store).await?,
            CacheAction::Delete { id, revision, endpoint } => {
                if !cache::list(&store).await?.iter().any(|kept| kept.id == *id) {
                    return Err(Error::NotFound { file: id.clone(), place: store.path().display().to_string() });
                }
                cache::delete(&store, id, revision.as_deref(), endpoint.as_deref()).await?
            }
        };
        match command.json {
            true => print(&serde_json::json!({ "freed": freed }).to_string()),
            false => print(&format!("freed {freed} bytes")),
        }
    })
}

fn list(kept: &[cache::CachedRevision], json: bool) -> Result<()> {
    if json {
        let failed = |e: serde_json::Error| Error::Io { file: "the cache".into(), message: e.to_string() };
        return print(&serde_json::to_string(kept).map_err(failed)?);
    }
    for cache::CachedRevision { id, endpoint, revision, names, bytes, files, complete, .. } in kept {
        let state = if *complete { "" } else { ", not complete" };
        let names = names.join(", ");
        print(&format!("{id}  {names} ({revision})  {bytes} bytes, {files} files{state}, from {endpoint}"))?;
    }
    Ok(())
}
