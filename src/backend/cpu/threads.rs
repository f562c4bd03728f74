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
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn each<T: Send, S>(
        &self,
        data: &mut [T],
        size: usize,
        scratch: impl Fn() -> S + Send + Sync,
        work: impl Fn(&mut S, usize, &mut [T]) + Send + Sync,
    ) {
        use rayon::prelude::*;
        match &self.pool {
            Some(pool) if data.len() > size => {
                let chunks = data.par_chunks_mut(size.max(1)).enumerate();
                pool.install(|| chunks.for_each_init(scratch, |scratch, (i, chunk)| work(scratch, i, chunk)));
            }
            _ => one_by_one(data, size, scratch(), work),
        }
    }

    /// The same in this thread.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn each<T, S>(
        &self,
        data: &mut [T],
        size: usize,
        scratch: impl Fn() -> S,
        work: impl Fn(&mut S, usize, &mut [T]),
    ) {
        one_by_one(data, size, scratch(), work);
    }
}

fn one_by_one<T, S>(data: &mut [T], size: usize, mut scratch: S, work: impl Fn(&mut S, usize, &mut [T])) {
    for (i, chunk) in data.chunks_mut(size.max(1)).enumerate() {
        work(&mut scratch, i, chunk);
    }
}
