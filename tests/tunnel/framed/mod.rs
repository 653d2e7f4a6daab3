//! A tunnel that knows its frames. Both peers are strict: whatever is not a frame that the other may send is a failed test.

mod abnormal;
mod closes;
mod counts;
mod limits;
mod passing;
mod pings;
pub(crate) mod schedules;
#[cfg(target_os = "linux")]
mod sockets;
mod taps;
mod violations;

use switchover::tunnel::WebSocketConfig;
use switchover::websocket::{CloseCode, CloseFrame, FrameHeader, FrameScanner, OpCode, Scanned, apply_mask};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::*;

/// One frame, its mask removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: OpCode,
    pub(crate) fin: bool,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: OpCode, payload: &[u8]) -> Self {
        Frame {
            opcode,
            fin: true,
            payload: payload.to_vec(),
        }
    }

    pub(crate) fn text(text: &str) -> Self {
        Frame::new(OpCode::Text, text.as_bytes())
    }

    pub(crate) fn close(code: CloseCode, reason: &str) -> Self {
        Frame::new(OpCode::Close, CloseFrame::new(code, reason).to_frame().payload())
    }

    pub(crate) fn not_last(self) -> Self {
        Frame { fin: false, ..self }
    }

    /// As `sender` has to send it.
    pub(crate) fn bytes(&self, sender: Side) -> Vec<u8> {
        let mask = (sender == Side::Downstream).then_some([0x37, 0xfa, 0x21, 0x3d]);
        let header = FrameHeader {
            fin: self.fin,
            mask,
            ..FrameHeader::new(self.opcode, self.payload.len() as u64)
        };
        let mut bytes = Vec::new();
        header.encode(&mut bytes).unwrap();
        let start = bytes.len();
        bytes.extend_from_slice(&self.payload);
        apply_mask(&mut bytes[start..], mask.unwrap_or_default(), 0);
        bytes
    }
}

/// What an end says, and how it reads what it is notified: as the other side of the protocol, strictly.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    pub(crate) side: Side,
    unread: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S, side: Side) -> Self {
        Peer {
            stream,
            side,
            unread: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, frame: &Frame) {
        self.stream.write_all(&frame.bytes(self.side)).await.unwrap();
    }

    /// The next frame. None at the end of the stream, which must be between two frames.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = first_frame(&self.unread, !self.side) {
                self.unread.drain(..length);
                return Some(frame);
            }
            let mut piece = vec![0; 4096];
            let count = self.stream.read(&mut piece).await.unwrap();
            if count == 0 {
                assert_eq!(self.unread, b"", "the stream ends within a frame");
                return None;
            }
            self.unread.extend_from_slice(&piece[..count]);
        }
    }

    /// The next frame, which is a ping of the tunnel's own: answers it.
    pub(crate) async fn pong(&mut self) {
        let ping = self.next().await.unwrap();
        assert_eq!((ping.opcode, ping.payload.len()), (OpCode::Ping, 12));
        self.send(&Frame::new(OpCode::Pong, &ping.payload)).await;
    }

    /// Answers pings until something else comes.
    pub(crate) async fn answering(&mut self) -> Option<Frame> {
        loop {
            match self.next().await {
                Some(frame) if frame.opcode == OpCode::Ping => {
                    self.send(&Frame::new(OpCode::Pong, &frame.payload)).await;
                }
                other => return other,
            }
        }
    }

    /// The next frame is this Close: answers it, and expects the end.
    pub(crate) async fn receives_close(&mut self, code: CloseCode, reason: &str) {
        assert_eq!(self.next().await, Some(Frame::close(code, reason)));
        self.send(&Frame::close(code, "")).await;
        assert_eq!(self.next().await, None);
    }
}

/// The frame at the start of these bytes, if it is whole.
pub(crate) fn first_frame(bytes: &[u8], sender: Side) -> Option<(Frame, usize)> {
    let (header, start) = FrameHeader::decode(bytes).expect("a frame")?;
    header.check_mask(sender).expect("the sender's mask");
    header.check_reserved_bits([false; 3]).expect("no reserved bit");
    let end = start + usize::try_from(header.payload_length).unwrap();
    let mut payload = bytes.get(start..end)?.to_vec();
    apply_mask(&mut payload, header.mask.unwrap_or_default(), 0);
    let frame = Frame {
        opcode: header.opcode,
        fin: header.fin,
        payload,
    };
    Some((frame, end))
}

/// A running tunnel that knows its frames, and its two ends.
pub(crate) struct Talk {
    pub(crate) near: Peer<Memory>,
    pub(crate) far: Peer<Memory>,
    pub(crate) tunnel: tokio::task::JoinHandle<Result<Traffic, switchover::tunnel::TunnelError>>,
    pub(crate) drain: switchover::tunnel::Drain,
    pub(crate) watch: switchover::tunnel::TunnelWatch,
}

pub(crate) fn talk(near: Side, table: Table, config: TunnelConfig, websocket: WebSocketConfig) -> Talk {
    let drain = switchover::tunnel::Drain::new();
    let mut tunnel = seat(near, table.near, table.far)
        .config(config)
        .websocket(websocket);
    let watch = tunnel.watch();
    Talk {
        near: Peer::new(table.near_peer, near),
        far: Peer::new(table.far_peer, !near),
        tunnel: tokio::spawn(tunnel.drain(drain.signal()).run()),
        drain,
        watch,
    }
}

/// A stream that ends without a Close ends that of the other side without one. The default is in `abnormal.rs`.
pub(crate) fn bare() -> WebSocketConfig {
    WebSocketConfig::default()
        .abnormal_close(Side::Downstream, None)
        .abnormal_close(Side::Upstream, None)
}

/// With nothing but a half-close timeout of ten seconds.
pub(crate) fn quiet(near: Side) -> Talk {
    let config = unlimited().half_close_timeout(seconds(10));
    talk(near, Table::new(1024), config, bare())
}

pub(crate) fn pinging(interval: u64) -> WebSocketConfig {
    bare().ping_interval(seconds(interval)).pong_timeout(seconds(5))
}
