//! The embedding table, read by a thread of its own while kernels are compiled and while other weights are on their way to the
//! device: it stays in host memory, so nobody has to say first how it is to lie. Only natively: in a browser, read whenever the load
//! would have waited for the device, it cost 5 KB of the module, and saved a tenth of a load of float32 and nothing of one of codes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Table;
use super::shard::WeightFiles;
use crate::checkpoint::{ApartMatrix, StoredMatrix};
use crate::error::{Error, Result};
use crate::hub::ByteStream;
use crate::progress::Watch;

/// How long to wait for a table before asking whether the caller has cancelled.
const PATIENCE: Duration = Duration::from_millis(50);

/// A table that is being read. If it is dropped, that ends, and its memory is given back.
pub(super) struct EarlyTable {
    stopped: Arc<AtomicBool>,
    read: Receiver<Result<Table>>,
    thread: Option<JoinHandle<()>>,
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

impl EarlyTable {
    /// Begins to fill `table`, which is empty, if the rows of `matrix` can be read for themselves; what is left in its place, and
    /// what reads it. The files are `rewritten` if they are kept in another form than they came in.
    ///
    /// # Errors
    /// [`Error::Io`] if there can be no thread.
    pub(super) fn of<S: ByteStream>(
        files: &WeightFiles<S>,
        matrix: &StoredMatrix,
        table: Table,
        rewritten: bool,
    ) -> Result<(Table, Option<Self>)> {
        let Some(matrix) = files.apart(matrix, table.format, rewritten) else { return Ok((table, None)) };
        Ok((Table::none(table.hidden as u32), Some(Self::begin(matrix, table)?)))
    }

    /// Begins to fill `table`, which is empty, with the rows of `matrix`.
    ///
    /// # Errors
    /// [`Error::Io`] if there can be no thread.
    fn begin(matrix: ApartMatrix, table: Table) -> Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stopped);
        let (sender, read) = std::sync::mpsc::sync_channel(1);
        let work = move || drop(sender.send(pollster::block_on(filled(matrix, table, flag))));
        let thread = std::thread::Builder::new().name("embedding table".into()).spawn(work);
        Ok(Self { stopped, read, thread: Some(thread.map_err(|e| Error::io("the embedding table", e))?) })
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

impl Drop for EarlyTable {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}
