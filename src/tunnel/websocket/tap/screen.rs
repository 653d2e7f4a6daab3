//! One direction under a tap: what becomes of each frame, by what was decided about its message.
//!
//! Knows the frames of one sender as they are scanned. It must not know streams, nor control frames: they go on at once.

use std::task::{Context, Poll};

use super::held::{Held, Outcome, Undecided};
use super::inflate::Inflater;
use super::message::{Course, Denial, Message};
use super::setting::Tapped;
use super::{MessageHead, Verdict};
use crate::side::Side;
use crate::websocket::{DeflateParameters, FrameHeader, OpCode, apply_mask};

/// So much is inflated in one turn: what was read may come to a thousand times as much, and others wait meanwhile.
const INFLATED_TURN: u64 = 64 * 1024;
/// So much is inflated before that is looked at: it comes to a thousand times as much at most.
const INFLATED_PIECE: usize = 1024;

/// What becomes of a piece of the sender's.
pub(in crate::tunnel::websocket) enum Step {
    Keep,
    LeaveOut,
    /// These bytes go out in its place.
    Replace(Vec<u8>),
}

/// What a direction knows of the messages in it.
pub(in crate::tunnel::websocket) struct Screen {
    tapped: Tapped,
    sender: Side,
    message: Option<Message>,
    /// The frame that has begun: its mask, how much of it has come, and whether it is the last of its message.
    mask: Option<[u8; 4]>,
    offset: u64,
    is_last_frame: bool,
    /// Where compression was agreed on.
    inflater: Option<Inflater>,
    /// The receiver has not got all that the sender's compressed messages may refer to.
    has_diverged: bool,
    /// What has gone out ends within a message.
    is_within_message: bool,
    undecided: Option<Undecided>,
    denial: Option<Denial>,
    is_refused: bool,
}

impl Screen {
    pub(in crate::tunnel::websocket) fn new(tapped: Tapped, sender: Side) -> Self {
        let takes_over = |agreed: DeflateParameters| match sender {
            Side::Downstream => !agreed.client_no_context_takeover,
            Side::Upstream => !agreed.server_no_context_takeover,
        };
        let inflater = tapped
            .deflate
            .and_then(|agreed| Inflater::new(takes_over(agreed)));
        Screen {
            tapped,
            sender,
            message: None,
            mask: None,
            offset: 0,
            is_last_frame: true,
            inflater,
            has_diverged: false,
            is_within_message: false,
            undecided: None,
            denial: None,
            is_refused: false,
        }
    }

    /// The header of a data frame.
    pub(in crate::tunnel::websocket) fn header(&mut self, header: &FrameHeader, raw: &[u8]) -> Step {
        self.mask = header.mask;
        self.offset = 0;
        self.is_last_frame = header.fin;
        if header.opcode != OpCode::Continuation {
            self.begin(header);
        }
        let is_too_long = match self.message.as_mut().map(|message| &mut message.course) {
            Some(Course::Read(collected)) => collected.header(header, raw).is_err(),
            _ => false,
        };
        if is_too_long {
            self.refuse(Denial::too_long());
        }
        let step = self.step();
        if matches!(step, Step::Keep) {
            self.is_within_message = !header.fin;
        }
        match header.payload_length {
            0 => self.piece(&[], true),
            _ => step,
        }
    }

    fn begin(&mut self, header: &FrameHeader) {
        let head = MessageHead {
            sender: self.sender,
            opcode: header.opcode,
            is_compressed: header.rsv[0],
            is_whole: header.fin,
            first_length: header.payload_length,
        };
        let decision = self.tapped.lock().decide(&head);
        let inflates = head.is_compressed && self.inflater.is_some();
        let (mut message, denial) = Message::new(head, decision, inflates, self.tapped.max_inflated_bytes);
        message.is_recoded = inflates && self.has_diverged;
        if inflates && matches!(message.course, Course::Drop) {
            self.diverge();
        }
        self.message = Some(message);
        if let Some(denial) = denial {
            self.refuse(denial);
        }
    }

    /// The receiver does not get what later messages may refer to.
    fn diverge(&mut self) {
        self.has_diverged |= self.takes_over();
    }

    fn takes_over(&self) -> bool {
        self.inflater.as_ref().is_some_and(Inflater::takes_over)
    }

    /// What becomes of what comes as it comes.
    fn step(&self) -> Step {
        match self.leaves_out() {
            true => Step::LeaveOut,
            false => Step::Keep,
        }
    }

