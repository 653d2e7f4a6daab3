//! The receiving half of a stream: what waits to be read waits as bytes, not as frames, and the upstream may send as
//! much again when enough of it has been read.
//!
//! h2 keeps each DATA frame by itself, at some 256 bytes besides its own. An upstream that sends messages of a few bytes to
//! a client that does not read would fill a window of 64 KiB with megabytes of them. So frames are taken out of h2 as they
//! come: by the tunnel if it waits for them, and otherwise by the task that drives the connection.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::{Buf, Bytes, BytesMut};
use h2::RecvStream;
use http::HeaderMap;
use tokio::io::ReadBuf;

use super::driven::Driven;
use super::failure::stream_failed;

/// The frames of one stream, on their way out of h2.
#[derive(Debug)]
pub(super) struct Frames {
    state: Mutex<State>,
    /// Who waits for bytes. Never held while h2 is called, for h2 calls in here.
    reader: Mutex<Option<Waker>>,
    /// h2 had nothing when it was last asked, and has not said that there is something since.
    is_quiet: AtomicBool,
    driven: Arc<Driven>,
}

#[derive(Debug)]
struct State {
    /// None when nobody will read it.
    stream: Option<RecvStream>,
    bytes: BytesMut,
    end: Option<End>,
    /// What has been read, and h2 has not been given back.
    kept_back: usize,
    most_kept_back: usize,
}

#[derive(Debug)]
enum End {
    InOrder,
    /// Taken by the reader of bodies.
    Trailers(HeaderMap),
    /// An error that has been reported already is reported again by its kind.
    Failed(io::ErrorKind, Option<io::Error>),
}

/// The receiving half. Dropping it forgets what has not been read.
#[derive(Debug)]
pub(super) struct Inbox {
    frames: Arc<Frames>,
    /// Calls in at the frames.
    waker: Waker,
}

/// What comes next.
pub(super) enum Next {
    Bytes,
    End,
    /// The end, and trailers with it.
    Trailers,
}

/// What comes next of a body.
pub(super) enum Part {
    Bytes(Bytes),
    Trailers(HeaderMap),
    End,
}

impl Inbox {
    pub(super) fn new(stream: RecvStream, driven: Arc<Driven>) -> Self {
        let state = State {
            stream: Some(stream),
            bytes: BytesMut::new(),
            end: None,
            kept_back: 0,
            most_kept_back: driven.most_kept_back(),
        };
        let frames = Arc::new(Frames {
            state: Mutex::new(state),
            reader: Mutex::default(),
            is_quiet: AtomicBool::new(false),
            driven,
        });
        let waker = Waker::from(frames.clone());
        Inbox { frames, waker }
    }

