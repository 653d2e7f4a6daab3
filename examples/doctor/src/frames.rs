//! Frames of WebSocket on a connection, one after another.

use std::io;

use switchover::Side;
use switchover::diagnose::Ending;
use switchover::tunnel::AnyStream;
use switchover::websocket::{ClosePayload, FrameError, FrameHeader, OpCode, apply_mask};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Duration, Instant, timeout_at};

use super::request::random;

/// No frame that is looked at is larger.
const MAX_FRAME: u64 = 1024 * 1024;

pub(crate) struct Frames {
    stream: AnyStream,
    buffer: Vec<u8>,
    /// Who sends on the other end.
    peer: Side,
    /// Whether an extension may use RSV1.
    compressed: bool,
    /// When a byte was last sent or received.
    pub(crate) last: Instant,
}

pub(crate) enum Event {
    Frame(FrameHeader, Vec<u8>),
    End(Ending),
    Invalid(FrameError),
    /// Nothing in time.
    Silence,
}

impl Frames {
    /// On a connection on which this much has arrived after the head.
    pub(crate) fn new(stream: AnyStream, early: Vec<u8>, peer: Side, compressed: bool) -> Frames {
        Frames {
            stream,
            buffer: early,
            peer,
            compressed,
            last: Instant::now(),
        }
    }

    pub(crate) async fn send(&mut self, opcode: OpCode, payload: &[u8]) -> io::Result<()> {
        self.forward(FrameHeader::new(opcode, payload.len() as u64), payload)
            .await
    }

    /// Sends a frame as its header says, with or without a mask as this side has to.
    pub(crate) async fn forward(&mut self, mut header: FrameHeader, payload: &[u8]) -> io::Result<()> {
        let mut payload = payload.to_vec();
        header.mask = (self.peer == Side::Upstream).then(random);
        if let Some(key) = header.mask {
            apply_mask(&mut payload, key, 0);
        }
        let mut bytes = Vec::new();
        header.encode(&mut bytes).map_err(io::Error::other)?;
        bytes.extend_from_slice(&payload);
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await?;
        self.last = Instant::now();
        Ok(())
    }

    pub(crate) async fn close(&mut self, payload: ClosePayload<'_>) {
        let mut bytes = Vec::new();
        if payload.encode(&mut bytes).is_ok() {
            let _ = self.send(OpCode::Close, &bytes).await;
        }
    }

    /// Ends this side's direction.
    pub(crate) async fn end_writes(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    pub(crate) async fn next(&mut self, limit: Duration) -> Event {
        let deadline = Instant::now() + limit;
        loop {
            match self.parsed() {
                Ok(Some(event)) => return event,
                Ok(None) => {}
                Err(error) => return Event::Invalid(error),
            }
            match timeout_at(deadline, self.stream.read_buf(&mut self.buffer)).await {
                Err(_) => return Event::Silence,
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
        let Some((header, length)) = FrameHeader::decode(&self.buffer)? else {
            return Ok(None);
        };
        header.check_mask(self.peer)?;
        header.check_reserved_bits([self.compressed, false, false])?;
        if header.payload_length > MAX_FRAME {
            return Err(FrameError::LengthTooLarge {
                length: header.payload_length,
            });
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
