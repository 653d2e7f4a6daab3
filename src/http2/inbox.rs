//! Law: the receiving half of a stream: what waits to be read waits as bytes, not as frames, and the upstream may send as
//! much again when it has been read.
//!
//! h2 keeps each DATA frame by itself, at some 256 bytes besides its own. An upstream that sends messages of a few bytes to
//! a client that does not read would fill a window of 64 KiB with megabytes of them. So frames are taken out of h2 as they
//! come: by the tunnel if it waits for them, and otherwise by the task that drives the connection.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::{Buf, BytesMut};
use h2::RecvStream;
use tokio::io::ReadBuf;

use super::failure::stream_failed;

/// The frames of one stream, on their way out of h2.
#[derive(Debug)]
struct Frames {
    state: Mutex<State>,
    /// Who waits for bytes. Never held while h2 is called, for h2 calls in here.
    reader: Mutex<Option<Waker>>,
    unread: Arc<Unread>,
}

#[derive(Debug)]
struct State {
    /// None when nobody will read it.
    stream: Option<RecvStream>,
    bytes: BytesMut,
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    InOrder,
    Trailers,
    /// What has been told already is told again by its kind.
    Failed(io::ErrorKind, Option<io::Error>),
}

/// The receiving half. Dropping it forgets what has not been read.
#[derive(Debug)]
pub(super) struct Inbox(Arc<Frames>);

/// What comes next.
pub(super) enum Next {
    Bytes,
    End,
    /// The end, and trailers with it.
    Trailers,
}

impl Inbox {
    pub(super) fn new(stream: RecvStream, unread: Arc<Unread>) -> Self {
        let state = State {
            stream: Some(stream),
            bytes: BytesMut::new(),
            end: None,
        };
        Inbox(Arc::new(Frames {
            state: Mutex::new(state),
            reader: Mutex::default(),
            unread,
        }))
    }

    pub(super) fn poll_read(&self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<Next>> {
        let mut state = lock(&self.0.state);
        if state.bytes.is_empty() && state.end.is_none() {
            // Before h2 is asked: whatever comes after that finds someone who waits.
            *lock(&self.0.reader) = Some(cx.waker().clone());
            self.0.clone().drain(&mut state);
        }
        if state.bytes.is_empty() && state.end.is_none() {
            return Poll::Pending;
        }
        *lock(&self.0.reader) = None;
        if !state.bytes.is_empty() {
            state.hand_out(into);
            return Poll::Ready(Ok(Next::Bytes));
        }
        Poll::Ready(match &mut state.end {
            Some(End::Failed(kind, error)) => Err(error.take().unwrap_or_else(|| (*kind).into())),
            Some(End::Trailers) => Ok(Next::Trailers),
            _ => Ok(Next::End),
        })
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // h2 keeps a waker that keeps the frames: the stream has to go by itself.
        let mut state = lock(&self.0.state);
        let stream = state.stream.take();
        drop(state);
        drop(stream);
    }
}

impl State {
    fn hand_out(&mut self, into: &mut ReadBuf<'_>) {
        let count = self.bytes.len().min(into.remaining());
        into.put_slice(&self.bytes[..count]);
        self.bytes.advance(count);
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
        if let Some(stream) = &mut self.stream {
            // It fails if more is given back than was taken, which is not so.
            let _ = stream.flow_control().release_capacity(count);
        }
    }
}

impl Frames {
    /// Takes out of h2 what is there, up to the end.
    fn drain(self: Arc<Self>, state: &mut State) {
        let waker = Waker::from(self);
        let mut cx = Context::from_waker(&waker);
        while let (Some(stream), None) = (&mut state.stream, &state.end) {
            match stream.poll_data(&mut cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(bytes))) => state.bytes.extend_from_slice(&bytes),
                Poll::Ready(Some(Err(error))) => state.end = Some(failed(error)),
                Poll::Ready(None) => {
                    state.end = match stream.poll_trailers(&mut cx) {
                        Poll::Ready(Ok(Some(_))) => Some(End::Trailers),
                        Poll::Ready(Ok(None)) => Some(End::InOrder),
                        Poll::Ready(Err(error)) => Some(failed(error)),
                        Poll::Pending => return,
                    }
                }
            }
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
        let reader = lock(&self.reader).take();
        match reader {
            Some(reader) => reader.wake(),
            None => self.unread.clone().add(self),
        }
    }
}

/// The streams of a connection that have frames which nobody waits for.
#[derive(Debug, Default)]
pub(super) struct Unread(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    streams: Vec<Arc<Frames>>,
    driver: Option<Waker>,
    closed: bool,
}

impl Unread {
    fn add(self: Arc<Self>, frames: Arc<Frames>) {
        let mut waiting = lock(&self.0);
        if waiting.closed {
            // Nothing comes any more; who reads finds what there is.
            return;
        }
        waiting.streams.push(frames);
        let driver = waiting.driver.take();
        drop(waiting);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Takes the frames that nobody waits for out of h2, and wakes the task of this context when there are more.
    pub(super) fn drain(&self, cx: &mut Context<'_>) {
        loop {
            let mut waiting = lock(&self.0);
            if waiting.streams.is_empty() {
                waiting.driver = Some(cx.waker().clone());
                return;
            }
            let streams = std::mem::take(&mut waiting.streams);
            drop(waiting);
            for frames in streams {
                frames.clone().drain(&mut lock(&frames.state));
                // It may have begun to wait since.
                let reader = lock(&frames.reader).take();
                if let Some(reader) = reader {
                    reader.wake();
                }
            }
        }
    }

    /// The connection has ended.
    pub(super) fn close(&self) {
        let mut waiting = lock(&self.0);
        waiting.closed = true;
        let streams = std::mem::take(&mut waiting.streams);
        drop(waiting);
        drop(streams);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
