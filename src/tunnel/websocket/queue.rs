//! The frame of the tunnel's own that a direction has queued: which goes before which, and when it goes out.
//!
//! Knows one direction and its boundaries. It must not know why a frame is sent.

use tokio::time::Instant;

use super::{Framed, Injected, closing};

impl Framed {
    /// Has a frame of the tunnel's own sent at the next boundary. A Close goes before a ping.
    pub(in crate::tunnel) fn queue(&mut self, frame: Injected) {
        let is_late = self.has_queued_close() && matches!(frame, Injected::Ping(_));
        if !self.is_closed() && !is_late {
            self.extra.queued = Some(Box::new(frame));
        }
    }

    fn has_queued_close(&self) -> bool {
        matches!(
            self.extra.queued.as_deref(),
            Some(Injected::Close(_) | Injected::CloseInPlace(_))
        )
    }

    /// Whether a ping waits for its place.
    pub(super) fn has_queued_ping(&self) -> bool {
        matches!(self.extra.queued.as_deref(), Some(Injected::Ping(_)))
    }

    /// Whether a frame of the tunnel's own is to go out now.
    pub(in crate::tunnel) fn can_inject(&self) -> bool {
        self.extra.queued.is_some() && !self.awaits_place() && self.is_at_boundary() && !self.is_closed()
    }

    /// Whether the sender's Close is waited for, to send the tunnel's own in its place.
    pub(in crate::tunnel) fn awaits_place(&self) -> bool {
        matches!(self.extra.queued.as_deref(), Some(Injected::CloseInPlace(_)))
    }

    /// The sender's Close is not waited for any more: the one in its place goes out at the next boundary.
    pub(in crate::tunnel) fn close_now(&mut self) {
        if let Some(Injected::CloseInPlace(close)) = self.extra.queued.as_deref() {
            self.extra.queued = Some(Box::new(Injected::Close(close.clone())));
        }
    }

    /// A frame of the tunnel's own goes out behind what was handed on and `before` bytes more.
    pub(super) fn note_injected(&mut self, before: usize, length: usize) {
        let at = self.handed + before as u64;
        self.extra.insertions.add(at, length);
    }

    /// Looks for the sender's Close in what goes no further. So nothing is put in there either, and what is queued waits.
    pub(in crate::tunnel) fn look_through(&mut self, now: Instant, read: &[u8]) {
        let queued = self.extra.get_mut().and_then(|extra| extra.queued.take());
        let _ = self.pass(now, read);
        if let (Some(queued), Some(extra)) = (queued, self.extra.get_mut()) {
            extra.queued = Some(queued);
        }
    }

    /// The frame that [is due](Framed::can_inject).
    pub(in crate::tunnel) fn inject(&mut self, now: Instant) -> Vec<u8> {
        let frame = self.take_queued(now);
        self.note_injected(0, frame.len());
        self.handed += frame.len() as u64;
        frame
    }

    pub(super) fn take_queued(&mut self, now: Instant) -> Vec<u8> {
        let Some(own) = self.extra.get_mut().and_then(|extra| extra.queued.take()) else {
            return Vec::new();
        };
        let bytes = own.to_bytes(self.scanner.sender());
        match *own {
            Injected::Ping(_) => {
                let place = (self.handed / 1024) as u32;
                self.extra.note_ping(now, place);
            }
            Injected::Close(close) | Injected::CloseInPlace(close) => {
                self.extra.rare.sent = Some(Box::new(close));
                self.stop_waiting(now);
            }
        }
        bytes
    }

    /// Whether the receiver can be sent a Close because the sender has gone without one: what went out ends between two frames.
    pub(super) fn can_close_abnormally(&self) -> bool {
        let to = !self.scanner.sender();
        !self.is_done()
            && !self.is_closed()
            && !self.has_queued_close()
            && self.is_at_boundary()
            && self.settings.closes_abnormally(to)
    }

    /// The sender has ended its stream.
    pub(in crate::tunnel) fn sender_has_ended(&mut self) {
        if self.can_close_abnormally() {
            let close = self
                .settings
                .abnormal_close_frame(!self.scanner.sender(), closing::FAILED);
            self.extra.queued = Some(Box::new(Injected::Close(close)));
        }
        self.sender_is_gone();
    }
}
