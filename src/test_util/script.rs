//! What a scripted origin does on a connection, step by step.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::SEC_WEBSOCKET_KEY;
use http::request::Parts;

use crate::websocket::SecWebSocketKey;

/// A good 101 to a WebSocket upgrade request, its `Sec-WebSocket-Accept` computed from the key received.
///
/// A request without a valid key gets an `Accept` that is wrong.
pub fn switching_protocols(request: &Parts) -> Vec<u8> {
    let key = request.headers.get(SEC_WEBSOCKET_KEY).map(|key| key.as_bytes());
    let accept = match key.map(SecWebSocketKey::parse) {
        Some(Ok(key)) => key.accept().as_str().to_owned(),
        _ => "no key to answer".to_owned(),
    };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// What a [`ScriptedOrigin`](super::ScriptedOrigin) does on a connection.
///
/// After the last step it stays silent, reads, and closes when the other side has ended.
///
/// ```
/// use std::time::Duration;
/// use switchover::test_util::Script;
///
/// let slow_refusal = Script::new()
///     .read_head()
///     .pause(Duration::from_millis(50))
///     .send_in_pieces("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 7)
///     .close();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Script {
    steps: Vec<Step>,
}

type Answer = dyn Fn(&Parts) -> Vec<u8> + Send + Sync;

#[derive(Clone)]
pub(super) enum Step {
    ReadHead,
    Read(usize),
    /// Bytes made from the last head read, cut at the offset, or into pieces of the size.
    Answer(Arc<Answer>, Cut),
    Pause(Duration),
    EndWrites,
    Echo,
    Close,
    Reset,
}

/// Where bytes are cut into segments.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Nowhere,
    At(usize),
    Every(usize),
}

impl Script {
    /// A script without steps: silence.
    #[must_use]
    pub fn new() -> Self {
        Script::default()
    }

    /// A good WebSocket origin: reads a head, answers 101, and sends back what it receives.
    #[must_use]
    pub fn websocket_echo() -> Self {
        Script::new().read_head().switch().echo()
    }

    /// An origin that reads a head and answers it with these bytes, whatever it asks for.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        Script::new().read_head().send(bytes)
    }

    /// Reads a request head. What follows it belongs to the next steps.
    #[must_use]
    pub fn read_head(self) -> Self {
        self.step(Step::ReadHead)
    }

    /// Reads this many bytes more.
    #[must_use]
    pub fn read(self, count: usize) -> Self {
        self.step(Step::Read(count))
    }

    /// Sends bytes at once.
    #[must_use]
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.send_cut(bytes.into(), Cut::Nowhere)
    }

    /// Sends bytes in two segments, the first of which ends at the offset.
    #[must_use]
    pub fn send_split_at(self, bytes: impl Into<Vec<u8>>, offset: usize) -> Self {
        self.send_cut(bytes.into(), Cut::At(offset))
    }

    /// Sends bytes in segments of this size.
    #[must_use]
    pub fn send_in_pieces(self, bytes: impl Into<Vec<u8>>, size: usize) -> Self {
        self.send_cut(bytes.into(), Cut::Every(size))
    }

    /// Answers with a good 101: [`switching_protocols`].
    #[must_use]
    pub fn switch(self) -> Self {
        self.answer(switching_protocols)
    }

    /// Sends what the function makes of the last head read.
    #[must_use]
    pub fn answer(self, answer: impl Fn(&Parts) -> Vec<u8> + Send + Sync + 'static) -> Self {
        self.step(Step::Answer(Arc::new(answer), Cut::Nowhere))
    }

    /// Sends what the function makes of the last head read, in two segments, the first of which ends at the offset.
    #[must_use]
    pub fn answer_split_at(
        self,
        offset: usize,
        answer: impl Fn(&Parts) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        self.step(Step::Answer(Arc::new(answer), Cut::At(offset)))
    }

    /// Does nothing for a while.
    #[must_use]
    pub fn pause(self, length: Duration) -> Self {
        self.step(Step::Pause(length))
    }

    /// Ends the write side and goes on reading.
    #[must_use]
    pub fn end_writes(self) -> Self {
        self.step(Step::EndWrites)
    }

    /// Sends back everything that arrives from here on. At the other side's end, goes on with the next step.
    #[must_use]
    pub fn echo(self) -> Self {
        self.step(Step::Echo)
    }

    /// Closes the connection. The last step.
    #[must_use]
    pub fn close(self) -> Self {
        self.step(Step::Close)
    }

    /// Resets the connection. The last step.
    #[must_use]
    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn send_cut(self, bytes: Vec<u8>, cut: Cut) -> Self {
        self.step(Step::Answer(Arc::new(move |_| bytes.clone()), cut))
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::ReadHead => f.write_str("ReadHead"),
            Step::Read(count) => write!(f, "Read({count})"),
            Step::Answer(_, cut) => write!(f, "Answer({cut:?})"),
            Step::Pause(length) => write!(f, "Pause({length:?})"),
            Step::EndWrites => f.write_str("EndWrites"),
            Step::Echo => f.write_str("Echo"),
            Step::Close => f.write_str("Close"),
            Step::Reset => f.write_str("Reset"),
        }
    }
}
