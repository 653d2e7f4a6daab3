//! One message passes from one stream to another: what is queued of its head, and its body up to its end and not a byte further.
//!
//! Knows framings. It must not know which side is which, heads, or any deadline.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::Cause;
use crate::header::trailer::{self, Ending};
use crate::http1::{BodyLength, BodyScanner, encode_fields, trailer_fields};
use crate::tunnel::{Scratch, SpliceConfig, Spliced, Transfer};

/// How often a message is read from in one poll before other tasks get their turn.
const TURNS: usize = 16;
/// What is written together with what follows it.
const SMALL: usize = 512;

/// What becomes of a body's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reframe {
    /// It goes on as it came.
    Not,
    /// The content of chunks goes on, and its end is the connection's.
    Unchunk,
    /// What ends with the connection goes on in chunks.
    Chunk,
}

/// A message on its way.
pub(super) struct Passage {
    pub(super) transfer: Transfer,
    scanner: BodyScanner,
    reframe: Reframe,
    /// The trailer section so far.
    section: Vec<u8>,
    /// What ends here of it, besides what ends in any.
    ending: Option<Arc<Ending>>,
    content: u64,
    most_content: Option<u64>,
    /// Nothing more is read.
    is_read: bool,
    is_done: bool,
}

/// Why a message does not come to its end.
pub(super) enum Broken {
    /// The side that it comes from has failed, or broken a rule.
    Reader(Cause),
    /// Its content is larger than it may be.
    TooLarge(u64),
    /// The side that it goes to has failed.
    Writer(io::Error),
}

impl Passage {
    pub(super) fn new(length: BodyLength, reframe: Reframe, splice: Option<SpliceConfig>) -> Self {
        Passage {
            transfer: Transfer::new(splice),
            scanner: BodyScanner::new(length),
            reframe,
            section: Vec::new(),
            ending: None,
            content: 0,
            most_content: None,
            is_read: length == BodyLength::None,
            is_done: false,
        }
    }

    /// Without these of its trailer fields.
    pub(super) fn without(mut self, ending: Option<Arc<Ending>>) -> Self {
        self.ending = ending;
        self
    }

    /// With no more content than this.
    pub(super) fn at_most(mut self, bytes: Option<u64>) -> Self {
        self.most_content = bytes;
        self
    }

