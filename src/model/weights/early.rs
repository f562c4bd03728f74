//! The embedding table, read while kernels are compiled and while other weights are on their way to the device: it stays in
//! host memory, so nobody has to say first how it is to lie. Natively a thread of its own reads it; a browser reads a
//! little whenever it would wait for the device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(not(target_arch = "wasm32"))]
use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    thread::JoinHandle,
    time::Duration,
};

use super::Table;
use crate::checkpoint::ApartMatrix;
use crate::error::{Error, Result};
use crate::progress::Watch;

/// How long to wait for a table before asking whether the caller has cancelled.
#[cfg(not(target_arch = "wasm32"))]
const PATIENCE: Duration = Duration::from_millis(50);

/// A table that is being read. If it is dropped, that ends, and its memory is given back.
pub(super) struct EarlyTable {
    stopped: Arc<AtomicBool>,
    #[cfg(not(target_arch = "wasm32"))]
    read: Receiver<Result<Table>>,
    #[cfg(not(target_arch = "wasm32"))]
    thread: Option<JoinHandle<()>>,
    #[cfg(target_arch = "wasm32")]
    reading: std::pin::Pin<Box<dyn Future<Output = Result<Table>>>>,
    #[cfg(target_arch = "wasm32")]
    read: Option<Result<Table>>,
}

/// Fills `table` with the rows of `matrix`.
async fn filled(matrix: ApartMatrix, mut table: Table, stopped: Arc<AtomicBool>) -> Result<Table> {
    let between = async || {
        crate::backend::turn().await;
        if stopped.load(Ordering::Relaxed) { Err(Error::Aborted) } else { Ok(()) }
    };
    matrix.read(&mut table.rows, between).await?;
    Ok(table)
}

#[cfg(not(target_arch = "wasm32"))]
impl EarlyTable {
    /// Begins to fill `table`, which is empty, with the rows of `matrix`.
    ///
    /// # Errors
    /// [`Error::Io`] if there can be no thread.
    pub(super) fn begin(matrix: ApartMatrix, table: Table) -> Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopped);
        let (sender, read) = std::sync::mpsc::sync_channel(1);
        let work = move || drop(sender.send(pollster::block_on(filled(matrix, table, flag))));
        let thread = std::thread::Builder::new().name("embedding table".into()).spawn(work);
        Ok(Self { stopped, read, thread: Some(thread.map_err(|e| Error::io("the embedding table", e))?) })
    }

    /// What `work` gives, while the table, if there is one, is read.
    pub(super) async fn beside<T>(_table: &mut Option<Self>, work: impl Future<Output = T>) -> T {
        work.await
    }

    /// The table, once it is there.
    ///
    /// # Errors
    /// [`Error::Aborted`] once the caller has cancelled, or what kept it from being read.
    pub(super) async fn finish(self, watch: &dyn Watch) -> Result<Table> {
        loop {
            match self.read.recv_timeout(PATIENCE) {
                Ok(read) => return read,
                Err(RecvTimeoutError::Timeout) if watch.cancelled() => return Err(Error::Aborted),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::io("the embedding table", "the thread that read it has ended"));
                }
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Drop for EarlyTable {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

#[cfg(target_arch = "wasm32")]
impl EarlyTable {
    pub(super) fn begin(matrix: ApartMatrix, table: Table) -> Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let reading = Box::pin(filled(matrix, table, Arc::clone(&stopped)));
        Ok(Self { stopped, reading, read: None })
    }

    fn poll(&mut self, context: &mut std::task::Context<'_>) -> bool {
        if self.read.is_none()
            && let std::task::Poll::Ready(read) = self.reading.as_mut().poll(context)
        {
            self.read = Some(read);
        }
        self.read.is_some()
    }

    pub(super) async fn beside<T>(table: &mut Option<Self>, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|context| {
            let done = work.as_mut().poll(context);
            if let (Some(table), true) = (&mut *table, done.is_pending()) {
                table.poll(context);
            }
            done
        })
        .await
    }

    pub(super) async fn finish(mut self, watch: &dyn Watch) -> Result<Table> {
        std::future::poll_fn(|context| {
            let ready = self.poll(context);
            self.stopped.store(watch.cancelled(), Ordering::Relaxed);
            if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        self.read.unwrap_or(Err(Error::Aborted))
    }
}
