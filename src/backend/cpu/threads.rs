//! Work shared among threads. Who does a chunk never changes what comes out: chunks do not meet.

/// Threads that wait for work. A wasm module has one.
pub(super) struct Threads {
    #[cfg(not(target_arch = "wasm32"))]
    pool: Option<rayon::ThreadPool>,
    count: usize,
}

impl Threads {
    /// `count` threads; `None` for one for each core. Where the system starts none, there is the caller's.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn new(count: Option<usize>) -> Self {
        let count = count.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let named = |i| format!("pplx-embed-{i}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(named);
        let pool = if count > 1 { pool.build().ok() } else { None };
        Self { count: pool.as_ref().map_or(1, rayon::ThreadPool::current_num_threads), pool }
    }

    /// The module's own thread.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn new(_count: Option<usize>) -> Self {
        Self { count: 1 }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Calls `work` with each chunk of `size` elements, its number, and scratch memory that `scratch` makes for a thread.
    pub(super) fn each<T: Send, S>(
        &self,
        data: &mut [T],
        size: usize,
        scratch: impl Fn() -> S + Send + Sync,
        work: impl Fn(&mut S, usize, &mut [T]) + Send + Sync,
    ) {
        let size = size.max(1);
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(pool) = &self.pool
            && data.len() > size
        {
            use rayon::prelude::*;
            let chunks = data.par_chunks_mut(size).enumerate();
            pool.install(|| chunks.for_each_init(scratch, |scratch, (i, chunk)| work(scratch, i, chunk)));
            return;
        }
        let mut own = scratch();
        for (i, chunk) in data.chunks_mut(size).enumerate() {
            work(&mut own, i, chunk);
        }
    }
}
