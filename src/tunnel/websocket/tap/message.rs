//! One message on its way: what was decided about it, and what its payload comes to.
//!
//! Knows payload without masks. It must not know frames that come, nor the messages before it.

use super::collected::{self, Collected};
use super::inflate::Inflater;
use super::setting::Tapped;
use super::{Decision, MessageHead};
use crate::side::Side;
use crate::tunnel::websocket::EndRequest;
use crate::websocket::{CloseCode, CloseFrame, OpCode};

/// A message is not let through, and the tunnel ends.
pub(in crate::tunnel) enum Denial {
    /// Both sides are sent this.
    Both(EndRequest),
    /// Its sender is sent this.
    Sender(CloseFrame),
}

impl Denial {
    pub(super) fn too_long() -> Self {
        let close = CloseFrame::new(CloseCode::MESSAGE_TOO_BIG, "the message is too big");
        Denial::Sender(close)
    }

    pub(super) fn too_late() -> Self {
        let close = EndRequest::close(CloseCode::INTERNAL_ERROR, "no decision in time");
        Denial::Both(close.unwrap_or_default())
    }
}

impl From<Deflated> for Denial {
    fn from(deflated: Deflated) -> Self {
        match deflated {
            Deflated::TooLong => Denial::too_long(),
            Deflated::Invalid => {
                let reason = "the compressed data are invalid";
                let close = CloseFrame::new(CloseCode::INVALID_FRAME_PAYLOAD, reason);
                Denial::Sender(close)
            }
        }
    }
}

/// Why a compressed message cannot be read.
#[cfg_attr(not(feature = "deflate"), expect(dead_code, reason = "nothing is inflated"))]
pub(super) enum Deflated {
    /// It is longer than it may be.
    TooLong,
    Invalid,
}

pub(super) enum Course {
    Pass,
    Observe,
    Read(Collected),
    Drop,
}

pub(super) struct Message {
    pub(super) head: MessageHead,
    pub(super) course: Course,
    /// It goes on without compression, as it is inflated.
    pub(super) is_recoded: bool,
    /// Its first frame of the tunnel's own has gone out.
    has_begun: bool,
    /// How much it may still come to, inflated.
    left: u64,
    limit: usize,
    pub(super) inflated: Vec<u8>,
}

impl Message {
    /// `inflates`: what is compressed in it can be inflated. `most`: what it may then come to if it is not read.
    pub(super) fn new(
        head: MessageHead,
        decision: Decision,
        inflates: bool,
        most: u64,
    ) -> (Self, Option<Denial>) {
        let (mut left, mut limit, mut denial) = (most, 0, None);
        let course = match decision {
            Decision::Pass => Course::Pass,
            Decision::Observe => Course::Observe,
            Decision::Read(bytes) => {
                (left, limit) = (bytes as u64, bytes);
                // What cannot be made smaller is a little longer than it was.
                let slack = if inflates { 64 + limit / 1024 } else { 0 };
                Course::Read(Collected::new(limit.saturating_add(slack)))
            }
            Decision::Drop => Course::Drop,
            Decision::Close(request) => {
                denial = Some(Denial::Both(request));
                Course::Drop
            }
        };
        let message = Message {
            head,
            course,
            is_recoded: false,
            has_begun: false,
            left,
            limit,
            inflated: Vec::new(),
        };
        (message, denial)
    }

    pub(super) fn goes_on_as_it_is(&self) -> bool {
        !self.is_recoded && matches!(self.course, Course::Pass | Course::Observe)
    }

    pub(super) fn is_shown(&self) -> bool {
        matches!(self.course, Course::Observe | Course::Read(_))
    }

    /// Shows a piece, if it is observed.
    pub(super) fn show(&self, tapped: &Tapped, plain: &[u8], is_last: bool) -> Result<(), Denial> {
        let wanted = match &self.course {
            Course::Observe => tapped.lock().observe(&self.head, plain, is_last),
            Course::Pass | Course::Drop | Course::Read(_) => None,
        };
        wanted.map_or(Ok(()), |request| Err(Denial::Both(request)))
    }

    /// Takes a compressed piece, and shows what it says if it is observed. What goes on of it if it goes on without compression.
    pub(super) fn inflate(
        &mut self,
        tapped: &Tapped,
        inflater: &mut Inflater,
        piece: &[u8],
        is_last: bool,
    ) -> Result<Vec<u8>, Denial> {
        if let Course::Read(collected) = &mut self.course {
            collected.push(piece);
        }
        let (head, course, inflated, limit) = (&self.head, &self.course, &mut self.inflated, self.limit);
        let is_recoded = self.is_recoded && !matches!(course, Course::Drop | Course::Read(_));
        let (mut recoded, mut wanted) = (Vec::new(), None);
        let mut give = |piece: &[u8]| {
            match course {
                Course::Read(_) => collected::append(inflated, piece, limit),
                Course::Observe if wanted.is_none() => wanted = tapped.lock().observe(head, piece, false),
                _ => {}
            }
            if is_recoded {
                recoded.extend_from_slice(piece);
            }
        };
        inflater.inflate(piece, is_last, &mut self.left, &mut give)?;
        if is_last && wanted.is_none() && matches!(course, Course::Observe) {
            wanted = tapped.lock().observe(head, &[], true);
        }
        wanted.map_or(Ok(recoded), |request| Err(Denial::Both(request)))
    }

    /// The frame in which this goes on, of a message that goes on without compression.
    pub(super) fn recode(&mut self, sender: Side, payload: &[u8], is_last: bool) -> Option<Vec<u8>> {
        let goes_on = self.is_recoded && matches!(self.course, Course::Pass | Course::Observe);
        if !goes_on || payload.is_empty() && !is_last {
            return None;
        }
        let opcode = match self.has_begun {
            true => OpCode::Continuation,
            false => self.head.opcode,
        };
        self.has_begun = true;
        Some(collected::frame(sender, opcode, is_last, payload))
    }
}
