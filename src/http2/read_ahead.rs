//! In bulk, a connection's stream is read by large pieces, whatever room h2 has for one: over TLS each of its reads would be a record, and a
//! system call.
//!
//! Knows a stream of bytes. It must not know frames, nor how much may be read.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

thread_local! {
    /// This thread's buffer, while no connection has bytes in it.
    static IDLE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What has been read of a stream and not been handed out. It holds a buffer only while there is something.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    buffer: Vec<u8>,
    waiting: Range<usize>,
    /// The last read has filled the room that h2 had for it.
    is_bulk: bool,
}

impl ReadAhead {
    /// What a buffer has room for.
    pub(super) const SIZE: usize = 64 * 1024;

    /// Hands out what there is. False if there is nothing.
    #[inline]
    pub(super) fn hand_out(&mut self, into: &mut ReadBuf<'_>) -> bool {
        // Mostly there is nothing.
        !self.waiting.is_empty() && self.put_into(into)
    }

    fn put_into(&mut self, into: &mut ReadBuf<'_>) -> bool {
        let count = self.waiting.len().min(into.remaining());
        if count == 0 {
            return false;
        }
        let end = self.waiting.start + count;
        into.put_slice(&self.buffer[self.waiting.start..end]);
        self.waiting.start = end;
        if self.waiting.is_empty() {
            give_back(std::mem::take(&mut self.buffer));
        }
        true
    }

    /// Reads once, no more than `limit` bytes where that is more than there is room for. Says how many came. Nothing may be waiting.
    pub(super) fn poll_read<T: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut T,
        into: &mut ReadBuf<'_>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let room = into.remaining();
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        let limit = limit.min(Self::SIZE);
        if !self.is_bulk || limit <= room {
            let before = into.filled().len();
            ready!(Pin::new(stream).poll_read(cx, into))?;
            let count = into.filled().len() - before;
            self.is_bulk = count == room;
            return Poll::Ready(Ok(count));
        }
        let mut buffer = borrow();
        let mut read = ReadBuf::new(&mut buffer[..limit]);
        let polled = Pin::new(stream).poll_read(cx, &mut read);
        let count = read.filled().len();
        self.buffer = buffer;
        self.waiting = 0..count;
        if !self.hand_out(into) {
            self.waiting = 0..0;
            give_back(std::mem::take(&mut self.buffer));
        }
        ready!(polled)?;
        self.is_bulk = count > room;
        Poll::Ready(Ok(count))
    }
}

/// `try_with`: a connection may be polled while the thread's locals are being destroyed.
fn borrow() -> Vec<u8> {
    let idle = IDLE.try_with(Cell::take).unwrap_or_default();
    match idle.is_empty() {
        true => vec![0; ReadAhead::SIZE],
        false => idle,
    }
}

fn give_back(buffer: Vec<u8>) {
    let _ = IDLE.try_with(|idle| idle.set(buffer));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many bytes of a known sequence as there is room for, as often as it is asked.
    struct Source {
        next: u8,
        left: usize,
        reads: usize,
    }

    impl AsyncRead for Source {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.reads += 1;
            let count = into.remaining().min(self.left);
            for _ in 0..count {
                into.put_slice(&[self.next]);
                self.next = self.next.wrapping_add(1);
            }
            self.left -= count;
            Poll::Ready(Ok(()))
        }
    }

    /// Reads to the end with room for so many bytes at a time. Returns the bytes, and what is left of the buffer.
    fn read_all(source: &mut Source, room: usize, limit: usize) -> (Vec<u8>, ReadAhead) {
        let (mut ahead, mut all) = (ReadAhead::default(), Vec::new());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        loop {
            let mut space = vec![0; room];
            let mut into = ReadBuf::new(&mut space);
            if !ahead.hand_out(&mut into) {
                match ahead.poll_read(&mut cx, source, &mut into, limit) {
                    Poll::Ready(Ok(0)) => return (all, ahead),
                    Poll::Ready(Ok(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            all.extend_from_slice(into.filled());
        }
    }

    #[test]
    fn bulk_is_read_by_large_pieces_and_handed_out_as_it_came() {
        const BYTES: usize = 1 << 20;
        for (room, limit, most) in [
            (9, 1 << 20, 18),
            (8192, 65536, 19),
            (8192, 10_000, 108),
            (65536, 65536, 17),
        ] {
            let mut source = Source {
                next: 0,
                left: BYTES,
                reads: 0,
            };
            let (all, ahead) = read_all(&mut source, room, limit);
            assert_eq!(all.len(), BYTES);
            assert!(
                all.iter().enumerate().all(|(at, byte)| *byte == at as u8),
                "{room} {limit}"
            );
            assert!(source.reads <= most, "{room} {limit}: {}", source.reads);
            assert_eq!(ahead.buffer.capacity(), 0);
        }
    }

    #[test]
    fn without_room_nothing_is_read() {
        let mut source = Source {
            next: 0,
            left: 100_000,
            reads: 0,
        };
        let mut ahead = ReadAhead::default();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for room in [1000, 0, 1000] {
            let mut space = vec![0; room];
            let mut into = ReadBuf::new(&mut space);
            if !ahead.hand_out(&mut into) {
                let read = ahead.poll_read(&mut cx, &mut source, &mut into, ReadAhead::SIZE);
                assert!(
                    matches!(read, Poll::Ready(Ok(count)) if (count > 0) == (room > 0)),
                    "{read:?}"
                );
            }
        }
        assert_eq!(source.reads, 2);
    }

    #[test]
    fn messages_are_read_where_they_go() {
        let mut source = Source {
            next: 0,
            left: 100,
            reads: 0,
        };
        let mut ahead = ReadAhead::default();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut space = [0; 8192];
        let mut into = ReadBuf::new(&mut space);
        let read = ahead.poll_read(&mut cx, &mut source, &mut into, ReadAhead::SIZE);
        assert!(matches!(read, Poll::Ready(Ok(100))));
        assert!(!ahead.is_bulk && ahead.buffer.capacity() == 0);
    }
}