    /// Payload of the frame that has begun. `ends`: the last of it.
    pub(in crate::tunnel::websocket) fn piece(&mut self, raw: &[u8], ends: bool) -> Step {
        let step = self.step();
        let is_last = ends && self.is_last_frame;
        let looks_inside = self.looks_inside();
        let Some(message) = self.message.as_mut().filter(|_| !self.is_refused) else {
            return step;
        };
        let is_inflated = message.head.is_compressed && self.inflater.is_some();
        if let (Course::Read(collected), false) = (&mut message.course, is_inflated) {
            collected.push_masked(raw, self.mask, self.offset);
            self.offset += raw.len() as u64;
        } else if looks_inside {
            // A mask makes a copy of it. What a server sends is looked at where it is.
            let mut copy = Vec::new();
            let plain = match self.mask {
                None => raw,
                Some(key) => {
                    copy.extend_from_slice(raw);
                    apply_mask(&mut copy, key, self.offset);
                    &copy[..]
                }
            };
            self.offset += raw.len() as u64;
            let taken = match &mut self.inflater {
                Some(inflater) if message.head.is_compressed => {
                    message.inflate(&self.tapped, inflater, plain, is_last)
                }
                _ => message.show(&self.tapped, plain, is_last).map(|()| Vec::new()),
            };
            match taken {
                Ok(recoded) => {
                    if let Some(frame) = message.recode(self.sender, &recoded, is_last) {
                        self.is_within_message = !is_last;
                        self.message = self.message.take().filter(|_| !is_last);
                        return Step::Replace(frame);
                    }
                }
                Err(denial) => {
                    self.refuse(denial);
                    return step;
                }
            }
        }
        match is_last {
            true => self.end(step),
            false => step,
        }
    }

    /// The message has come to its end.
    fn end(&mut self, step: Step) -> Step {
        let Some(message) = self.message.take() else {
            return step;
        };
        let Course::Read(collected) = message.course else {
            return step;
        };
        let is_inflated = message.head.is_compressed && self.inflater.is_some();
        let inflated = is_inflated.then_some(message.inflated);
        let held = Held::new(message.head, collected, inflated, message.is_recoded);
        let verdict = self.tapped.lock().read(&held.head, held.shown());
        match self.follow(verdict, held) {
            bytes if bytes.is_empty() => Step::LeaveOut,
            bytes => Step::Replace(bytes),
        }
    }

    /// What goes out by a verdict.
    fn follow(&mut self, verdict: Verdict, held: Held) -> Vec<u8> {
        let is_inflated = held.is_inflated();
        match held.follow(self.sender, verdict, self.tapped.decision_timeout) {
            Outcome::Sent { bytes, is_original } => {
                if is_inflated && !is_original {
                    self.diverge();
                }
                return bytes;
            }
            Outcome::Refused(denial) => self.refuse(denial),
            Outcome::Undecided(undecided) => self.undecided = Some(undecided),
        }
        Vec::new()
    }

    /// Asks for the decision that is waited for. Ready with what goes out by it.
    pub(in crate::tunnel::websocket) fn poll_decision(&mut self, cx: &mut Context<'_>) -> Poll<Vec<u8>> {
        while let Some(mut undecided) = self.undecided.take() {
            match undecided.poll(cx) {
                Poll::Pending => {
                    self.undecided = Some(undecided);
                    return Poll::Pending;
                }
                Poll::Ready(None) => self.refuse(Denial::too_late()),
                Poll::Ready(Some(verdict)) => {
                    let bytes = self.follow(verdict, undecided.into_held());
                    if self.undecided.is_none() {
                        return Poll::Ready(bytes);
                    }
                }
            }
        }
        Poll::Ready(Vec::new())
    }

    fn refuse(&mut self, denial: Denial) {
        if !self.is_refused {
            self.is_refused = true;
            self.denial = Some(denial);
        }
    }

    /// Why the tunnel is to end. Once.
    pub(in crate::tunnel::websocket) fn take_denial(&mut self) -> Option<Denial> {
        self.denial.take()
    }

    /// Takes note of payload that went on unseen. `ends`: to the end of the frame.
    pub(in crate::tunnel::websocket) fn skipped(&mut self, ends: bool) {
        if ends && self.is_last_frame {
            self.message = None;
        }
    }

    /// Whether the payload that comes need not be seen.
    pub(in crate::tunnel::websocket) fn may_skip(&self) -> bool {
        !self.looks_inside() && !self.leaves_out()
    }

    fn looks_inside(&self) -> bool {
        let message = self.message.as_ref().filter(|_| !self.is_refused);
        // What later messages may refer to has to be known, whatever becomes of it.
        message.is_some_and(|message| message.is_shown() || message.head.is_compressed && self.takes_over())
    }

    /// Whether the message that is on its way does not go out as it comes.
    pub(in crate::tunnel::websocket) fn leaves_out(&self) -> bool {
        self.message
            .as_ref()
            .is_some_and(|message| !message.goes_on_as_it_is())
    }

    /// Whether what has gone out ends within a message.
    pub(in crate::tunnel::websocket) fn is_within_message(&self) -> bool {
        self.is_within_message
    }

    /// What is waited for does not matter any more.
    pub(in crate::tunnel::websocket) fn forget_undecided(&mut self) {
        self.undecided = None;
    }

    pub(in crate::tunnel::websocket) fn is_undecided(&self) -> bool {
        self.undecided.is_some()
    }

    pub(in crate::tunnel::websocket) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// How much payload is looked at at once, where it is inflated.
    pub(in crate::tunnel::websocket) fn inflates_at_once(&self) -> Option<usize> {
        let is_compressed = self
            .message
            .as_ref()
            .is_some_and(|message| message.head.is_compressed);
        let inflates = is_compressed && self.inflater.is_some() && self.looks_inside();
        inflates.then_some(INFLATED_PIECE)
    }

    /// Whether so much was inflated that others have their turn now. Says so once.
    pub(in crate::tunnel::websocket) fn has_inflated_enough(&mut self) -> bool {
        let inflater = self.inflater.as_mut();
        inflater.is_some_and(|inflater| inflater.has_made(INFLATED_TURN))
    }
}
