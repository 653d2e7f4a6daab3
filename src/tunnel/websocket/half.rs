//! What a direction does about frames, if it knows them: the one place where bytes and frames meet.
//!
//! Of a direction of bytes it knows only that there is nothing to be done.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{Framed, Injected, Piece, WebSocketConfig, WebSocketSettings};
use crate::side::Side;
use crate::tunnel::engine::half::{self, Half};
use crate::tunnel::engine::outlet::{Failure, Turn};
use crate::tunnel::engine::scratch::{SCRATCH_SIZE, Scratch};
use crate::tunnel::stream::socket::Carried;

impl Half {
    /// From now on it knows the frames that `sender` sends.
    pub(in crate::tunnel) fn frame(&mut self, sender: Side, now: Instant, config: &WebSocketConfig) {
        self.framed = Some(Box::new(Framed::new(sender, now, config)));
    }

    pub(in crate::tunnel) fn framed(&self) -> Option<&Framed> {
        self.framed.as_deref()
    }

    /// How it treats its frames, if it knows them.
    pub(in crate::tunnel) fn websocket(&self) -> Option<&WebSocketSettings> {
        self.framed().map(Framed::settings)
    }

    /// Whether what is read goes on as it is, and nothing else is to be done before the next read.
    pub(in crate::tunnel) fn is_plain(&self) -> bool {
        !self.outlet.is_blocked() && self.framed().is_none_or(Framed::is_plain)
    }

    /// Whether the writer has been sent a ping, and `answers`, which it sends, have not shown that it is there.
    pub(in crate::tunnel) fn awaits_pong(&self, answers: &Half) -> bool {
        let (Some(pings), Some(answers)) = (self.framed(), answers.framed()) else {
            return false;
        };
        pings.pinged_after(answers.last_read_at).is_some()
    }

    /// Bytes of the reader's that the writer has accepted.
    pub(in crate::tunnel) fn delivered(&self) -> u64 {
        let delivered = self.outlet.delivered();
        match &self.framed {
            None => delivered,
            Some(framed) => framed.of_sender(delivered),
        }
    }

    /// What goes out of bytes that were read before the tunnel.
    pub(in crate::tunnel) fn framed_leftovers(&mut self, leftovers: Bytes) -> Bytes {
        let now = self.outlet.moved_at();
        let Some(framed) = &mut self.framed else {
            return leftovers;
        };
        match framed.pass(now, &leftovers) {
            Piece::Lent(bytes) => leftovers.slice_ref(bytes),
            Piece::Kept(bytes) => bytes,
        }
    }

