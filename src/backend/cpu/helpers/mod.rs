//! Threads with memories of their own, as web workers have without cross-origin isolation: each keeps its share of the
//! outputs of every weight, is sent the activations, and answers with its outputs. No sum is split, so that bits do not
//! depend on how many helpers there are.

mod helper;
mod message;

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};
pub use helper::Helper;
pub(super) use message::{MOST_PRODUCTS, Message};

/// What a helper answers: floats, or why there are none. A future that belongs to one thread in a browser.
#[cfg(target_arch = "wasm32")]
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<f32>>> + 'a>>;
/// What a helper answers: floats, or why there are none. A future.
#[cfg(not(target_arch = "wasm32"))]
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<f32>>> + Send + 'a>>;

/// The way to a helper. What is sent arrives in order, and is answered in order.
#[cfg(target_arch = "wasm32")]
pub trait Link {
    /// Sends a message in two parts, for [`Helper::receive`] at the other end.
    fn send(&self, header: &[u8], data: &[u8]);
    /// Sends one that wants an answer.
    fn ask(&self, header: &[u8], data: &[u8]) {
        self.send(header, data);
    }
    /// The next answer.
    fn receive(&self) -> Answer<'_>;
}

/// The way to a helper. What is sent arrives in order, and is answered in order.
#[cfg(not(target_arch = "wasm32"))]
pub trait Link: Send + Sync {
    /// Sends a message in two parts, for [`Helper::receive`] at the other end.
    fn send(&self, header: &[u8], data: &[u8]);
    /// Sends one that wants an answer.
    fn ask(&self, header: &[u8], data: &[u8]) {
        self.send(header, data);
    }
    /// The next answer.
    fn receive(&self) -> Answer<'_>;
}

/// The error of a helper that refused, given what it said.
pub fn refused(why: &[u8]) -> Error {
    Error::Gpu { message: format!("a helper: {}", String::from_utf8_lossy(why)) }
}

/// All helpers of an engine.
#[derive(Default)]
pub(super) struct Helpers {
    links: Vec<Box<dyn Link>>,
    weights: AtomicU32,
}

impl Helpers {
    pub(super) fn new(links: Vec<Box<dyn Link>>) -> Self {
        Self { links, weights: AtomicU32::new(0) }
    }

    pub(super) fn count(&self) -> usize {
        self.links.len()
    }

    /// A number for a new weight.
    pub(super) fn weight(&self) -> u32 {
        self.weights.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn send(&self, helper: usize, message: &Message<'_>) {
        if let Some(link) = self.links.get(helper) {
            let (header, data) = message.encode();
            let header = bytemuck::bytes_of(&header);
            if message.asks() { link.ask(header, data) } else { link.send(header, data) }
        }
    }

    /// The next answer of a helper.
    ///
    /// # Errors
    /// What the helper says, or that it is gone.
    pub(super) async fn receive(&self, helper: usize) -> Result<Vec<f32>> {
        let link = self.links.get(helper).ok_or_else(|| Error::Gpu { message: "there is no such helper".into() })?;
        link.receive().await
    }

    /// Waits until every helper has done what it was told.
    ///
    /// # Errors
    /// As [`Helpers::receive`].
    pub(super) async fn sync(&self) -> Result<()> {
        (0..self.count()).for_each(|helper| self.send(helper, &Message::Sync));
        for helper in 0..self.count() {
            self.receive(helper).await?;
        }
        Ok(())
    }
}

/// The outputs of `n` that each of `workers` has, in whole panels of `width`: the leader's first.
pub(super) fn shares(n: usize, width: usize, workers: usize) -> Vec<std::ops::Range<usize>> {
    let panels = n.div_ceil(width);
    let bound = |i: usize| ((panels * i).div_ceil(workers) * width).min(n);
    (0..workers).map(|i| bound(i)..bound(i + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn shares_are_whole_panels_that_cover_all_outputs() {
        assert_eq!(shares(20, 8, 2), [0..16, 16..20]);
        assert_eq!(shares(20, 8, 1).first(), Some(&(0..20)));
        assert_eq!(shares(4, 8, 3), [0..4, 4..4, 4..4]);
        assert_eq!(shares(64, 8, 3), [0..24, 24..48, 48..64]);
    }
}
