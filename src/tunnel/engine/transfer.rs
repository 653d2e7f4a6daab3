//! Bytes on their way to a writer: what is queued goes out first; what a reader has goes through the thread's scratch buffer, or, in
//! bulk between plain sockets, through a pipe.
//!
//! Knows a reader and a writer. It must not know what the bytes mean, where they end, or any deadline.

use std::any::Any;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tunnel::config::SpliceConfig;
use crate::tunnel::engine::pipe::{self, Pipe};
use crate::tunnel::engine::scratch::{SCRATCH_SIZE, Scratch};
use crate::tunnel::engine::transfer_mode::Filled;
use crate::tunnel::stream::socket;

/// From how many bytes on a splice is tried at all.
const BULK: usize = 64 * 1024;
/// A splice of less than this, and a copy is cheaper; a read of more, and a splice is. The break-even is in between.
const SHORT_SPLICE: usize = 12 * 1024;
const LONG_READ: usize = 32 * 1024;
/// Beyond this a queue is not kept for later messages.
const KEPT_QUEUE: usize = 16 * 1024;
/// Up to here bytes are put behind what is queued, so that one write takes both.
const JOINED: usize = 8 * 1024;

/// One direction of a message.
pub(crate) struct Transfer {
    queue: Vec<u8>,
    /// How many bytes of the queue are out.
    out: usize,
    pipe: Option<Pipe>,
    splice: Option<SpliceConfig>,
    /// The last transfer was large enough to be spliced.
    is_bulk: bool,
    delivered: u64,
    spliced: u64,
    is_unflushed: bool,
    /// A plain socket has taken what it was offered: until it takes nothing it is asked itself, because the runtime knows of no room.
    has_room: bool,
}

/// What a splice has come to.
pub(crate) enum Spliced {
    /// So many bytes have left the reader.
    Bytes(usize),
    /// The reader has nothing; a waker is registered.
    Waiting,
    /// The reader has ended.
    End,
    /// It is to be read instead.
    NotNow,
}

impl Transfer {
    pub(crate) fn new(splice: Option<SpliceConfig>) -> Self {
        Transfer {
            queue: Vec::new(),
            out: 0,
            pipe: None,
            splice,
            is_bulk: true,
            delivered: 0,
            spliced: 0,
            is_unflushed: false,
            has_room: false,
        }
    }

    /// What is to go out. Bytes may be put at its end.
    pub(crate) fn queue(&mut self) -> &mut Vec<u8> {
        &mut self.queue
    }

    /// Whether bytes wait for the writer.
    pub(crate) fn has_queued(&self) -> bool {
        !self.queue.is_empty() || self.pipe.is_some()
    }

    /// How many bytes the writer has taken.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// How many of these have come through a pipe.
    pub(crate) fn spliced(&self) -> u64 {
        self.spliced
    }

