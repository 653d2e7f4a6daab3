//! A peer that speaks HTTP/2 frame by frame, for what no library would do.

use bytes::BufMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;

const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// The upstream's end of a connection.
pub(crate) struct FramedPeer {
    stream: TcpStream,
}

/// A frame, without its reserved bit.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl FramedPeer {
    /// Reads the client's preface, and says nothing.
    pub(crate) async fn new(mut stream: TcpStream) -> Self {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        FramedPeer { stream }
    }

    /// As an upstream that enables the extended CONNECT protocol, up to the answer to the first PING.
    pub(crate) async fn settled(stream: TcpStream) -> Self {
        let mut peer = FramedPeer::new(stream).await;
        peer.send(SETTINGS, 0, 0, &[0, 8, 0, 0, 0, 1]).await;
        loop {
            let Some(frame) = peer.read().await else {
                panic!("closed before a PING")
            };
            match (frame.kind, frame.flags) {
                (SETTINGS, 0) => peer.send(SETTINGS, ACK, 0, &[]).await,
                (PING, 0) => {
                    peer.send(PING, ACK, 0, &frame.payload).await;
                    return peer;
                }
                _ => {}
            }
        }
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = Vec::new();
        frame.put_uint(payload.len() as u64, 3);
        frame.put_u8(kind);
        frame.put_u8(flags);
        frame.put_u32(stream);
        frame.put_slice(payload);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// A response head with this status alone, as a literal field that is not indexed.
    pub(crate) async fn send_status(&mut self, status: &str, stream: u32) {
        let mut block = vec![0x08, status.len() as u8];
        block.extend_from_slice(status.as_bytes());
        self.send(HEADERS, END_HEADERS, stream, &block).await;
    }

    /// The next frame; none at the end of the connection.
    pub(crate) async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]),
            payload,
        })
    }

    /// The next frame of this kind.
    pub(crate) async fn read_kind(&mut self, kind: u8) -> Frame {
        loop {
            match self.read().await {
                Some(frame) if frame.kind == kind => return frame,
                Some(_) => {}
                None => panic!("closed before a frame of kind {kind}"),
            }
        }
    }
}
