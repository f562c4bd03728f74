//! Ordered maps and sets of what an iterator gives.

/// Inserts one by one. `collect` sorts everything first, by a sort that is compiled for each kind of element: some KB each in
/// the wasm module.
pub(crate) fn inserted<T, C: Default + Extend<T>>(items: impl IntoIterator<Item = T>) -> C {
    let mut all = C::default();
    for item in items {
        all.extend(std::iter::once(item));
    }
    all
}