    pub(super) fn poll_read(&self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<Next>> {
        let mut state = lock(&self.frames.state);
        let before = into.filled().len();
        if !state.bytes.is_empty() {
            state.hand_out(into);
        }
        while state.bytes.is_empty() && into.remaining() > 0 {
            let has_some = into.filled().len() > before;
            match self.next_frame(&mut state, cx, !has_some) {
                Some(frame) if frame.len() <= into.remaining() => {
                    into.put_slice(&frame);
                    state.give_back(frame.len());
                }
                Some(frame) => {
                    state.bytes.extend_from_slice(&frame);
                    state.hand_out(into);
                }
                None => break,
            }
        }
        if into.filled().len() > before {
            return Poll::Ready(Ok(Next::Bytes));
        }
        state.poll_end().map_ok(|end| match end {
            true => Next::Trailers,
            false => Next::End,
        })
    }

    /// The next bytes of a body as they came, or its end.
    pub(super) fn poll_part(&self, cx: &mut Context<'_>) -> Poll<io::Result<Part>> {
        let mut state = lock(&self.frames.state);
        let bytes = match state.bytes.is_empty() {
            true => self.next_frame(&mut state, cx, true),
            false => Some(state.bytes.split().freeze()),
        };
        if let Some(bytes) = bytes {
            state.give_back(bytes.len());
            return Poll::Ready(Ok(Part::Bytes(bytes)));
        }
        if let Some(End::Trailers(trailers)) = &mut state.end {
            let trailers = std::mem::take(trailers);
            state.end = Some(End::InOrder);
            return Poll::Ready(Ok(Part::Trailers(trailers)));
        }
        state.poll_end().map_ok(|_| Part::End)
    }

    /// Whether nothing comes any more.
    pub(super) fn is_at_end(&self) -> bool {
        let state = lock(&self.frames.state);
        let over = match &state.end {
            Some(End::InOrder) => true,
            Some(_) => false,
            None => state.stream.as_ref().is_some_and(RecvStream::is_end_stream),
        };
        over && state.bytes.is_empty()
    }

    /// A frame that is not empty. None at the end, or if there is none; if that is waited for, the task of this context is
    /// woken by the next.
    fn next_frame(&self, state: &mut State, cx: &mut Context<'_>, waits: bool) -> Option<Bytes> {
        let frames = &self.frames;
        loop {
            if !frames.is_quiet.load(Ordering::Relaxed) {
                let frame = frames.next_frame(state, &self.waker);
                if frame.is_some() {
                    return frame;
                }
            }
            if !waits || state.end.is_some() {
                return None;
            }
            match &mut *lock(&frames.reader) {
                Some(reader) => reader.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            // Behind the lock: h2 has called in before, which is seen here, or finds the waker.
            if frames.is_quiet.load(Ordering::Relaxed) {
                return None;
            }
            // It is known while it waits, and no longer: a frame that wakes a task that does not read is drained by nobody.
            *lock(&frames.reader) = None;
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // h2 keeps a waker that keeps the frames: the stream has to go by itself.
        let mut state = lock(&self.frames.state);
        let stream = state.stream.take();
        drop(state);
        drop(stream);
    }
}

impl State {
    /// Whether trailers have come with the end, when there is one.
    fn poll_end(&mut self) -> Poll<io::Result<bool>> {
        match &mut self.end {
            None => Poll::Pending,
            Some(End::Failed(kind, error)) => {
                Poll::Ready(Err(error.take().unwrap_or_else(|| (*kind).into())))
            }
            Some(End::Trailers(_)) => Poll::Ready(Ok(true)),
            Some(End::InOrder) => Poll::Ready(Ok(false)),
        }
    }

    fn hand_out(&mut self, into: &mut ReadBuf<'_>) {
        let count = self.bytes.len().min(into.remaining());
        into.put_slice(&self.bytes[..count]);
        self.bytes.advance(count);
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
        self.give_back(count);
    }

    /// The other end may send as much again. h2 sends a WINDOW_UPDATE for a third of a window, so a small message need not be given
    /// back by itself.
    fn give_back(&mut self, count: usize) {
        self.kept_back += count;
        if self.kept_back <= self.most_kept_back {
            return;
        }
        let count = std::mem::take(&mut self.kept_back);
        if let Some(stream) = &mut self.stream {
            // It fails if more is given back than was taken, which is not so.
            let _ = stream.flow_control().release_capacity(count);
        }
    }

    /// Takes one frame out of h2, unless there is none or the end has come.
    fn next_frame(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        while let (Some(stream), None) = (&mut self.stream, &self.end) {
            match stream.poll_data(cx) {
                Poll::Pending => return None,
                Poll::Ready(Some(Ok(frame))) if frame.is_empty() => {}
                Poll::Ready(Some(Ok(frame))) => return Some(frame),
                Poll::Ready(Some(Err(error))) => self.end = Some(failed(error)),
                Poll::Ready(None) => {
                    self.end = match stream.poll_trailers(cx) {
                        Poll::Ready(Ok(Some(trailers))) => Some(End::Trailers(trailers)),
                        Poll::Ready(Ok(None)) => Some(End::InOrder),
                        Poll::Ready(Err(error)) => Some(failed(error)),
                        Poll::Pending => return None,
                    }
                }
            }
        }
        None
    }
}

impl Frames {
    /// Takes one frame out of h2, unless there is none or the end has come.
    fn next_frame(&self, state: &mut State, waker: &Waker) -> Option<Bytes> {
        // Before h2 is asked: it may call in here as soon as it has the waker.
        self.is_quiet.store(true, Ordering::Relaxed);
        let frame = state.next_frame(&mut Context::from_waker(waker));
        if frame.is_some() {
            self.is_quiet.store(false, Ordering::Relaxed);
        }
        frame
    }

    /// Takes out of h2 what is there, up to the end, and wakes the reader if it waits.
    pub(super) fn drain(self: &Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut state = lock(&self.state);
        while let Some(frame) = self.next_frame(&mut state, &waker) {
            state.bytes.extend_from_slice(&frame);
        }
        drop(state);
        // It may have begun to wait since.
        let reader = lock(&self.reader).take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

fn failed(error: h2::Error) -> End {
    let error = stream_failed(error);
    End::Failed(error.kind(), Some(error))
}

/// Called by h2, which holds a lock of its own meanwhile.
impl Wake for Frames {
    fn wake(self: Arc<Self>) {
        // Before the reader is looked for: one that comes later asks h2.
        self.is_quiet.store(false, Ordering::Relaxed);
        let reader = lock(&self.reader).take();
        match reader {
            Some(reader) => reader.wake(),
            None => self.driven.clone().drain_later(self),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
