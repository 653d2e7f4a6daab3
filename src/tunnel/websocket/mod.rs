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
mod rare;
mod round_trips;
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
pub(in crate::tunnel) use config::WebSocketSettings;
pub use counts::FrameCounts;
pub(in crate::tunnel) use counts::{Counted, Counts, Tally};
pub use end_request::EndRequest;
pub(in crate::tunnel) use injected::Injected;
use limits::Limiter;
pub use limits::{MessageLimit, MessageLimits, Rate};
use output::Output;
pub(in crate::tunnel) use output::Piece;
use rare::{Extra, Lazy, Rare};
pub use round_trips::RoundTrips;
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
    /// When something was last read from the sender.
    last_read_at: Instant,
    settings: Arc<WebSocketSettings>,
    /// All that has been handed on.
    handed: u64,
    extra: Lazy<Extra>,
    /// What was counted of the sender's messages, as long as they are of one kind.
    tally: Tally,
    /// The message that has begun is binary.
    is_binary: bool,
    /// The data frame that began last is a large one.
    is_large: bool,
    /// How much of its header is still to go out, where it was looked at before it was read.
    unread_header: u8,
    /// Nobody waits for the sender any more.
    gone: bool,
}

impl Framed {
    pub(in crate::tunnel) fn new(sender: Side, now: Instant, config: &WebSocketConfig) -> Self {
        let reserved_bits = config.allowed_reserved_bits().unwrap_or_default();
        let settings = config.settings();
        let mut extra = Lazy::NOTHING;
        if let Some(limits) = settings.limits_of(sender) {
            let extra: &mut Extra = &mut extra;
            extra.rare.limiter = Some(Box::new(Limiter::new(*limits, now.into_std())));
        }
        Framed {
            scanner: FrameScanner::new(sender)
                .reserved_bits(reserved_bits)
                .permessage_deflate(config.has_permessage_deflate()),
            last_read_at: now,
            settings: Arc::clone(settings),
            handed: 0,
            extra,
            tally: Tally::default(),
            is_binary: false,
            is_large: false,
            unread_header: 0,
            gone: false,
        }
    }

    pub(in crate::tunnel) fn settings(&self) -> &WebSocketSettings {
        &self.settings
    }

    fn rare(&self) -> &Rare {
        &self.extra.rare
    }

    fn rare_mut(&mut self) -> Option<&mut Rare> {
        self.extra.get_mut()?.rare.get_mut()
    }

