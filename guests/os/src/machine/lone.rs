//! What is shared where nothing else runs.

/// A value in a `static` of a machine with one hart that takes no interrupts: whoever gets at it is alone with it.
pub(crate) struct Lone<T>(T);

// SAFETY: `Sync` is about threads, of which there is one: one hart is started, and it takes no interrupts (`boot.rs`).
unsafe impl<T> Sync for Lone<T> {}

impl<T> Lone<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> std::ops::Deref for Lone<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
