//! A direction that knows its frames. What is read goes out as it is, except that injected frames stand between two others,
//! what answers them does not go on, and nothing follows a Close (RFC 6455, section 5.5.1).
//!
//! Knows what one side sends, and no stream. What is read goes in, what goes out comes back; nothing is kept but a header or
//! a control frame that is not whole yet.

mod admission;
mod closes;
mod closing;
mod config;
mod counts;
mod end_request;
mod half;
mod injected;
mod keep_alive;
mod limits;
mod output;
mod queue;
mod splicing;
mod tap;
mod tapped;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

pub(in crate::tunnel) use closes::{Closes, WebSocketTraffic};
pub use config::WebSocketConfig;
pub(in crate::tunnel) use counts::Counts;
pub use counts::{FrameCounts, RoundTrips};
pub use end_request::EndRequest;
pub(in crate::tunnel) use injected::Injected;
use injected::Pings;
use limits::Limiter;
pub use limits::{MessageLimit, MessageLimits, Rate};
pub(in crate::tunnel) use output::Piece;
use output::{Account, Output};
pub use tap::{Compression, Decision, InjectError, MessageHead, MessageInjector, MessageTap, Tap, Verdict};
pub(in crate::tunnel) use tap::{Inbox, Inboxes, Tapped};
use tapped::Own;

use crate::side::Side;
use crate::tunnel::lifecycle::Frames;
use crate::websocket::{CloseFrame, ControlFrame, FrameError, FrameScanner, OpCode, Scanned};

/// Why a frame does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tunnel) enum Refusal {
    /// It is none that its sender may send.
    Frame(FrameError),
    /// It exceeds this limit, which is of this size.
    Limit(MessageLimit, u64),
}

/// What one direction of a tunnel knows of its frames.
pub(in crate::tunnel) struct Framed {
    scanner: FrameScanner,
    /// What was read of a header or of a control frame, until the rest is there: at most 130 bytes. Where a frame waits for its
    /// rate, all that was read from it on: at most 64 KiB and that. So what went out ends within a payload or between two frames.
    held: Bytes,
    /// The payload of the data frame that began last.
    last_length: u64,
    /// How much of its header is still to go out, where it was looked at before it was read.
    unread_header: u8,
    /// A frame of the tunnel's own that goes out at the next boundary. Boxed, as all that is rare.
    queued: Option<Box<Injected>>,
    /// What the sender's Close said. It went on, unless the tunnel's own went before it.
    from_sender: Option<Box<CloseFrame>>,
    /// What the tunnel's own Close said.
    sent: Option<Box<CloseFrame>>,
    /// Why what the sender sends does not go on any more.
    refusal: Option<Refusal>,
    /// Not where there are no limits.
    limiter: Option<Box<Limiter>>,
    /// Until when what is held waits for its rate.
    waits_until: Option<Instant>,
    /// Nobody waits for the sender any more.
    gone: bool,
    /// When something was last read from the sender.
    last_read_at: Instant,
    /// The pings that the sender is sent, in the other direction.
    pings: Pings,
    /// When a ping was last sent in this direction.
    pinged_at: Option<Instant>,
    /// That ping was not held up, nor is its answer.
    is_ping_timed: bool,
    account: Account,
    config: Arc<WebSocketConfig>,
    /// What was counted of what the sender has sent, if anything.
    counts: Option<Box<Counts>>,
    /// What the caller decides and sends. Few tunnels have it.
    own: Option<Box<Own>>,
}

impl Framed {
    pub(in crate::tunnel) fn new(sender: Side, now: Instant, config: Arc<WebSocketConfig>) -> Self {
        let reserved_bits = config.allowed_reserved_bits().unwrap_or_default();
        Framed {
            scanner: FrameScanner::new(sender).reserved_bits(reserved_bits),
            held: Bytes::new(),
            last_length: 0,
            unread_header: 0,
            queued: None,
            from_sender: None,
            sent: None,
            refusal: None,
            limiter: config
                .limits_of(sender)
                .map(|limits| Box::new(Limiter::new(*limits, now.into_std()))),
            waits_until: None,
            gone: false,
            last_read_at: now,
            pings: Pings::default(),
            pinged_at: None,
            is_ping_timed: false,
            account: Account::default(),
            config,
            counts: None,
            own: None,
        }
    }

    pub(in crate::tunnel) fn config(&self) -> &WebSocketConfig {
        &self.config
    }