    /// Holds back what has to wait. None of it takes no memory.
    fn hold(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.extra.rare.held = Some(bytes);
        }
    }

    fn take_held(&mut self) -> Bytes {
        self.rare_mut()
            .and_then(|rare| rare.held.take())
            .unwrap_or_default()
    }

    /// Whether data frames go on as they come, and nothing else is to be done.
    pub(in crate::tunnel) fn is_plain(&self) -> bool {
        self.extra.get().is_none_or(Extra::is_plain)
    }

    /// What goes out of what was read, and was read behind what is held: mostly all of it, as it is.
    ///
    /// To be called when everything that came out before has been taken or is going to be.
    pub(in crate::tunnel) fn pass<'a>(&mut self, now: Instant, read: &'a [u8]) -> Piece<'a> {
        let passed = self.pass_plain(now, read);
        self.pass_rest(now, read, passed)
    }

    /// How much of what was read is data frames that go on [as they come](Framed::is_plain): mostly all of it. They are counted. The
    /// [rest](Framed::pass_rest) is looked at in another way.
    pub(in crate::tunnel) fn pass_plain(&mut self, now: Instant, read: &[u8]) -> usize {
        self.last_read_at = now;
        if self.unread_header > 0 || !self.is_plain() {
            return 0;
        }
        let mut at = 0;
        let of_last = self.scanner.take_payload(read);
        if of_last > 0 {
            self.count_payload(of_last);
            at = of_last;
        }
        while let Some((header, length)) = self.scanner.take_data_header(&read[at..]) {
            self.count_frame(&header);
            self.note_length(header.payload_length);
            at += length;
            let payload = self.scanner.take_payload(&read[at..]);
            self.count_payload(payload);
            at += payload;
        }
        if at == read.len() {
            self.handed += at as u64;
        }
        at
    }

    /// What goes out of what was read, of which so much has [passed](Framed::pass_plain).
    pub(in crate::tunnel) fn pass_rest<'a>(
        &mut self,
        now: Instant,
        read: &'a [u8],
        passed: usize,
    ) -> Piece<'a> {
        if passed > 0 && passed == read.len() {
            return Piece::Lent(read);
        }
        if self.rare().refusal.is_some() || self.rare().from_sender.is_some() {
            return Piece::NOTHING;
        }
        if let Some(rare) = self.rare_mut() {
            rare.waits_until = None;
        }
        let read = Piece::behind(self.take_held(), read);
        let mut output = Output::default();
        // After the tunnel's own Close it is only read for the sender's.
        let mut end = self.has_injected_close().then_some(0);
        let mut at = passed;
        at += self.pass_unread_header(&read, &mut output);
        // One frame of the tunnel's own for each read.
        let mut may_insert = self.has_next();
        loop {
            if self.can_inject() {
                let frame = self.take_queued(now);
                self.note_injected(output.length(at), frame.len());
                output.insert(&read, at, &frame);
                if self.has_injected_close() {
                    end = Some(at);
                }
                may_insert = false;
            }
            if may_insert && end.is_none() {
                if let Some(frame) = self.take_next() {
                    self.note_injected(output.length(at), frame.len());
                    output.insert(&read, at, &frame);
                    may_insert = false;
                }
            }
            if self.is_interrupted() {
                self.hold(read.rest(at));
                break;
            }
            let before = self.rare().limiter.as_ref().map(|_| self.scanner.clone());
            let piece = self.next_piece(now, &read[at..]);
            match self.scanner.advance(piece) {
                Ok(None) => {
                    self.hold(read.rest(at));
                    break;
                }
                Ok(Some((length, scanned))) => {
                    if let (Some(before), false) = (before, self.is_allowed(now, &scanned, length)) {
                        self.scanner = before;
                        if self.waits_until().is_some() {
                            self.hold(read.rest(at));
                        }
                        break;
                    }
                    self.count(&scanned, length);
                    match scanned {
                        Scanned::Control(frame) if frame.opcode() == OpCode::Close => {
                            self.extra.rare.from_sender = Some(Box::new(CloseFrame::read(frame.payload())));
                            if self.awaits_place() {
                                output.leave_out(&read, at, length);
                                let frame = self.take_queued(now);
                                self.note_injected(output.length(at + length), frame.len());
                                output.insert(&read, at + length, &frame);
                            }
                            at += length;
                            break;
                        }
                        Scanned::Control(frame)
                            if end.is_none() && self.extra.pings.are_answered_by(&frame) =>
                        {
                            output.leave_out(&read, at, length);
                        }
                        Scanned::Header(header) => {
                            self.note_length(header.payload_length);
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
                    self.extra.rare.refusal = Some(Refusal::Frame(error));
                    self.close_now();
                    break;
                }
            }
        }
        let output = output.finish(read, end.unwrap_or(at));
        self.handed += output.len() as u64;
        output
    }

    /// What is [held back](Framed::holds_back), and will not be completed.
    pub(in crate::tunnel) fn release(&mut self) -> Bytes {
        let mut held = self.take_held();
        if self.keeps_held() {
            held.clear();
        }
        self.handed += held.len() as u64;
        held
    }

    /// Whether there are bytes of the sender's that belong out and are not. Nothing follows a Close, not even those: there they
    /// are the beginning of what the sender answers.
    pub(in crate::tunnel) fn holds_back(&self) -> bool {
        self.rare().held.is_some() && !self.is_closed() && !self.keeps_held()
    }

    /// Whether a Close has gone out in this direction, a peer's or our own.
    pub(in crate::tunnel) fn is_closed(&self) -> bool {
        self.rare().sent.is_some() || self.rare().from_sender.is_some()
    }

    /// Whether nothing is to be expected of the sender any more: it has sent its Close, or what is no frame, or has gone.
    pub(in crate::tunnel) fn is_done(&self) -> bool {
        self.rare().from_sender.is_some() || self.rare().refusal.is_some() || self.gone
    }

    pub(in crate::tunnel) fn sender_is_gone(&mut self) {
        self.gone = true;
    }

    /// Whether a Close of the tunnel's own has gone out.
    pub(in crate::tunnel) fn has_injected_close(&self) -> bool {
        self.rare().sent.is_some()
    }

    /// Why what the sender sends does not go on any more.
    pub(in crate::tunnel) fn refusal(&self) -> Option<Refusal> {
        self.rare().refusal
    }

    /// How many bytes of the sender's are among so many that were taken.
    pub(in crate::tunnel) fn of_sender(&self, delivered: u64) -> u64 {
        delivered.saturating_sub(self.extra.insertions.among(delivered))
    }

    /// When a ping was last sent in this direction, if that was later.
    fn pinged_after(&self, last_read_at: Instant) -> Option<Instant> {
        self.extra.get()?.pinged_at.filter(|at| *at > last_read_at)
    }

    /// When the last ping in this direction was sent, if the time of its answer says something.
    fn timed_ping(&self) -> Option<Instant> {
        self.extra.pinged_at.filter(|_| self.extra.is_ping_timed)
    }

    /// What the direction has come to.
    pub(in crate::tunnel) fn view(&self) -> Frames {
        let (extra, rare) = (&*self.extra, self.rare());
        Frames {
            is_closed: self.is_closed(),
            has_sender_closed: rare.from_sender.is_some(),
            is_done: self.is_done(),
            has_injected_close: self.has_injected_close(),
            can_close_abnormally: self.can_close_abnormally(),
            awaits_place: self.awaits_place(),
            has_queued: extra.queued.is_some(),
            waits_until: rare.waits_until.map(Instant::into_std),
            last_read_at: self.last_read_at.into_std(),
            pinged_at: extra.pinged_at.map(Instant::into_std),
            before_ping: u64::from(extra.before_ping) * 1024,
        }
    }

    /// A ping for the sender, to be sent in the other direction.
    fn ping(&mut self) -> Option<ControlFrame> {
        self.extra.pings.next()
    }
}
