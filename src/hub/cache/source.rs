//! The cache as a source of files.

use super::STEP;
use super::cached::{Cached, FileLocation, FillError};
use super::derived::CachedDerivedFile;
use super::filling::Download;
use super::store::FileStore;
use crate::error::{Error, Result};
use crate::hub::{ByteStream, LocalFile, RemoteStream, Source, Transport, Verified, is_unreachable};

/// A file's bytes, wherever they come from.
pub struct CachedStream<'a, T: Transport, S: FileStore>(CachedBytes<'a, T, S>);

enum CachedBytes<'a, T: Transport, S: FileStore> {
    Local { local: LocalFile, at: u64 },
    Plain(Verified<RemoteStream<T>>),
    Download(Download<'a, T, S>),
}

impl<T: Transport, S: FileStore> ByteStream for CachedStream<'_, T, S> {
    fn size(&self) -> Option<u64> {
        match &self.0 {
            CachedBytes::Local { local, .. } => Some(local.size()),
            CachedBytes::Plain(stream) => stream.size(),
            CachedBytes::Download(stream) => stream.size(),
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        match &mut self.0 {
            CachedBytes::Local { local, at } => {
                let step = STEP.min(local.size() - *at);
                if step == 0 {
                    return Ok(None);
                }
                let bytes = local.read_at(*at, step as usize).await?;
                *at += step;
                Ok(Some(bytes))
            }
            CachedBytes::Plain(stream) => stream.next().await,
            CachedBytes::Download(stream) => stream.next().await,
        }
    }
}

impl<'a, T: Transport, S: FileStore> Source for Cached<'a, T, S> {
    type ByteStream = CachedStream<'a, T, S>;
    type DerivedFile<'b>
        = CachedDerivedFile<'b, S>
    where
        Self: 'b;

    async fn peek(&self, file: &str) -> Result<CachedStream<'a, T, S>> {
        match self.find(file).await? {
            FileLocation::Local(local) => Ok(CachedStream(CachedBytes::Local { local, at: 0 })),
            FileLocation::Uncached(stream) => Ok(plain(self.uncached(file, stream).await?)),
            FileLocation::Missing(absent) => Ok(plain(self.uncached(file, absent.stream).await?)),
        }
    }

    async fn open(&self, file: &str) -> Result<CachedStream<'a, T, S>> {
        let (mut absent, entry) = match (self.find(file).await?, &self.entry) {
            (FileLocation::Local(local), _) => return Ok(CachedStream(CachedBytes::Local { local, at: 0 })),
            (FileLocation::Uncached(stream), _) => return Ok(plain(self.uncached(file, stream).await?)),
            (FileLocation::Missing(absent), Some(entry)) => (absent, entry),
            (FileLocation::Missing(absent), None) => return Ok(plain(self.uncached(file, absent.stream).await?)),
        };
        // What was kept may have been damaged, which only the end tells. So it is not handed on before.
        if absent.have > 0 && absent.info.digest.is_some() {
            return match self.complete(absent).await? {
                Some(local) => Ok(CachedStream(CachedBytes::Local { local, at: 0 })),
                None => Ok(plain(self.uncached(file, None).await?)),
            };
        }
        match self.filling(entry, &mut absent).await {
            Ok(filling) => Ok(CachedStream(CachedBytes::Download(filling))),
            Err(FillError::Other(error)) => Err(error),
            Err(FillError::Store(error)) => {
                entry.refused(file, &error);
                Ok(plain(self.uncached(file, absent.stream).await?))
            }
        }
    }

    async fn list(&self) -> Result<Option<Vec<String>>> {
        Ok(self.listed())
    }

    async fn local(&self, file: &str) -> Result<Option<LocalFile>> {
        self.local(file).await
    }

    async fn fetch(&self, file: &str) -> Result<Option<LocalFile>> {
        self.fetch(file).await
    }

    async fn derived_file(&self, file: &str, form: &str) -> Result<Option<LocalFile>> {
        match self.key(file) {
            Some(key) => self.derived(&format!("{key}-{form}")).await,
            None => Ok(None),
        }
    }

    async fn begin_derived_file(&self, file: &str, form: &str) -> Result<Option<CachedDerivedFile<'_, S>>> {
        match self.key(file) {
            Some(key) => self.begin_derived(&format!("{key}-{form}")).await,
            None => Ok(None),
        }
    }

    async fn forget_damaged(&self, error: &Error) -> Result<bool> {
        match (error, &self.entry) {
            (Error::Integrity { file, .. }, Some(entry)) => entry.forget(file).await,
            (error, Some(entry)) if is_unreachable(error) => Ok(entry.trust()),
            _ => Ok(false),
        }
    }

    async fn discard_original(&self, file: &str) -> Result<()> {
        self.remove_raw(file).await
    }
}

fn plain<'a, T: Transport, S: FileStore>(stream: Verified<RemoteStream<T>>) -> CachedStream<'a, T, S> {
    CachedStream(CachedBytes::Plain(stream))
}
