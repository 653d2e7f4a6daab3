//! A direction that a caller takes part in: its tap decides about the sender's messages, its handle puts messages between them.
//!
//! The one place where frames and decisions meet. It must not know what is decided, nor by whom.

use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Instant;

use super::output::Output;
use super::tap::{Denial, Outgoing, Screen, Step, frame};
use super::{Framed, Inbox, Inboxes, Injected, MessageInjector, Tap, Tapped};
use crate::side::Side;
use crate::tunnel::end::End;
use crate::tunnel::engine::Engine;
use crate::websocket::{CloseFrame, FrameHeader, OpCode};

/// What the caller has in one direction.
#[derive(Default)]
pub(super) struct Own {
    screen: Option<Screen>,
    inbox: Option<Inbox>,
    /// A message that waits for its place.
    next: Option<(OpCode, Bytes)>,
    /// The receiver is to be sent a ping.
    wants_ping: bool,
    /// What is [held](Framed::held) has not been looked at yet.
    is_interrupted: bool,
}

impl Own {
    /// Under this tap, and without a queue of the caller's own.
    #[cfg(test)]
    pub(super) fn under(tap: Tap, sender: Side) -> Self {
        Own {
            screen: Some(Screen::new(Tapped::new(tap), sender)),
            ..Own::default()
        }
    }

    /// Whether a message of the caller's own may come that waits for a place.
    pub(super) fn may_send(&self) -> bool {
        self.inbox.is_some() || self.next.is_some()
    }
}

impl Framed {
    fn own_mut(&mut self) -> Option<&mut Own> {
        self.rare_mut()?.own.as_deref_mut()
    }

    fn screen_mut(&mut self) -> Option<&mut Screen> {
        self.own_mut()?.screen.as_mut()
    }

    fn screen(&self) -> Option<&Screen> {
        self.rare().own.as_ref()?.screen.as_ref()
    }

    pub(super) fn screen_header(
        &mut self,
        header: &FrameHeader,
        read: &[u8],
        at: usize,
        length: usize,
        output: &mut Output,
    ) {
        let screen = self.screen_mut();
        if let Some(screen) = screen {
            let step = screen.header(header, &read[at..at + length]);
            follow(step, read, at, length, output);
        }
    }

    pub(super) fn screen_payload(&mut self, read: &[u8], at: usize, length: usize, output: &mut Output) {
        let ends = self.scanner.is_at_boundary();
        let screen = self.screen_mut();
        if let Some(screen) = screen {
            let step = screen.piece(&read[at..at + length], ends);
            follow(step, read, at, length, output);
        }
    }

    pub(super) fn screen_skipped(&mut self) {
        let ends = self.scanner.is_at_boundary();
        if let Some(screen) = self.screen_mut() {
            screen.skipped(ends);
        }
    }

