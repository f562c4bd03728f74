//! The cache as a source of files.

use super::STEP;
use super::cached::{Cached, Fault, Found};
use super::derived::Derived;
use super::filling::Filling;
use super::store::Store;
use crate::error::Result;
use crate::hub::{LocalFile, RemoteStream, Source, Stream, Transport, Verified};

/// A file's bytes, wherever they come from.
pub struct CachedStream<'a, T: Transport, S: Store>(Bytes<'a, T, S>);

enum Bytes<'a, T: Transport, S: Store> {
    Local { local: LocalFile, at: u64 },
    Plain(Verified<RemoteStream<T>>),
    Filling(Filling<'a, T, S>),
}

impl<T: Transport, S: Store> Stream for CachedStream<'_, T, S> {
    fn size(&self) -> Option<u64> {
        match &self.0 {
            Bytes::Local { local, .. } => Some(local.size()),
            Bytes::Plain(stream) => stream.size(),
            Bytes::Filling(stream) => stream.size(),
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        match &mut self.0 {
            Bytes::Local { local, at } => {
                let step = STEP.min(local.size() - *at);
                if step == 0 {
                    return Ok(None);
                }
                let bytes = local.read_at(*at, step as usize).await?;
                *at += step;
                Ok(Some(bytes))
            }
            Bytes::Plain(stream) => stream.next().await,
            Bytes::Filling(stream) => stream.next().await,
        }
    }
}

impl<'a, T: Transport, S: Store> Source for Cached<'a, T, S> {
    type Stream = CachedStream<'a, T, S>;
    type Form<'b>
        = Derived<'b, S>
    where
        Self: 'b;

    async fn peek(&self, file: &str) -> Result<CachedStream<'a, T, S>> {
        match self.find(file).await? {
            Found::Local(local) => Ok(CachedStream(Bytes::Local { local, at: 0 })),
            Found::Uncached(stream) => Ok(plain(self.uncached(file, stream).await?)),
            Found::Absent(absent) => Ok(plain(self.uncached(file, absent.stream).await?)),
        }
    }

    async fn open(&self, file: &str) -> Result<CachedStream<'a, T, S>> {
        let (mut absent, shelf) = match (self.find(file).await?, &self.shelf) {
            (Found::Local(local), _) => return Ok(CachedStream(Bytes::Local { local, at: 0 })),
            (Found::Uncached(stream), _) => return Ok(plain(self.uncached(file, stream).await?)),
            (Found::Absent(absent), Some(shelf)) => (absent, shelf),
            (Found::Absent(absent), None) => return Ok(plain(self.uncached(file, absent.stream).await?)),
        };
        // What was kept may have been damaged, which only the end tells. So it is not handed on before.
        if absent.have > 0 && absent.entry.digest.is_some() {
            return match self.complete(absent).await? {
                Some(local) => Ok(CachedStream(Bytes::Local { local, at: 0 })),
                None => Ok(plain(self.uncached(file, None).await?)),
            };
        }
        match self.filling(shelf, &mut absent).await {
            Ok(filling) => Ok(CachedStream(Bytes::Filling(filling))),
            Err(Fault::Other(error)) => Err(error),
            Err(Fault::Store(error)) => {
                shelf.refused(file, &error);
                Ok(plain(self.uncached(file, absent.stream).await?))
            }
        }
    }

    async fn local(&self, file: &str) -> Result<Option<LocalFile>> {
        self.local(file).await
    }

    async fn fetch(&self, file: &str) -> Result<Option<LocalFile>> {
        self.fetch(file).await
    }

    async fn form(&self, file: &str, form: &str) -> Result<Option<LocalFile>> {
        match self.key(file) {
            Some(key) => self.derived(&format!("{key}-{form}")).await,
            None => Ok(None),
        }
    }

    async fn begin_form(&self, file: &str, form: &str) -> Result<Option<Derived<'_, S>>> {
        match self.key(file) {
            Some(key) => self.begin_derived(&format!("{key}-{form}")).await,
            None => Ok(None),
        }
    }

    async fn forget(&self, file: &str) -> Result<()> {
        self.forget_raw(file).await
    }
}

fn plain<'a, T: Transport, S: Store>(stream: Verified<RemoteStream<T>>) -> CachedStream<'a, T, S> {
    CachedStream(Bytes::Plain(stream))
}