    /// What goes out of what was read, and was read behind what is held: mostly all of it, as it is.
    ///
    /// To be called when everything that came out before has been taken or is going to be.
    pub(in crate::tunnel) fn pass<'a>(&mut self, now: Instant, read: &'a [u8]) -> Piece<'a> {
        self.last_read_at = now;
        if self.refusal.is_some() || self.from_sender.is_some() {
            return Piece::NOTHING;
        }
        self.waits_until = None;
        let read = Piece::behind(std::mem::take(&mut self.held), read);
        let mut output = Output::default();
        // After the tunnel's own Close it is only read for the sender's.
        let mut end = self.sent.is_some().then_some(0);
        let mut at = 0;
        at += self.pass_unread_header(&read, &mut output);
        loop {
            if self.can_inject() {
                let frame = self.take_queued(now);
                self.account.injected(output.length(at), frame.len());
                output.insert(&read, at, &frame);
                if self.sent.is_some() {
                    end = Some(at);
                }
            }
            if self.is_interrupted(output.length(at)) {
                self.held = read.rest(at);
                break;
            }
            let before = self.limiter.as_ref().map(|_| self.scanner.clone());
            match self.scanner.advance(self.next_piece(&read[at..])) {
                Ok(None) => {
                    self.held = read.rest(at);
                    break;
                }
                Ok(Some((length, scanned))) => {
                    if let (Some(before), false) = (before, self.is_allowed(now, &scanned, length)) {
                        self.scanner = before;
                        if self.waits_until.is_some() {
                            self.held = read.rest(at);
                        }
                        break;
                    }
                    self.count(&scanned, length);
                    match scanned {
                        Scanned::Control(frame) if frame.opcode() == OpCode::Close => {
                            self.from_sender = Some(Box::new(CloseFrame::read(frame.payload())));
                            if self.awaits_place() {
                                output.leave_out(&read, at, length);
                                let frame = self.take_queued(now);
                                self.account.injected(output.length(at + length), frame.len());
                                output.insert(&read, at + length, &frame);
                            }
                            at += length;
                            break;
                        }
                        Scanned::Control(frame) if end.is_none() && self.pings.are_answered_by(&frame) => {
                            output.leave_out(&read, at, length);
                        }
                        Scanned::Header(header) => {
                            self.last_length = header.payload_length;
                            if end.is_none() {
                                self.screen_header(&header, &read, at, length, &mut output);
                            }
                        }
                        Scanned::Payload if end.is_none() => {
                            self.screen_payload(&read, at, length, &mut output)
                        }
                        _ => {}
                    }
                    at += length;
                }
                Err(error) => {
                    self.refusal = Some(Refusal::Frame(error));
                    self.close_now();
                    break;
                }
            }
        }
        let output = output.finish(read, end.unwrap_or(at));
        self.account.handed += output.len() as u64;
        output
    }

    /// What is [held back](Framed::holds_back), and will not be completed.
    pub(in crate::tunnel) fn release(&mut self) -> Bytes {
        let mut held = std::mem::take(&mut self.held);
        if self.keeps_held() {
            held.clear();
        }
        self.account.handed += held.len() as u64;
        held
    }

    /// Whether there are bytes of the sender's that belong out and are not. Nothing follows a Close, not even those: there they
    /// are the beginning of what the sender answers.
    pub(in crate::tunnel) fn holds_back(&self) -> bool {
        !self.held.is_empty() && !self.is_closed() && !self.keeps_held()
    }

    /// Whether a Close has gone out in this direction, a peer's or our own.
    pub(in crate::tunnel) fn is_closed(&self) -> bool {
        self.sent.is_some() || self.from_sender.is_some()
    }

    /// Whether nothing is to be expected of the sender any more: it has sent its Close, or what is no frame, or has gone.
    pub(in crate::tunnel) fn is_done(&self) -> bool {
        self.from_sender.is_some() || self.refusal.is_some() || self.gone
    }

    pub(in crate::tunnel) fn sender_is_gone(&mut self) {
        self.gone = true;
    }

    /// Whether a Close of the tunnel's own has gone out.
    pub(in crate::tunnel) fn has_own_close(&self) -> bool {
        self.sent.is_some()
    }

    /// Why what the sender sends does not go on any more.
    pub(in crate::tunnel) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// How many bytes of the sender's are among so many that were taken.
    pub(in crate::tunnel) fn of_sender(&self, delivered: u64) -> u64 {
        delivered.saturating_sub(self.account.injected_among(delivered))
    }

    /// When a ping was last sent in this direction, if that was later.
    fn pinged_after(&self, last_read_at: Instant) -> Option<Instant> {
        self.pinged_at.filter(|at| *at > last_read_at)
    }

    /// When the last ping in this direction was sent, if the time of its answer says something.
    fn timed_ping(&self) -> Option<Instant> {
        self.pinged_at.filter(|_| self.is_ping_timed)
    }

    /// What the direction has come to.
    pub(in crate::tunnel) fn view(&self) -> Frames {
        Frames {
            is_closed: self.is_closed(),
            has_sender_closed: self.from_sender.is_some(),
            is_done: self.is_done(),
            has_own_close: self.has_own_close(),
            can_close_abnormally: self.can_close_abnormally(),
            awaits_place: self.awaits_place(),
            has_queued: self.queued.is_some(),
            waits_until: self.waits_until.map(Instant::into_std),
            last_read_at: self.last_read_at.into_std(),
            pinged_at: self.pinged_at.map(Instant::into_std),
        }
    }

    /// A ping for the sender, to be sent in the other direction.
    fn ping(&mut self) -> Option<ControlFrame> {
        self.pings.next()
    }
}
