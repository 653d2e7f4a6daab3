//! The one buffer of a thread that records are read into and opened in. A connection owns none while nothing of a record waits.
//!
//! Knows nothing of records or streams.

use std::cell::Cell;

/// The payload of a record at most (RFC 8446, section 5.1).
pub(super) const PAYLOAD: usize = 16 * 1024;

/// A record at most: the header, and what TLS 1.2 permits beside the payload (RFC 5246, section 6.2.3), which is more than TLS 1.3 does.
pub(super) const RECORD: usize = 5 + PAYLOAD + 2048;

/// What a cipher of TLS 1.3 adds to a record: the header, the type and the tag (RFC 8446, section 5.2).
pub(super) const ADDED: usize = 5 + 1 + 16;

/// The records of one read at most: as much as a tunnel's own buffer takes in one.
pub(super) const RECORDS: usize = 4;

/// As long as those records where they are full, so that a read ends where a record ends. Where the limit of handshake messages
/// in pieces, [`JOINED`](super::JOINED), has been reached, there is room for one more record.
pub(super) const SIZE: usize = super::JOINED + RECORD;

thread_local! {
    static IDLE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// This thread's buffer, on loan until dropped.
///
/// Taken out of its place while in use: a stream below that is itself encrypted finds the place empty, and makes a buffer of
/// its own. It holds old bytes of any connection of the thread.
#[derive(Default)]
pub(super) struct Scratch(Option<Box<[u8]>>);

impl Scratch {
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.0.get_or_insert_with(|| {
            // `try_with`: a future may be polled while the thread's locals are being destroyed.
            let idle = IDLE.try_with(Cell::take).ok().flatten();
            idle.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take() {
            let _ = IDLE.try_with(|place| place.set(Some(buffer)));
        }
    }
}
