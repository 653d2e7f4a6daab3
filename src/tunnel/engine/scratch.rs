//! The one read buffer of a thread: an idle tunnel owns none, and each tunnel uses it for the time of one poll.
//!
//! Knows nothing of streams or directions.

use std::cell::Cell;

/// The most that one read takes. Large enough that a bulk transfer spends its time in the kernel's copy, small
/// enough to stay in a core's own cache between the read and the write.
pub(in crate::tunnel) const SCRATCH_SIZE: usize = 64 * 1024;

thread_local! {
    static IDLE_SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// This thread's read buffer, on loan until dropped.
///
/// Taken out of its place while in use, so a stream whose `poll_read` polls another tunnel finds the place empty and
/// that tunnel gets a buffer of its own, instead of a panic or the other's bytes.
///
/// It holds old bytes of any tunnel of the thread: only what a read has reported as filled may be looked at.
#[derive(Default)]
pub(crate) struct Scratch {
    buffer: Option<Box<[u8]>>,
}

impl Scratch {
    pub(in crate::tunnel) fn bytes(&mut self) -> &mut [u8] {
        self.buffer.get_or_insert_with(|| {
            // `try_with`: a future may be polled while the thread's locals are being destroyed.
            let idle = IDLE_SCRATCH.try_with(Cell::take).ok().flatten();
            idle.unwrap_or_else(|| vec![0; SCRATCH_SIZE].into_boxed_slice())
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let _ = IDLE_SCRATCH.try_with(|place| place.set(Some(buffer)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_loan_is_another_buffer() {
        let mut outer = Scratch::default();
        let mut inner = Scratch::default();
        assert_ne!(outer.bytes().as_ptr(), inner.bytes().as_ptr());
        assert_eq!(outer.bytes().len(), SCRATCH_SIZE);
    }

    #[test]
    fn loans_in_turn_are_the_same_buffer() {
        let first = Scratch::default().bytes().as_ptr();
        assert_eq!(Scratch::default().bytes().as_ptr(), first);
    }
}
