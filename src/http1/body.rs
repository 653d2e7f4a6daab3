//! Which of the bytes after a head belong to its body, for every framing.

use super::{BodyLength, ChunkedError, ChunkedScanner};

/// Finds the end of a body in bytes that arrive in pieces, whatever its framing.
///
/// ```
/// use switchover::http1::{BodyLength, BodyScanner};
///
/// let mut scanner = BodyScanner::new(BodyLength::Exactly(5));
/// assert_eq!(scanner.advance(b"hel"), Ok(3));
/// assert_eq!(scanner.advance(b"lo, and more"), Ok(2));
/// assert!(scanner.is_complete());
/// ```
#[derive(Clone, Debug)]
pub struct BodyScanner(State);

#[derive(Clone, Debug)]
enum State {
    Exactly(u64),
    Chunked(ChunkedScanner),
    UntilClose,
}

impl BodyScanner {
    /// A scanner at the start of a body.
    #[must_use]
    pub fn new(length: BodyLength) -> Self {
        BodyScanner(match length {
            BodyLength::None => State::Exactly(0),
            BodyLength::Exactly(length) => State::Exactly(length),
            BodyLength::Chunked => State::Chunked(ChunkedScanner::default()),
            BodyLength::UntilClose => State::UntilClose,
        })
    }

    /// Looks at the next bytes and returns how many of them belong to the body.
    ///
    /// # Errors
    ///
    /// The rule of the chunked coding that the bytes break.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, ChunkedError> {
        match &mut self.0 {
            State::Exactly(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Ok(taken)
            }
            State::Chunked(scanner) => scanner.advance(bytes),
            State::UntilClose => Ok(bytes.len()),
        }
    }

    /// As [`advance`](BodyScanner::advance), up to [padding](Self::skip_padding) or a trailer section.
    #[cfg(feature = "gateway")]
    pub(crate) fn advance_to_trailers(&mut self, bytes: &[u8]) -> Result<usize, ChunkedError> {
        match &mut self.0 {
            State::Chunked(scanner) => scanner.advance_to_trailers(bytes),
            _ => self.advance(bytes),
        }
    }

    /// Goes on behind padding of a chunk's size, and returns how much there is of it: it is left out of what is relayed as it is.
    #[cfg(feature = "gateway")]
    pub(crate) fn skip_padding(&mut self, bytes: &[u8]) -> Result<usize, ChunkedError> {
        match &mut self.0 {
            State::Chunked(scanner) => scanner.skip_padding(bytes),
            _ => Ok(0),
        }
    }

    /// Whether nothing but a trailer section and its empty line is left.
    #[cfg(feature = "gateway")]
    pub(crate) fn is_in_trailers(&self) -> bool {
        matches!(&self.0, State::Chunked(scanner) if scanner.is_in_trailers())
    }

    /// Looks at the next bytes up to the end of one run of content: how many of them frame it, and how many it has.
    /// Both are zero for no bytes, and behind the end of the body.
    #[cfg(feature = "hyper")]
    pub(crate) fn split(&mut self, bytes: &[u8]) -> Result<(usize, usize), ChunkedError> {
        match &mut self.0 {
            State::Chunked(scanner) => scanner.split(bytes),
            _ => self.advance(bytes).map(|count| (0, count)),
        }
    }

    /// Looks at the next bytes up to [padding](Self::skip_padding) or the trailer section, if there is one: how many of them come before it, and how many of those
    /// are content.
    #[cfg(feature = "hyper")]
    pub(crate) fn advance_data(&mut self, bytes: &[u8]) -> Result<(usize, u64), ChunkedError> {
        match &mut self.0 {
            State::Chunked(scanner) => scanner.advance_data(bytes),
            _ => self.advance(bytes).map(|count| (count, count as u64)),
        }
    }

    /// Looks at the next bytes up to content or a trailer section, and returns how many come before it.
    #[cfg(feature = "hyper")]
    pub(crate) fn advance_framing(&mut self, bytes: &[u8]) -> Result<usize, ChunkedError> {
        match &mut self.0 {
            State::Chunked(scanner) => scanner.advance_framing(bytes),
            State::Exactly(_) | State::UntilClose => Ok(0),
        }
    }

    /// How many bytes of content come next for certain, with nothing between them.
    #[cfg(feature = "hyper")]
    pub(crate) fn data_left(&self) -> u64 {
        match &self.0 {
            State::Exactly(left) => *left,
            State::Chunked(scanner) => scanner.data_left(),
            State::UntilClose => u64::MAX,
        }
    }

    /// How many bytes of content are left, where that is known from the beginning.
    #[cfg(feature = "hyper")]
    pub(crate) fn content_left(&self) -> Option<u64> {
        match &self.0 {
            State::Exactly(left) => Some(*left),
            _ => None,
        }
    }

    /// Goes on behind content that nobody has looked at, at most as much as is [left](Self::data_left).
    #[cfg(feature = "hyper")]
    pub(crate) fn skip_data(&mut self, count: u64) {
        match &mut self.0 {
            State::Exactly(left) => *left = left.saturating_sub(count),
            State::Chunked(scanner) => drop(scanner.skip_data(count)),
            State::UntilClose => {}
        }
    }

    /// Whether the whole body has been seen. A body that ends with the connection never is.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.0 {
            State::Exactly(left) => *left == 0,
            State::Chunked(scanner) => scanner.is_complete(),
            State::UntilClose => false,
        }
    }

    /// Whether the end of the connection may end this body: true for a complete one and for one without a length.
    #[must_use]
    pub fn may_end_here(&self) -> bool {
        matches!(self.0, State::UntilClose) || self.is_complete()
    }
}