    /// Whether it has arrived whole.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether it has been read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.is_read
    }

    /// Whether anything of its body has been taken from the reader.
    pub(super) fn has_begun(&self) -> bool {
        self.content > 0
    }

    /// Changes whenever something moves.
    pub(super) fn progress(&self) -> u64 {
        self.content.wrapping_add(self.transfer.delivered())
    }

    /// Moves what can be moved now. Ready when the message has arrived whole.
    ///
    /// `ahead` is what has been read of the reader already; what is read too far comes back there.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        ahead: &mut BytesMut,
        writer: &mut W,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin + Any,
        W: AsyncWrite + Unpin + Any,
    {
        if self.is_done {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = Scratch::default();
        for _ in 0..TURNS {
            if !self.is_read && !ahead.is_empty() {
                let bytes = ahead.split();
                let taken = self.take(cx, writer, &bytes)?;
                ahead.unsplit(bytes);
                bytes::Buf::advance(ahead, taken);
            }
            ready!(self.transfer.poll_out(cx, writer)).map_err(Broken::Writer)?;
            if self.is_read {
                ready!(self.transfer.poll_flush(cx, writer)).map_err(Broken::Writer)?;
                self.is_done = true;
                return Poll::Ready(Ok(()));
            }
            if !ahead.is_empty() {
                continue;
            }
            if ready!(self.poll_more(cx, reader, ahead, writer, &mut scratch))? {
                self.end()?;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads what there is and hands it on. True at the end of the reader.
    fn poll_more<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        ahead: &mut BytesMut,
        writer: &mut W,
        scratch: &mut Scratch,
    ) -> Poll<Result<bool, Broken>>
    where
        R: AsyncRead + Unpin + Any,
        W: AsyncWrite + Unpin + Any,
    {
        let of_reader = |error: io::Error| Broken::Reader(Cause::of_upstream(error));
        if self.reframe == Reframe::Not {
            match self.transfer.splice(cx, self.scanner.data_left(), reader, writer) {
                Ok(Spliced::Bytes(count)) => {
                    self.scanner.skip_data(count as u64);
                    self.is_read = self.scanner.is_complete();
                    return Poll::Ready(self.counted(count as u64).map(|()| false));
                }
                Ok(Spliced::End) => return Poll::Ready(Ok(true)),
                Ok(Spliced::Waiting) => return self.poll_idle(cx, writer),
                Ok(Spliced::NotNow) => {}
                Err(error) => return Poll::Ready(Err(of_reader(error))),
            }
        }
        // What follows a body whose length is known stays in the kernel.
        let limit = match self.scanner.content_left() {
            Some(left) => usize::try_from(left).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        match self.transfer.poll_read(cx, reader, limit, scratch) {
            Poll::Pending => self.poll_idle(cx, writer),
            Poll::Ready(Err(error)) => Poll::Ready(Err(of_reader(error))),
            Poll::Ready(Ok([])) => Poll::Ready(Ok(true)),
            Poll::Ready(Ok(bytes)) => {
                let taken = self.take(cx, writer, bytes)?;
                ahead.extend_from_slice(&bytes[taken..]);
                Poll::Ready(Ok(false))
            }
        }
    }

    /// While the reader has nothing: the writer may not hold back what it has.
    fn poll_idle<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<Result<bool, Broken>> {
        ready!(self.transfer.poll_flush(cx, writer)).map_err(Broken::Writer)?;
        Poll::Pending
    }

    /// Hands on what belongs to the body, and says how many bytes that are.
    fn take<W>(&mut self, cx: &mut Context<'_>, writer: &mut W, bytes: &[u8]) -> Result<usize, Broken>
    where
        W: AsyncWrite + Unpin,
    {
        let invalid = |error| Broken::Reader(Cause::Body(error));
        let taken = match self.reframe {
            Reframe::Not => {
                let mut at = 0;
                loop {
                    let (before, content) = self.scanner.advance_data(&bytes[at..]).map_err(invalid)?;
                    self.counted(content)?;
                    let (piece, rest) = bytes[at..].split_at(before);
                    let padding = self.scanner.skip_padding(rest).map_err(invalid)?;
                    at += before + padding;
                    if padding == 0 {
                        self.put(cx, writer, piece)?;
                        break at;
                    }
                    // Not a write for each chunk.
                    self.transfer.queue().extend_from_slice(piece);
                }
            }
            Reframe::Chunk => {
                self.counted(bytes.len() as u64)?;
                let size = format!("{:x}\r\n", bytes.len());
                self.transfer.queue().extend_from_slice(size.as_bytes());
                self.put(cx, writer, bytes)?;
                self.transfer.queue().extend_from_slice(b"\r\n");
                bytes.len()
            }
            Reframe::Unchunk => {
                let mut at = 0;
                while at < bytes.len() && !self.scanner.is_complete() {
                    let (framing, data) = self.scanner.split(&bytes[at..]).map_err(invalid)?;
                    let piece = &bytes[at + framing..at + framing + data];
                    match piece.len() {
                        // Not a write for each chunk.
                        0..=SMALL => self.transfer.queue().extend_from_slice(piece),
                        _ => self.put(cx, writer, piece)?,
                    }
                    at += framing + data;
                }
                at
            }
        };
        let mut at = taken;
        if self.reframe == Reframe::Not && self.scanner.is_in_trailers() && !self.is_read {
            let count = self.scanner.advance(&bytes[at..]).map_err(invalid)?;
            self.section.extend_from_slice(&bytes[at..at + count]);
            at += count;
            if self.scanner.is_complete() {
                let mut fields = trailer_fields(&std::mem::take(&mut self.section)).map_err(invalid)?;
                match &self.ending {
                    Some(ending) => ending.strip(&mut fields),
                    None => trailer::strip(&mut fields),
                }
                encode_fields(&fields, self.transfer.queue());
            }
        }
        self.is_read = self.scanner.is_complete();
        Ok(at)
    }

    fn put<W>(&mut self, cx: &mut Context<'_>, writer: &mut W, bytes: &[u8]) -> Result<(), Broken>
    where
        W: AsyncWrite + Unpin,
    {
        self.transfer.put(cx, writer, bytes).map_err(Broken::Writer)
    }

    fn counted(&mut self, content: u64) -> Result<(), Broken> {
        self.content = self.content.saturating_add(content);
        match self.most_content.filter(|most| self.content > *most) {
            Some(most) => Err(Broken::TooLarge(most)),
            None => Ok(()),
        }
    }

    /// The reader has ended.
    fn end(&mut self) -> Result<(), Broken> {
        if !self.scanner.may_end_here() {
            return Err(Broken::Reader(Cause::Closed));
        }
        if self.reframe == Reframe::Chunk {
            self.transfer.queue().extend_from_slice(b"0\r\n\r\n");
        }
        self.is_read = true;
        Ok(())
    }
}
