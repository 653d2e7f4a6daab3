//! The two buffers of a thread: records are received into one and opened there, and sealed into the other. Payload that comes in several
//! pieces is put together in the first. A connection owns neither, and holds nothing while nothing of a record waits.
//!
//! Knows nothing of records or streams.

use std::cell::Cell;
use std::mem::MaybeUninit;

/// Of each record (RFC 8446, section 5.1): its type, a version and its length.
pub(super) const HEADER: usize = 5;

/// The payload of a record at most (RFC 8446, section 5.1).
pub(super) const PAYLOAD: usize = 16 * 1024;

/// A record at most: the header, and what TLS 1.2 permits beside the payload (RFC 5246, section 6.2.3), which is more than TLS 1.3 does.
pub(super) const RECORD: usize = HEADER + PAYLOAD + 2048;

/// The records of one read or write at most: as much payload as a tunnel's own buffer takes in one.
pub(super) const RECORDS: usize = 4;

/// Where as much is held as may be of handshake messages that come in pieces, there is room for one more record.
pub(super) const SIZE: usize = super::JOINED + RECORD;

/// More than this is kept by no thread. Records of a few bytes each, as a configuration may want them, are longer than their payload.
const KEPT: usize = 96 * 1024;

thread_local! {
    static RECEIVING: Cell<Option<Box<[MaybeUninit<u8>]>>> = const { Cell::new(None) };
    static SEALING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// This thread's buffer for what is received, or put together, on loan until dropped.
///
/// Taken out of its place while in use: a stream below that is itself encrypted finds the place empty, and makes a buffer of
/// its own. The payload of other connections that it has held is to no reader: it is lent as memory that holds nothing.
#[derive(Default)]
pub(super) struct Receiving(Option<Box<[MaybeUninit<u8>]>>);

impl Receiving {
    pub(super) fn space(&mut self) -> &mut [MaybeUninit<u8>] {
        self.0.get_or_insert_with(|| {
            // `try_with`: a future may be polled while the thread's locals are being destroyed.
            let idle = RECEIVING.try_with(Cell::take).ok().flatten();
            idle.unwrap_or_else(|| Box::new_uninit_slice(SIZE))
        })
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take() {
            let _ = RECEIVING.try_with(|place| place.set(Some(buffer)));
        }
    }
}

/// This thread's buffer for records that are sealed, on loan until dropped. It grows as it is needed, and holds only what was sealed.
pub(super) struct Sealing(pub(super) Vec<u8>);

impl Sealing {
    pub(super) fn borrow() -> Self {
        Sealing(SEALING.try_with(Cell::take).unwrap_or_default())
    }
}

impl Drop for Sealing {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        if buffer.capacity() <= KEPT {
            let _ = SEALING.try_with(|place| place.set(buffer));
        }
    }
}
