//! What may go on without being read: the payload of a large frame, and its header where it was looked at beforehand.
//!
//! Knows one direction and lengths. It must not know pipes or sockets.

use tokio::time::Instant;

use super::limits::Admission;
use super::output::Output;
use super::{Framed, Own};
use crate::websocket::{FrameHeader, Scanned};

/// A frame is large if its payload is at least so long. Below that, looking at each header and splicing the rest costs more
/// than copying both.
const LARGE: u64 = 48 * 1024;
/// What is left of another frame is spliced as long as it is so much.
const WORTH_SPLICING: u64 = 32 * 1024;
/// So much is read for the header that follows a large frame.
const LOOK: usize = 4 * 1024;

impl Framed {
    /// How many unread bytes show whether a [large frame](Framed::look_ahead) begins.
    pub(in crate::tunnel) const LOOKED_AT: usize = FrameHeader::MAX_LENGTH;

    /// Takes note of what went on without being read.
    pub(in crate::tunnel) fn skip(&mut self, now: Instant, count: usize) {
        self.last_read_at = now;
        self.handed += count as u64;
        let of_header = count.min(self.unread_header.into());
        self.unread_header -= of_header as u8;
        let count = count - of_header;
        self.scanner.skip(count as u64);
        self.count_payload(count);
        self.screen_skipped();
    }

    /// How many bytes may go on without being read: what is left of a large frame.
    pub(in crate::tunnel) fn may_skip(&self) -> usize {
        let rest = self.scanner.remaining();
        let is_worth_it = rest >= WORTH_SPLICING || self.is_large;
        let is_seen = self.is_closed() || !self.may_be_unseen() || self.delays_payload();
        if !is_worth_it || rest == 0 || is_seen {
            return 0;
        }
        usize::try_from(rest).map_or(usize::MAX, |rest| rest.saturating_add(self.unread_header.into()))
    }

    /// How much to read where what is large [is skipped](Framed::may_skip).
    pub(in crate::tunnel) fn room(&self) -> usize {
        match usize::try_from(self.scanner.remaining()) {
            Ok(rest) if self.is_large => rest
                .saturating_add(self.unread_header.into())
                .saturating_add(LOOK),
            _ => usize::MAX,
        }
    }

    /// Whether the bytes that come next may be looked at before they are read: a frame begins with them, and nothing else has to go
    /// out before it.
    pub(in crate::tunnel) fn may_look_ahead(&self) -> bool {
        self.scanner.is_at_boundary()
            && self.rare().held.is_none()
            && !self.is_closed()
            && !self.is_paused()
            && !self.delays_payload()
            && self.rare().refusal.is_none()
            && !self.can_inject()
    }

    /// Whether the frame after this one may go out together with it: nobody waits for a place between the two.
    pub(in crate::tunnel) fn may_go_on(&self) -> bool {
        let may_send = |own: &Own| own.may_send();
        self.may_look_ahead() && !self.rare().own.as_deref().is_some_and(may_send)
    }

    /// Looks at what comes next and has not been read. If a large frame begins there that goes on as it is, how many bytes it has,
    /// which then [may be skipped](Framed::skip).
    pub(in crate::tunnel) fn look_ahead(&mut self, now: Instant, unread: &[u8]) -> usize {
        let mut scanner = self.scanner.clone();
        let Ok(Some((length, scanned))) = scanner.advance(unread) else {
            return 0;
        };
        let Scanned::Header(header) = scanned else {
            return 0;
        };
        if header.payload_length < LARGE || !self.admits(now, &header, length) {
            return 0;
        }
        self.scanner = scanner;
        self.count(&scanned, length);
        self.note_length(header.payload_length);
        // A header has 14 bytes at most.
        self.unread_header = length as u8;
        // It has payload, so what a tap decides does not change it in its place.
        self.screen_header(&header, unread, 0, length, &mut Output::default());
        self.may_skip()
    }

    /// A data frame has begun, with a payload of this length.
    pub(super) fn note_length(&mut self, payload: u64) {
        self.is_large = payload >= LARGE;
    }

    /// Whether its limits let the frame pass now. Where they do not, it is decided about when it has been read.
    fn admits(&mut self, now: Instant, header: &FrameHeader, length: usize) -> bool {
        let limiter = self.rare_mut().and_then(|rare| rare.limiter.as_mut());
        limiter.is_none_or(|limiter| limiter.data_frame(now.into_std(), header, length) == Admission::Pass)
    }

    /// The bytes of a header that was [looked at](Framed::look_ahead) and has to be read after all go on as its message does.
    /// How many these are.
    pub(super) fn pass_unread_header(&mut self, read: &[u8], output: &mut Output) -> usize {
        let length = read.len().min(self.unread_header.into());
        self.unread_header -= length as u8;
        if length > 0 && self.leaves_out() {
            output.leave_out(read, 0, length);
        }
        length
    }
}