    /// How much of what was read is looked at next.
    pub(super) fn next_piece<'a>(&mut self, now: Instant, read: &'a [u8]) -> &'a [u8] {
        if self.scanner.is_at_boundary() {
            return read;
        }
        let at_once = self.screen().and_then(Screen::inflates_at_once);
        let most = match self.payload_room(now) {
            // None of it goes on, and the limits say until when.
            0 => usize::MAX,
            room => room,
        };
        &read[..read.len().min(most).min(at_once.unwrap_or(usize::MAX))]
    }

    /// Whether the rest of what was read waits: for its next turn, or for a decision.
    pub(super) fn is_interrupted(&mut self) -> bool {
        let is_enough = self.screen_mut().is_some_and(Screen::has_inflated_enough);
        let waits = is_enough || self.is_paused();
        if let Some(own) = self.own_mut() {
            own.is_interrupted = waits;
        }
        waits
    }

    /// Whether what was read waits until something else has gone out.
    pub(in crate::tunnel) fn has_rest(&self) -> bool {
        self.rare().own.as_ref().is_some_and(|own| own.is_interrupted)
    }

    /// Whether payload may go on unseen.
    pub(super) fn may_be_unseen(&self) -> bool {
        self.screen().is_none_or(Screen::may_skip)
    }

    /// Whether what has gone out ends between two frames.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.scanner.is_at_boundary() || self.leaves_out()
    }

    /// Whether what comes of the message that has begun does not go out as it comes.
    pub(super) fn leaves_out(&self) -> bool {
        self.screen().is_some_and(Screen::leaves_out)
    }

    fn is_between_messages(&self) -> bool {
        self.is_at_boundary()
            && match self.screen() {
                Some(screen) => !screen.is_within_message(),
                None => !self.scanner.is_in_message(),
            }
    }

    /// Whether what is held back is not to go out as it is.
    pub(super) fn keeps_held(&self) -> bool {
        self.has_rest() || self.screen().is_some_and(Screen::leaves_out)
    }

    /// Whether nothing is read: somebody decides, or the tunnel is to end because of what was read.
    pub(in crate::tunnel) fn is_paused(&self) -> bool {
        let Some(screen) = self.screen() else { return false };
        !self.is_closed() && (screen.is_undecided() || screen.is_refused() && self.is_at_boundary())
    }

    /// What the caller has in this direction ends.
    pub(super) fn forget_injected(&mut self) {
        if let Some(rare) = self.rare_mut() {
            rare.own = None;
        }
    }

    pub(in crate::tunnel) fn has_injected(&self) -> bool {
        self.rare().own.is_some()
    }

    /// What goes out that is not read now: by a decision that has been made, of the caller's own, or of what was read before. None
    /// if there is none, and then the task is woken when there is.
    pub(in crate::tunnel) fn poll_injected(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<Bytes> {
        if self.is_closed() {
            self.close_inbox();
            // Nothing may follow the tunnel's Close (RFC 6455, section 5.5.1): what the decision is about has no place any more.
            let screen = self.screen_mut();
            screen.into_iter().for_each(Screen::forget_undecided);
        }
        let injected = self.poll_inbox(cx);
        if injected.is_some() {
            return injected;
        }
        let own = self.own_mut()?;
        if let Some(screen) = own.screen.as_mut().filter(|screen| screen.is_undecided()) {
            let Poll::Ready(bytes) = screen.poll_decision(cx) else {
                return None;
            };
            self.handed += bytes.len() as u64;
            return Some(bytes.into());
        }
        if own.is_interrupted && !self.is_paused() {
            return Some(self.pass(now, &[]).into_bytes());
        }
        None
    }

    /// From now on the caller's messages are refused: they have no place.
    pub(in crate::tunnel) fn close_inbox(&mut self) {
        if let Some(own) = self.own_mut() {
            (own.inbox, own.next) = (None, None);
        }
    }

    /// Whether a message of the caller's waits for a place.
    pub(super) fn has_next(&self) -> bool {
        self.rare().own.as_ref().is_some_and(|own| own.next.is_some())
    }

    /// The message of the caller's that waits, if there is a place for it: between two reads there may never be one.
    pub(super) fn take_next(&mut self) -> Option<Vec<u8>> {
        let has_place = self.is_between_messages() && !self.is_closed() && !self.awaits_place();
        let (opcode, payload) = self.own_mut()?.next.take_if(|_| has_place)?;
        Some(frame(self.scanner.sender(), opcode, true, &payload))
    }

    fn poll_inbox(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        let has_place = self.is_between_messages();
        let own = self.own_mut()?;
        while own.next.is_none() {
            match own.inbox.as_mut()?.poll_recv(cx) {
                Poll::Pending => return None,
                Poll::Ready(None) => own.inbox = None,
                Poll::Ready(Some(Outgoing::Ping)) => own.wants_ping = true,
                Poll::Ready(Some(Outgoing::Message(opcode, payload))) => own.next = Some((opcode, payload)),
            }
        }
        let (opcode, payload) = own.next.take_if(|_| has_place)?;
        let bytes = frame(self.scanner.sender(), opcode, true, &payload);
        self.note_injected(0, bytes.len());
        self.handed += bytes.len() as u64;
        Some(bytes.into())
    }
}

fn follow(step: Step, read: &[u8], at: usize, length: usize, output: &mut Output) {
    match step {
        Step::Keep => {}
        Step::LeaveOut => output.leave_out(read, at, length),
        Step::Replace(bytes) => {
            output.leave_out(read, at, length);
            output.insert_owned(read, at + length, bytes);
        }
    }
}

impl Engine {
    /// From now on the caller decides and sends.
    pub(in crate::tunnel) fn tap(&mut self, tap: Option<Tap>, injected: Option<(MessageInjector, Inboxes)>) {
        let (injector, inboxes) = injected.unwrap_or_else(MessageInjector::new);
        let tapped = tap.map(|mut tap| {
            tap.tap.start(&injector);
            Tapped::new(tap)
        });
        drop(injector);
        let inboxes = [inboxes.to_upstream, inboxes.to_downstream];
        for (side, inbox) in [Side::Downstream, Side::Upstream].into_iter().zip(inboxes) {
            let Some(framed) = &mut self.half_mut(side).framed else {
                continue;
            };
            framed.extra.rare.own = Some(Box::new(Own {
                screen: tapped.clone().map(|tapped| Screen::new(tapped, side)),
                inbox: Some(inbox),
                ..Own::default()
            }));
        }
    }

    /// Does what a caller wants because of what `side` has sent, or of that side's direction. True if there is something else to
    /// move now.
    pub(in crate::tunnel) fn follow_wishes(&mut self, side: Side, now: Instant) -> bool {
        let own = self
            .half_mut(side)
            .framed
            .as_mut()
            .and_then(|framed| framed.own_mut());
        let Some(own) = own else { return false };
        let wants_ping = std::mem::take(&mut own.wants_ping);
        let denial = own.screen.as_mut().and_then(Screen::take_denial);
        if wants_ping {
            self.queue_ping(!side);
        }
        let Some(denial) = denial else { return wants_ping };
        let end = End::Refused { side };
        match denial {
            Denial::Both(request) => self.end(end, &request),
            Denial::Sender(close) => self.refuse(side, end, close, now),
        }
        // A tunnel that ends already sends no Close for this, and nothing more of this side's goes on.
        if !self.lifecycle.is_closing() && !self.half(side).has_stopped() {
            self.half_mut(side).stop();
        }
        true
    }

    fn refuse(&mut self, side: Side, end: End, close: CloseFrame, now: Instant) {
        if self
            .on(crate::tunnel::lifecycle::Event::EndWanted(end), now)
            .is_changed
        {
            self.half_mut(!side).queue(Injected::Close(close));
        }
    }
}
