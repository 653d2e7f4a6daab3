//! Where the payload and the answers of opened records go.

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;
use tokio_rustls::rustls::Error;

use super::outgoing::Outgoing;

/// Of one call.
pub(super) struct Sink<'a, 'b> {
    /// The reader's buffer, where there is a reader.
    pub(super) into: Option<&'a mut ReadBuf<'b>>,
    /// What has found no room there.
    pub(super) opened: &'a mut BytesMut,
    pub(super) outgoing: &'a mut Outgoing,
}

impl Sink<'_, '_> {
    pub(super) fn give(&mut self, payload: &[u8]) {
        let mut rest = payload;
        if let Some(into) = self.into.as_mut().filter(|_| self.opened.is_empty()) {
            let (now, later) = payload.split_at(payload.len().min(into.remaining()));
            into.put_slice(now);
            rest = later;
        }
        if !rest.is_empty() {
            self.opened.extend_from_slice(rest);
        }
    }

    /// Whether another record would only have to wait here.
    pub(super) fn is_full(&self) -> bool {
        !self.opened.is_empty() || self.into.as_ref().is_some_and(|into| into.remaining() == 0)
    }
}

/// What the records of a buffer have come to.
#[derive(Debug)]
pub(super) enum Come {
    /// The rest is not yet a whole record.
    Incomplete,
    /// There may be more, for which there is no room.
    Full,
    /// The peer sends no more, and has said so.
    Closed,
    /// The connection is of no more use. The alert that says so is among the outgoing records.
    Failed(Error),
}

/// Drops the first bytes of a buffer, and its memory with the last of them.
pub(super) fn use_up(buffer: &mut BytesMut, count: usize) {
    buffer.advance(count);
    if buffer.is_empty() {
        *buffer = BytesMut::new();
    }
}
