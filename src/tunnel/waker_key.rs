//! What a waker is known by: half as large as the waker, and nobody else's code is called to compare or to drop it.
//!
//! Knows where a waker's data and functions are. It must not know whom the waker wakes.

use std::num::NonZeroUsize;
use std::task::Waker;

/// What distinguishes a waker from others as long as both exist: whoever keeps a key knows that somebody keeps the waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tunnel) struct WakerKey(NonZeroUsize);

impl WakerKey {
    pub(in crate::tunnel) fn of(waker: &Waker) -> Self {
        let vtable = std::ptr::from_ref(waker.vtable()).addr();
        let key = waker.data().addr() ^ vtable.rotate_left(usize::BITS / 2);
        WakerKey(NonZeroUsize::new(key).unwrap_or(NonZeroUsize::MIN))
    }

    pub(in crate::tunnel) fn number(self) -> usize {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    struct One;
    struct Other;

    impl Wake for One {
        fn wake(self: Arc<Self>) {}
    }

    impl Wake for Other {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn clones_have_one_key_and_others_have_others() {
        let wakers = [
            Waker::from(Arc::new(One)),
            Waker::from(Arc::new(One)),
            Waker::from(Arc::new(Other)),
            Waker::noop().clone(),
        ];
        for (at, waker) in wakers.iter().enumerate() {
            for (other, compared) in wakers.iter().enumerate() {
                let is_same = WakerKey::of(waker) == WakerKey::of(&compared.clone());
                assert_eq!(is_same, at == other);
            }
        }
    }
}