    /// Writes out what goes on of what was read.
    pub(in crate::tunnel) fn write_frames<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
        read: &[u8],
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        let Some(framed) = &mut self.framed else {
            return Ok(Turn::Again);
        };
        let passed = framed.pass_plain(now, read);
        if passed > 0 && passed == read.len() {
            return self.outlet.write_out(cx, now, writer, read);
        }
        let bytes = framed.pass_rest(now, read, passed);
        if bytes.is_empty() {
            // The answer to a ping has moved nothing on, and yet the tunnel is not idle.
            if !framed.is_closed() {
                self.outlet.touch(now);
            }
            return Ok(Turn::Again);
        }
        match bytes {
            Piece::Lent(bytes) => self.outlet.write_out(cx, now, writer, bytes),
            Piece::Kept(bytes) => self.outlet.write_owned(cx, now, writer, bytes),
        }
    }

    /// How many bytes are read at once. Between two large frames only enough to see how long the next one is: the rest of it
    /// is better spliced.
    pub(in crate::tunnel) fn room(&self) -> usize {
        match &self.framed {
            Some(framed) if self.mode.is_splice() => framed.room().min(SCRATCH_SIZE),
            _ => SCRATCH_SIZE,
        }
    }

    pub(in crate::tunnel) fn note_spliced(&mut self, now: Instant, count: usize) {
        if let Some(framed) = &mut self.framed {
            framed.skip(now, count);
        }
    }

    /// The reader has given all that it had: the writer's side is sent a Close if that was none.
    pub(in crate::tunnel) fn sender_has_ended(&mut self) {
        if let Some(framed) = &mut self.framed {
            framed.sender_has_ended();
        }
    }

    /// Nothing more is to be expected of the reader.
    pub(in crate::tunnel) fn forget_sender(&mut self) {
        if let Some(framed) = &mut self.framed {
            framed.sender_is_gone();
        }
    }

    pub(in crate::tunnel) fn queue(&mut self, frame: Injected) {
        if let Some(framed) = &mut self.framed {
            framed.queue(frame);
        }
    }

    /// Nobody waits for the reader's Close any more.
    pub(in crate::tunnel) fn close_now(&mut self) {
        if let Some(framed) = &mut self.framed {
            framed.close_now();
        }
    }

    pub(in crate::tunnel) fn can_inject(&self) -> bool {
        self.framed.as_ref().is_some_and(|framed| framed.can_inject())
    }

    /// Whether it has met what is no frame, and no Close has gone out: nothing more is read until then, also not that
    /// the reader has ended, or there would be no more place for a Close.
    pub(in crate::tunnel) fn is_violated(&self) -> bool {
        self.framed
            .as_ref()
            .is_some_and(|framed| framed.refusal().is_some() && !framed.is_closed())
    }

    /// Until when nothing is read, because a frame waits for its rate.
    pub(in crate::tunnel) fn waits_until(&self) -> Option<Instant> {
        self.framed().and_then(Framed::waits_until)
    }

    /// The frame that waits for its rate goes on if the rate has room for it.
    pub(in crate::tunnel) fn resume<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        match self.waits_until() {
            Some(at) if now < at => self.flush_and_wait(cx, now, writer),
            _ => self.write_frames(cx, now, writer, &[]),
        }
    }

    /// Nothing more goes out for now: a writer that buffers is to send what it has.
    fn flush_and_wait<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        if !self.outlet.is_unflushed() {
            return Ok(Turn::Wait);
        }
        match self.outlet.flush(cx, now, writer)? {
            Turn::Again if self.outlet.is_unflushed() => Ok(Turn::Again),
            _ => Ok(Turn::Wait),
        }
    }

    /// Sends a frame of the tunnel's own.
    pub(in crate::tunnel) fn inject<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        let frame = self.framed.as_mut().map(|framed| framed.inject(now).into());
        self.write_injected(cx, now, writer, frame)
    }

    /// Moves what the caller has decided and what it sends. None if there is nothing of that.
    pub(in crate::tunnel) fn move_injected<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
    ) -> Result<Option<Turn>, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        let Some(framed) = &mut self.framed else {
            return Ok(None);
        };
        let Some(bytes) = framed.poll_injected(cx, now) else {
            return match framed.is_paused() {
                true => self.flush_and_wait(cx, now, writer).map(Some),
                false => Ok(None),
            };
        };
        self.write_injected(cx, now, writer, Some(bytes)).map(Some)
    }

    /// No message of the caller's own has a place any more.
    pub(in crate::tunnel) fn close_inbox(&mut self) {
        if let Some(framed) = &mut self.framed {
            framed.close_inbox();
        }
    }

    /// Whether the caller decides or sends something here.
    pub(in crate::tunnel) fn has_injected(&self) -> bool {
        self.framed.as_ref().is_some_and(|framed| framed.has_injected())
    }

    /// Whether nothing is read until somebody has decided.
    pub(in crate::tunnel) fn is_paused(&self) -> bool {
        self.framed.as_ref().is_some_and(|framed| framed.is_paused())
    }

    /// Whether some of what was read before has still to go out.
    pub(in crate::tunnel) fn is_interrupted(&self) -> bool {
        self.framed.as_ref().is_some_and(|framed| framed.has_rest())
    }

    pub(in crate::tunnel) fn holds_back(&self) -> bool {
        self.framed.as_ref().is_some_and(|framed| framed.holds_back())
    }

    /// The reader has ended in the middle of a header. As much of it goes on as there is: whatever else is cut short goes on, too.
    pub(in crate::tunnel) fn release<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        let held = self.framed.as_mut().map(|framed| framed.release());
        self.write_injected(cx, now, writer, held)
    }

    /// Reads on for the Close of the reader, where nothing else is read any more.
    pub(in crate::tunnel) fn read_answer<R: Carried>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
        reader: &mut R,
    ) {
        if !self.has_stopped() {
            return;
        }
        let has_ended = self.has_ended();
        let Some(framed) = &mut self.framed else { return };
        let mut has_rest = framed.waits_until().is_some();
        if has_ended {
            // Nothing goes out there any more: nobody decides about what is only looked through for the Close, and nothing is kept.
            has_rest |= framed.has_rest();
            framed.forget_injected();
        }
        if has_rest {
            // No rate holds any more for what is only looked through for the Close.
            framed.stop_waiting(now);
            framed.look_through(now, &[]);
        }
        for _ in 0..half::TURNS {
            if framed.is_done() {
                return;
            }
            let mut buffer = ReadBuf::new(scratch.bytes());
            match Pin::new(&mut *reader).poll_read(cx, &mut buffer) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    framed.look_through(now, buffer.filled());
                }
                Poll::Ready(_) => framed.sender_is_gone(),
            }
        }
        half::yield_to_the_thread(cx);
    }

    fn write_injected<W>(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        writer: &mut W,
        bytes: Option<Bytes>,
    ) -> Result<Turn, Failure>
    where
        W: AsyncWrite + Unpin + Any,
    {
        match bytes {
            Some(bytes) if !bytes.is_empty() => self.outlet.write_owned(cx, now, writer, bytes),
            _ => Ok(Turn::Again),
        }
    }
}
