//! Frames of WebSocket on a connection, one after another. Ends by the deadline of each call; holds one frame of at most a
//! mebibyte, and skips the payload of larger ones.

use std::io;

use switchover::Side;
use switchover::diagnose::Ending;
use switchover::tunnel::AnyStream;
use switchover::websocket::{ClosePayload, FrameError, FrameHeader, OpCode, apply_mask};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::clock::is_past;
use super::request::random;

/// No payload that is looked at is larger.
const MAX_FRAME: u64 = 1024 * 1024;

pub(crate) struct Frames {
    stream: AnyStream,
    buffer: Vec<u8>,
    /// A frame whose payload is too large to be kept, and how much of that is still to come.
    skipped: Option<(FrameHeader, u64)>,
    /// The sender on the other end.
    peer: Side,
    /// Whether an extension may use RSV1.
    compressed: bool,
    /// Whether a frame was cut short by its deadline: nothing can be sent after it.
    stuck: bool,
    /// When a byte was last sent or received.
    pub(crate) last: Instant,
    /// The frames that came.
    pub(crate) count: u64,
}

pub(crate) enum Event {
    /// The payload of a frame that is too large is empty.
    Frame(FrameHeader, Vec<u8>),
    End(Ending),
    Invalid(FrameError),
    /// The deadline passed.
    Late,
}

impl Frames {
    /// On a connection on which this much has arrived after the head.
    pub(crate) fn new(stream: AnyStream, early: Vec<u8>, peer: Side, compressed: bool) -> Frames {
        Frames {
            stream,
            buffer: early,
            skipped: None,
            peer,
            compressed,
            stuck: false,
            last: Instant::now(),
            count: 0,
        }
    }

    pub(crate) async fn send(&mut self, opcode: OpCode, payload: &[u8], until: Instant) -> io::Result<()> {
        self.forward(FrameHeader::new(opcode, payload.len() as u64), payload, until)
            .await
    }

    /// Sends a frame as its header says, with or without a mask as this side has to.
    pub(crate) async fn forward(
        &mut self,
        mut header: FrameHeader,
        payload: &[u8],
        until: Instant,
    ) -> io::Result<()> {
        if self.stuck {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut payload = payload.to_vec();
        header.mask = (self.peer == Side::Upstream).then(random);
        if let Some(key) = header.mask {
            apply_mask(&mut payload, key, 0);
        }
        let mut bytes = Vec::new();
        header.encode(&mut bytes).map_err(io::Error::other)?;
        bytes.extend_from_slice(&payload);
        let sent = timeout_at(until, async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        });
        match sent.await {
            Ok(sent) => sent?,
            Err(_) => {
                self.stuck = true;
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        self.last = Instant::now();
        Ok(())
    }

    pub(crate) async fn close(&mut self, payload: ClosePayload<'_>, until: Instant) {
        let mut bytes = Vec::new();
        if payload.encode(&mut bytes).is_ok() {
            let _ = self.send(OpCode::Close, &bytes, until).await;
        }
    }

    /// Ends this side's direction.
    pub(crate) async fn end_writes(&mut self, until: Instant) {
        let _ = timeout_at(until, self.stream.shutdown()).await;
    }

    pub(crate) async fn next(&mut self, until: Instant) -> Event {
        loop {
            if is_past(until) {
                return Event::Late;
            }
            match self.parsed() {
                Ok(Some(event)) => {
                    self.count += 1;
                    return event;
                }
                Ok(None) => {}
                Err(error) => return Event::Invalid(error),
            }
            match timeout_at(until, self.stream.read_buf(&mut self.buffer)).await {
                Err(_) => return Event::Late,
                Ok(Ok(0)) => return Event::End(Ending::Ended),
                Ok(Ok(_)) => self.last = Instant::now(),
                // TLS that ends without close_notify has ended all the same.
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Event::End(Ending::Ended);
                }
                Ok(Err(_)) => return Event::End(Ending::Reset),
            }
        }
    }

    fn parsed(&mut self) -> Result<Option<Event>, FrameError> {
        if let Some((header, left)) = self.skipped.take() {
            let here = left.min(self.buffer.len() as u64);
            self.buffer.drain(..here as usize);
            if left > here {
                self.skipped = Some((header, left - here));
                return Ok(None);
            }
            return Ok(Some(Event::Frame(header, Vec::new())));
        }
        let Some((header, length)) = FrameHeader::decode(&self.buffer)? else {
            return Ok(None);
        };
        header.check_mask(self.peer)?;
        header.check_reserved_bits([self.compressed, false, false])?;
        if header.payload_length > MAX_FRAME {
            self.buffer.drain(..length);
            self.skipped = Some((header, header.payload_length));
            return self.parsed();
        }
        let end = length + header.payload_length as usize;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let mut payload = self.buffer[length..end].to_vec();
        self.buffer.drain(..end);
        if let Some(key) = header.mask {
            apply_mask(&mut payload, key, 0);
        }
        if header.opcode == OpCode::Close {
            let code = ClosePayload::decode(&payload)
                .ok()
                .flatten()
                .map(|close| close.code);
            return Ok(Some(Event::End(Ending::Closed(code))));
        }
        Ok(Some(Event::Frame(header, payload)))
    }
}
