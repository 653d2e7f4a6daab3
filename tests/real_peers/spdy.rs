//! A server of SPDY/3.1, as far as `kubectl` needs one: the streams that the client opens, what it sends on them, and their ends.
//!
//! The heads of the streams are compressed with a dictionary, and are not read: `kubectl` opens its streams in a fixed order.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use switchover::websocket::{FrameHeader, OpCode, apply_mask};

const SYN_STREAM: u32 = 0x8003_0001;
const SYN_REPLY: u32 = 0x8003_0002;
const PING: u32 = 0x8003_0006;
/// Set in the first word of a control frame.
const CONTROL: u32 = 0x8000_0000;
const FIN: u8 = 1;

/// A head without fields, which says how many it has in four bytes: stored in a block of deflate, and an empty block behind it, which
/// makes the decoder deliver the first. Nothing of it is compressed, so that it is the same for each stream.
const NO_FIELDS: &[u8] = b"\0\x04\0\xfb\xff\0\0\0\0\0\0\0\xff\xff";
/// What stands before the first of them.
const ZLIB: &[u8] = b"\x78\x01";

/// What has come on a stream.
struct Data {
    stream: u32,
    payload: Vec<u8>,
    is_last: bool,
}

struct Peer<S> {
    connection: S,
    has_replied: bool,
}

impl<S: Read + Write> Peer<S> {
    fn new(connection: S) -> Self {
        Peer {
            connection,
            has_replied: false,
        }
    }

    /// The next data. Streams are accepted and pings answered meanwhile. None at the end.
    fn next(&mut self) -> Option<Data> {
        loop {
            let mut head = [0; 8];
            self.connection.read_exact(&mut head).ok()?;
            let [first, rest] =
                [0, 4].map(|at| u32::from_be_bytes(head[at..at + 4].try_into().expect("4 bytes")));
            let mut payload = vec![0; (rest & 0x00ff_ffff) as usize];
            self.connection.read_exact(&mut payload).ok()?;
            match first {
                SYN_STREAM => self.accept(payload.first_chunk()?).ok()?,
                PING => self.connection.write_all(&[&head[..], &payload].concat()).ok()?,
                stream if stream & CONTROL == 0 => {
                    return Some(Data {
                        stream,
                        payload,
                        is_last: head[4] & FIN != 0,
                    });
                }
                _ => {}
            }
        }
    }

    fn accept(&mut self, stream: &[u8; 4]) -> io::Result<()> {
        let start = if self.has_replied { b"" } else { ZLIB };
        self.has_replied = true;
        self.frame(SYN_REPLY, 0, &[stream, start, NO_FIELDS].concat())
    }

    fn send(&mut self, stream: u32, payload: &[u8], is_last: bool) {
        let flags = if is_last { FIN } else { 0 };
        // A client that has gone is found by reading.
        let _ = self.frame(stream, flags, payload);
    }

    fn frame(&mut self, first: u32, flags: u8, payload: &[u8]) -> io::Result<()> {
        let rest = u32::try_from(payload.len()).expect("a short payload") | u32::from(flags) << 24;
        let frame = [&first.to_be_bytes()[..], &rest.to_be_bytes(), payload].concat();
        self.connection.write_all(&frame)
    }
}

/// The streams of a command, in the order in which they are opened.
pub(crate) const STATUS: u32 = 1;
pub(crate) const INPUT: u32 = 3;
pub(crate) const OUTPUT: u32 = 5;
pub(crate) const ERRORS: u32 = 7;

/// A command that sends its whole input back when that has ended, as `cat` does, and succeeds.
pub(crate) fn cat(connection: impl Read + Write) {
    let mut peer = Peer::new(connection);
    let mut input = Vec::new();
    while let Some(data) = peer.next() {
        if data.stream == INPUT {
            input.extend(data.payload);
        }
        if data.stream == INPUT && data.is_last {
            peer.send(OUTPUT, &input, true);
            peer.send(ERRORS, b"", true);
            peer.send(STATUS, br#"{"metadata":{},"status":"Success"}"#, true);
        }
    }
}

/// A port of a pod, which sends back what it is sent. A connection to it has two streams: one for an error, and the next for its data.
pub(crate) fn echo(connection: impl Read + Write) {
    let mut peer = Peer::new(connection);
    while let Some(data) = peer.next() {
        if data.stream % 4 == 3 {
            peer.send(data.stream, &data.payload, data.is_last);
        }
        if data.stream % 4 == 3 && data.is_last {
            peer.send(data.stream - 2, b"", true);
        }
    }
}

/// The bytes in the frames of a client's WebSocket, and each write in a frame of its own.
pub(crate) struct InFrames<'a> {
    connection: &'a mut TcpStream,
    /// Of the current frame, not yet asked for.
    unread: Vec<u8>,
}

impl<'a> InFrames<'a> {
    pub(crate) fn of(connection: &'a mut TcpStream) -> Self {
        InFrames {
            connection,
            unread: Vec::new(),
        }
    }

    fn frame(&mut self) -> io::Result<(FrameHeader, Vec<u8>)> {
        let mut bytes = Vec::new();
        let header = loop {
            let mut byte = [0];
            self.connection.read_exact(&mut byte)?;
            bytes.push(byte[0]);
            if let Some((header, _)) = FrameHeader::decode(&bytes).map_err(io::Error::other)? {
                break header;
            }
        };
        let mut payload = vec![0; usize::try_from(header.payload_length).expect("a length")];
        self.connection.read_exact(&mut payload)?;
        apply_mask(&mut payload, header.mask.unwrap_or_default(), 0);
        Ok((header, payload))
    }
}

impl Read for InFrames<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.unread.is_empty() {
            let (header, payload) = self.frame()?;
            match header.opcode {
                OpCode::Close => return Ok(0),
                OpCode::Binary | OpCode::Continuation => self.unread = payload,
                _ => {}
            }
        }
        let count = into.len().min(self.unread.len());
        into[..count].copy_from_slice(&self.unread[..count]);
        self.unread.drain(..count);
        Ok(count)
    }
}

impl Write for InFrames<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut frame = Vec::new();
        let header = FrameHeader::new(OpCode::Binary, bytes.len() as u64);
        header.encode(&mut frame).map_err(io::Error::other)?;
        frame.extend(bytes);
        self.connection.write_all(&frame)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a client sends that runs a command with this input, as far as a server reads it.
pub(crate) fn of_a_client(input: &[u8]) -> Vec<u8> {
    let mut sent = Vec::new();
    let mut peer = Peer::new(io::Cursor::new(&mut sent));
    for stream in [STATUS, INPUT, OUTPUT, ERRORS] {
        // Its own number, that of no other, and a priority.
        let opening = [&stream.to_be_bytes()[..], &[0; 6], NO_FIELDS].concat();
        let _ = peer.frame(SYN_STREAM, 0, &opening);
    }
    peer.send(INPUT, input, false);
    peer.send(INPUT, b"", true);
    sent
}

/// What has come on a stream of a server.
pub(crate) fn on_stream(stream: u32, received: &[u8]) -> Vec<u8> {
    let mut received = received.to_vec();
    let mut peer = Peer::new(io::Cursor::new(&mut received));
    let mut all = Vec::new();
    while let Some(data) = peer.next() {
        if data.stream == stream {
            all.extend(data.payload);
        }
    }
    all
}