    /// Writes what is queued.
    pub(crate) fn poll_out<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin + Any,
    {
        // Whatever was queued since came later.
        while let Some(mut pipe) = self.pipe.take_if(|pipe| !pipe.is_empty()) {
            match pipe.poll_empty_into(cx, writer) {
                Poll::Pending => {
                    self.pipe = Some(pipe);
                    if !(self.has_room && self.offer(writer)) {
                        self.has_room = false;
                        return Poll::Pending;
                    }
                }
                Poll::Ready(Ok(count)) => {
                    self.delivered += count as u64;
                    self.spliced += count as u64;
                    self.pipe = Some(pipe);
                }
                Poll::Ready(Err(error)) if pipe::is_refusal(&error) => {
                    self.splice = None;
                    let mut bytes = pipe.take_out()?;
                    bytes.extend_from_slice(&self.queue[self.out..]);
                    (self.queue, self.out) = (bytes, 0);
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                    self.pipe = Some(pipe);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        self.pipe = None;
        while self.out < self.queue.len() {
            match Pin::new(&mut *writer).poll_write(cx, &self.queue[self.out..])? {
                Poll::Ready(count) => self.took(count)?,
                Poll::Pending if self.has_room && self.offer(writer) => {}
                Poll::Pending => {
                    self.has_room = false;
                    return Poll::Pending;
                }
            }
        }
        self.empty_queue();
        Poll::Ready(Ok(()))
    }

    /// Offers what is queued to a plain socket, whether or not the runtime knows of room for it. True if it has taken some.
    ///
    /// Until it takes nothing, what comes next is offered as well where the runtime has it wait, so that a peer that takes nothing is
    /// found by the next deadline: the kernel may have room for much.
    pub(crate) fn offer<W: Any>(&mut self, writer: &W) -> bool {
        // What was queued since came later than what is in the pipe.
        let count = match self.pipe.as_mut().filter(|pipe| !pipe.is_empty()) {
            Some(pipe) => {
                let count = pipe.empty_now(writer);
                self.spliced += count as u64;
                count
            }
            None => {
                let count = socket::write_now(writer, &self.queue[self.out..]);
                self.out += count;
                count
            }
        };
        self.delivered += count as u64;
        self.has_room = count > 0;
        self.has_room
    }

    /// Writes bytes behind what is queued, as many as the writer takes now; the others are queued.
    pub(crate) fn put<W>(&mut self, cx: &mut Context<'_>, writer: &mut W, mut bytes: &[u8]) -> io::Result<()>
    where
        W: AsyncWrite + Unpin,
    {
        if self.pipe.is_some() || self.has_queued() && (bytes.len() <= JOINED || !writer.is_write_vectored())
        {
            self.queue.extend_from_slice(bytes);
            return Ok(());
        }
        while !bytes.is_empty() {
            let queued = self.queue.len() - self.out;
            let written = match queued {
                0 => Pin::new(&mut *writer).poll_write(cx, bytes)?,
                _ => {
                    let slices = [IoSlice::new(&self.queue[self.out..]), IoSlice::new(bytes)];
                    Pin::new(&mut *writer).poll_write_vectored(cx, &slices)?
                }
            };
            let Poll::Ready(count) = written else { break };
            let of_bytes = count.saturating_sub(queued);
            self.took(count)?;
            self.out -= of_bytes;
            if self.out == self.queue.len() {
                self.empty_queue();
            }
            bytes = &bytes[of_bytes..];
        }
        self.queue.extend_from_slice(bytes);
        Ok(())
    }

    /// Has the writer send what it holds back.
    pub(crate) fn poll_flush<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        if self.is_unflushed {
            ready!(Pin::new(writer).poll_flush(cx))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether bytes are on their way: they are queued, or the writer may hold them back.
    pub(crate) fn has_unsent(&self) -> bool {
        self.has_queued() || self.is_unflushed
    }

    /// Writes what is queued, and has the writer send it.
    pub(crate) fn poll_send<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin + Any,
    {
        ready!(self.poll_out(cx, writer))?;
        self.poll_flush(cx, writer)
    }

    /// Reads at most `limit` bytes. An empty slice is the end of the reader.
    pub(crate) fn poll_read<'s, R>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        limit: usize,
        scratch: &'s mut Scratch,
    ) -> Poll<io::Result<&'s [u8]>>
    where
        R: AsyncRead + Unpin,
    {
        let space = scratch.bytes();
        let mut read = ReadBuf::new(&mut space[..limit.min(SCRATCH_SIZE)]);
        ready!(Pin::new(reader).poll_read(cx, &mut read))?;
        let count = read.filled().len();
        self.is_bulk |= count >= LONG_READ;
        Poll::Ready(Ok(&space[..count]))
    }

    /// Splices at most `limit` bytes out of the reader, if they are many and both are plain sockets. Nothing may be queued.
    pub(crate) fn splice<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        limit: u64,
        reader: &R,
        writer: &W,
    ) -> io::Result<Spliced>
    where
        R: Any,
        W: Any,
    {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let Some(config) = self.splice.filter(|_| self.is_bulk && limit >= BULK) else {
            return Ok(Spliced::NotNow);
        };
        Ok(match pipe::fill(cx, config, limit, (reader, writer))? {
            Filled::With(pipe, count) => {
                self.is_bulk = count >= SHORT_SPLICE;
                self.pipe = Some(pipe);
                Spliced::Bytes(count)
            }
            Filled::Waiting => Spliced::Waiting,
            Filled::End => Spliced::End,
            Filled::Again | Filled::NotNow => Spliced::NotNow,
            Filled::Impossible => {
                self.splice = None;
                Spliced::NotNow
            }
        })
    }

    fn took(&mut self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.out += count;
        self.delivered += count as u64;
        self.is_unflushed = true;
        Ok(())
    }

    fn empty_queue(&mut self) {
        self.out = 0;
        self.queue.clear();
        if self.queue.capacity() > KEPT_QUEUE {
            self.queue = Vec::new();
        }
    }
}

#[cfg(all(test, target_os = "linux", feature = "splice"))]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (one, other) = tokio::join!(connecting, listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    #[tokio::test]
    async fn what_is_put_behind_a_splice_goes_out_behind_it() {
        let ((mut sender, reader), (mut writer, mut receiver)) = (pair().await, pair().await);
        let case = async {
            let mut transfer = Transfer::new(Some(SpliceConfig::default()));
            sender.write_all(&[b'a'; BULK]).await.unwrap();
            let count = poll_fn(
                |cx| match transfer.splice(cx, u64::MAX, &reader, &writer).unwrap() {
                    Spliced::Bytes(count) => Poll::Ready(count),
                    Spliced::Waiting => Poll::Pending,
                    Spliced::NotNow => {
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                    Spliced::End => panic!("it has not ended"),
                },
            )
            .await;
            poll_fn(|cx| Poll::Ready(transfer.put(cx, &mut writer, b"behind")))
                .await
                .unwrap();
            let mut received = vec![0; count + 6];
            let (sent, read) = tokio::join!(
                poll_fn(|cx| transfer.poll_out(cx, &mut writer)),
                receiver.read_exact(&mut received)
            );
            sent.unwrap();
            read.unwrap();
            let (before, behind) = received.split_at(count);
            assert!(before.iter().all(|byte| *byte == b'a') && behind == b"behind");
        };
        timeout(Duration::from_secs(60), case)
            .await
            .expect("the case hangs");
    }
}
