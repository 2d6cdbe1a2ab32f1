//! The locks and atomics on a frame's way. With the feature `model` they are shuttle's, which tries the orders in which
//! tasks may come to them; nothing but its tests runs then.

#[cfg(feature = "model")]
pub(super) use modelled::Mutex;
#[cfg(not(feature = "model"))]
pub(super) use parking_lot::Mutex;
#[cfg(feature = "model")]
pub(super) use shuttle::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(feature = "model"))]
pub(super) use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "model")]
mod modelled {
    use shuttle::sync::MutexGuard;

    /// With the manners of `parking_lot`.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model that panicked is over")
        }
    }
}
