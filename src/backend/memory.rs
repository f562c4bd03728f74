//! What a device's memory may be. Neither WebGPU nor wgpu tells; this is what is known around it.

/// Bytes of memory that browsers are taken to have where they do not say: most have more, phones have not.
#[cfg(target_arch = "wasm32")]
const UNSAID: f64 = 4.0 * 1024.0 * 1024.0 * 1024.0;

/// Bytes that weights may take: half of the machine's memory, where the adapter shares that (`shared`) or nobody knows.
/// `None` for an adapter with memory of its own, whose own word is all there is.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn for_weights(shared: bool) -> Option<u64> {
    let memory = sysinfo::RefreshKind::nothing().with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram());
    let total = || sysinfo::System::new_with_specifics(memory).ok().map(|system| system.total_memory());
    shared.then(total).flatten().filter(|&bytes| bytes > 0).map(|bytes| bytes / 2)
}

/// As natively; `navigator.deviceMemory` has gibibytes, rounded, and at most 8 in some browsers.
#[cfg(target_arch = "wasm32")]
pub(super) fn for_weights(_shared: bool) -> Option<u64> {
    let get = |object: &wasm_bindgen::JsValue, name: &str| js_sys::Reflect::get(object, &name.into()).ok();
    let gibibytes = get(&js_sys::global(), "navigator").and_then(|n| get(&n, "deviceMemory")?.as_f64());
    let bytes = gibibytes.map_or(UNSAID, |n| n * f64::from(1 << 30));
    Some((bytes / 2.0) as u64)
}
