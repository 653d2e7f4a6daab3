//! Where a chunked body ends (RFC 9112, section 7.1). Skips the data, keeps nothing, alters nothing.
//!
//! A proxy that relays the coding as it is needs the end, not the content.

/// What is wrong with a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkedError {
    /// A chunk size that is not hexadecimal, or does not fit 64 bits.
    #[error("a chunk size is not a hexadecimal number")]
    Size,
    /// A line that does not end with CRLF, or chunk data longer than its size.
    #[error("a chunk does not end with CRLF")]
    LineEnd,
    /// A control byte in a chunk extension or trailer.
    #[error("a control byte in a chunk extension or trailer field")]
    ControlByte,
    /// A trailer field without a valid name.
    #[error("a trailer field has an invalid name")]
    TrailerName,
    /// Trailers beyond 16 KiB, the extensions of a chunk, or those of all chunks beyond what they carry: a body of a few bytes
    /// would otherwise take as many as its sender likes.
    #[error("chunk extensions or trailer fields are longer than 16384 bytes")]
    TooLong,
    /// More trailer fields than a head may have fields by default.
    #[error("there are more than 128 trailer fields")]
    TooManyTrailers,
}

/// The most bytes of one chunk's extensions, of all trailers, and of all sizes and extensions beyond what chunks need.
const LINE_LIMIT: u32 = 16 * 1024;
/// What the size and the extensions of a chunk may take beside as much as its data, whatever came before.
const FREE_LINE: u64 = 16;
/// The most fields of a trailer section.
const TRAILERS_LIMIT: u16 = 128;

/// Finds the end of a chunked body in bytes that arrive in pieces.
///
/// ```
/// use switchover::http1::ChunkedScanner;
///
/// let mut scanner = ChunkedScanner::default();
/// let body = b"5\r\nhello\r\n0\r\n\r\nnext message";
/// assert_eq!(scanner.advance(body), Ok(15));
/// assert!(scanner.is_complete());
/// ```
#[derive(Clone, Debug, Default)]
pub struct ChunkedScanner {
    state: State,
    /// The size of the chunk that is being announced, or what is left of its data.
    size: u64,
    /// Bytes of the line or trailer section so far.
    line: u32,
    /// How much longer the lines of sizes have been than the data behind them accounts for.
    excess: u64,
    /// Fields of the trailer section so far.
    trailers: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    #[default]
    SizeStart,
    Size,
    /// In white space behind the digits.
    SizeSpace,
    Extension,
    SizeLineFeed,
    Data,
    DataCarriageReturn,
    DataLineFeed,
    /// At the start of a line of the trailer section.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
    Complete,
}

impl ChunkedScanner {
    /// Whether the whole body, last chunk and trailer section included, has been seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Looks at the next bytes and returns how many of them belong to the body.
    ///
    /// # Errors
    ///
    /// The rule of the coding that the bytes break. The scanner must not be used after that.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, ChunkedError> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Complete {
            let (framing, data) = self.split(&bytes[at..])?;
            at += framing + data;
        }
        Ok(at)
    }

    /// As [`advance`](ChunkedScanner::advance), up to [padding](Self::skip_padding) or the trailer section, which the empty line
    /// belongs to.
    #[cfg(feature = "gateway")]
    pub(super) fn advance_to_trailers(&mut self, bytes: &[u8]) -> Result<usize, ChunkedError> {
        let mut at = 0;
        while at < bytes.len() && !self.is_in_trailers() && !self.is_padding(bytes[at]) {
            at += match self.state {
                State::Data => self.split(&bytes[at..])?.1,
                _ => {
                    self.state = self.step(bytes[at])?;
                    1
                }
            };
        }
        Ok(at)
    }

    /// Whether all chunks have been seen, the last one with its line.
    #[cfg(feature = "gateway")]
    pub(super) fn is_in_trailers(&self) -> bool {
        matches!(
            self.state,
            State::TrailerStart
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLineFeed
                | State::LastLineFeed
                | State::Complete
        )
    }

    /// Looks at the next bytes up to the end of one run of data: how many of them frame it, and how many it has.
    pub(super) fn split(&mut self, bytes: &[u8]) -> Result<(usize, usize), ChunkedError> {
        let mut framing = 0;
        while framing < bytes.len() && !matches!(self.state, State::Data | State::Complete) {
            self.state = self.step(bytes[framing])?;
            framing += 1;
        }
        if self.state != State::Data {
            return Ok((framing, 0));
        }
        let left = bytes.len() - framing;
        let data = usize::try_from(self.size).unwrap_or(usize::MAX).min(left);
        self.size -= data as u64;
        if self.size == 0 {
            self.state = State::DataCarriageReturn;
        }
        Ok((framing, data))
    }

    /// Goes on behind white space that follows the digits of a size, and returns how much there is of it. Whoever relays the coding
    /// as it is leaves it out: recipients differ about it.
    ///
    /// RFC 9112, section 7.1.1: there may be white space before an extension, which a recipient removes (RFC 9110, section 5.6.3).
    /// Without an extension no rule permits it; servers are known that pad each size to the same length.
    #[cfg(feature = "gateway")]
    pub(super) fn skip_padding(&mut self, bytes: &[u8]) -> Result<usize, ChunkedError> {
        let mut at = 0;
        while at < bytes.len() && self.is_padding(bytes[at]) {
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    #[cfg(feature = "gateway")]
    fn is_padding(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t') && matches!(self.state, State::Size | State::SizeSpace)
    }

    /// Looks at the next bytes up to [padding](Self::skip_padding) or the trailer section: how many of them come before it, and how
    /// many of those are data.
    #[cfg(feature = "hyper")]
    pub(super) fn advance_data(&mut self, bytes: &[u8]) -> Result<(usize, u64), ChunkedError> {
        let (mut at, mut data) = (0, 0);
        while at < bytes.len() && !self.is_in_trailers() && !self.is_padding(bytes[at]) {
            if self.state == State::Data {
                let run = self.skip_data((bytes.len() - at) as u64);
                at += run as usize;
                data += run;
            } else {
                self.state = self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok((at, data))
    }

    /// Looks at the next bytes up to the data of a chunk or the trailer section, and returns how many come before it.
    #[cfg(feature = "hyper")]
    pub(super) fn advance_framing(&mut self, bytes: &[u8]) -> Result<usize, ChunkedError> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Data && !self.is_in_trailers() {
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    /// How many bytes of data come next for certain.
    #[cfg(feature = "hyper")]
    pub(super) fn data_left(&self) -> u64 {
        match self.state {
            State::Data => self.size,
            _ => 0,
        }
    }

    /// Goes on behind bytes of data that nobody has looked at, at most as many as are [left](Self::data_left). Returns how many.
    #[cfg(feature = "hyper")]
    pub(super) fn skip_data(&mut self, count: u64) -> u64 {
        let count = count.min(self.data_left());
        self.size -= count;
        if count > 0 && self.size == 0 {
            self.state = State::DataCarriageReturn;
        }
        count
    }

    fn step(&mut self, byte: u8) -> Result<State, ChunkedError> {
        Ok(match (self.state, byte) {
            (State::SizeStart, _) => {
                (self.size, self.line) = (0, 0);
                self.digit(byte)?
            }
            (State::Size | State::SizeSpace, b';') => State::Extension,
            (State::Size | State::SizeSpace | State::Extension, b'\r') => State::SizeLineFeed,
            (State::Size | State::SizeSpace, b' ' | b'\t') => self.count().map(|()| State::SizeSpace)?,
            (State::SizeSpace, _) => return Err(ChunkedError::Size),
            (State::Size, _) => self.digit(byte)?,
            (State::Extension, _) => self.text(byte, State::Extension)?,
            (State::SizeLineFeed, b'\n') if self.size > 0 => {
                let free = self.size.saturating_add(FREE_LINE);
                self.excess = (self.excess + u64::from(self.line)).saturating_sub(free);
                if self.excess > u64::from(LINE_LIMIT) {
                    return Err(ChunkedError::TooLong);
                }
                State::Data
            }
            (State::SizeLineFeed, b'\n') => {
                self.line = 0;
                State::TrailerStart
            }
            (State::DataCarriageReturn, b'\r') => State::DataLineFeed,
            (State::DataLineFeed, b'\n') => State::SizeStart,
            (State::TrailerStart, b'\r') => State::LastLineFeed,
            (State::TrailerStart, _) => {
                let name = self.trailer_name(byte)?;
                self.trailers += 1;
                if self.trailers > TRAILERS_LIMIT {
                    return Err(ChunkedError::TooManyTrailers);
                }
                name
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerName, _) => self.trailer_name(byte)?,
            (State::TrailerValue, b'\r') => State::TrailerLineFeed,
            (State::TrailerValue, _) => self.text(byte, State::TrailerValue)?,
            (State::TrailerLineFeed, b'\n') => State::TrailerStart,
            (State::LastLineFeed, b'\n') => State::Complete,
            _ => return Err(ChunkedError::LineEnd),
        })
    }

    fn digit(&mut self, byte: u8) -> Result<State, ChunkedError> {
        let digit = char::from(byte).to_digit(16).ok_or(ChunkedError::Size)?;
        self.count()?;
        let size = self
            .size
            .checked_mul(16)
            .and_then(|size| size.checked_add(u64::from(digit)));
        self.size = size.ok_or(ChunkedError::Size)?;
        Ok(State::Size)
    }

    fn trailer_name(&mut self, byte: u8) -> Result<State, ChunkedError> {
        if !crate::token::is_tchar(byte) {
            return Err(ChunkedError::TrailerName);
        }
        self.count()?;
        Ok(State::TrailerName)
    }

    fn text(&mut self, byte: u8, state: State) -> Result<State, ChunkedError> {
        match byte {
            b'\n' => Err(ChunkedError::LineEnd),
            b'\t' | b' '..=b'~' | 0x80.. => self.count().map(|()| state),
            _ => Err(ChunkedError::ControlByte),
        }
    }

    fn count(&mut self) -> Result<(), ChunkedError> {
        self.line += 1;
        if self.line > LINE_LIMIT {
            Err(ChunkedError::TooLong)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the body whole, byte by byte, and with a tail; returns the length found, if it ended.
    fn scan(body: &[u8]) -> Result<Option<usize>, ChunkedError> {
        let mut whole = ChunkedScanner::default();
        let found = whole
            .advance(body)
            .map(|length| whole.is_complete().then_some(length));

        let mut single = ChunkedScanner::default();
        let mut bytes = body.iter();
        let by_byte = loop {
            if single.is_complete() {
                break Ok(Some(body.len() - bytes.len()));
            }
            let Some(byte) = bytes.next() else { break Ok(None) };
            if let Err(error) = single.advance(std::slice::from_ref(byte)) {
                break Err(error);
            }
        };
        assert_eq!(found, by_byte, "whole and byte by byte: {body:?}");
        if let Ok(Some(length)) = found {
            let mut tailed = ChunkedScanner::default();
            assert_eq!(tailed.advance(&[body, b"HTTP/1.1 200 OK"].concat()), Ok(length));
        }
        found
    }

    #[test]
    fn bodies_by_rfc_9112_section_7_1() {
        let cases: &[(&str, Result<Option<usize>, ChunkedError>)] = &[
            ("0\r\n\r\n", Ok(Some(5))),
            ("5\r\nhello\r\n0\r\n\r\n", Ok(Some(15))),
            ("A;name=\"v;\"\r\n0123456789\r\n00\r\n\r\n", Ok(Some(31))),
            ("0\r\nExpires: now\r\nX: y\r\n\r\n", Ok(Some(25))),
            ("5\r\nhello\r\n", Ok(None)),
            ("5\r\nhelloo\r\n", Err(ChunkedError::LineEnd)),
            ("5\nhello\r\n", Err(ChunkedError::Size)),
            ("5;a\nhello\r\n", Err(ChunkedError::LineEnd)),
            ("5\r\nhello\n0\r\n\r\n", Err(ChunkedError::LineEnd)),
            ("0\r\n\n", Err(ChunkedError::TrailerName)),
            ("\r\n", Err(ChunkedError::Size)),
            (" 5\r\n", Err(ChunkedError::Size)),
            ("5 \r\nhello\r\n0 \t\r\n\r\n", Ok(Some(18))),
            ("5 \t;a=b\r\nhello\r\n0 ; c\r\n\r\n", Ok(Some(25))),
            ("5 5\r\nhello", Err(ChunkedError::Size)),
            ("5 a\r\nhello", Err(ChunkedError::Size)),
            ("5 \nhello", Err(ChunkedError::Size)),
            ("5\x0b\r\nhello", Err(ChunkedError::Size)),
            ("+5\r\nhello", Err(ChunkedError::Size)),
            ("0x5\r\nhello", Err(ChunkedError::Size)),
            ("-1\r\n", Err(ChunkedError::Size)),
            ("10000000000000000\r\n", Err(ChunkedError::Size)),
            ("ffffffffffffffff\r\nx", Ok(None)),
            ("5;a\0\r\n", Err(ChunkedError::ControlByte)),
            ("0\r\nBad Name: x\r\n\r\n", Err(ChunkedError::TrailerName)),
            ("0\r\n: x\r\n\r\n", Err(ChunkedError::TrailerName)),
        ];
        for (body, expected) in cases {
            assert_eq!(scan(body.as_bytes()), *expected, "{body:?}");
        }
    }

    #[test]
    fn the_lines_of_all_chunks_are_bounded_by_what_they_carry() {
        let body = |extension: usize, data: usize, chunks: usize| {
            let chunk = format!("{data:x};{}\r\n{}\r\n", "e".repeat(extension), "d".repeat(data));
            format!("{}0\r\n\r\n", chunk.repeat(chunks))
        };
        for (extension, data, chunks, passes) in [
            // As small as they come, for as long as anyone likes.
            (0, 1, 100_000, true),
            // A signature beside each.
            (85, 8 * 1024, 1000, true),
            (1000, 1, 16, true),
            (1000, 1, 18, false),
            (16_000, 1, 1, true),
            (16_000, 1, 2, false),
            (16_000, 16_000, 20, true),
        ] {
            let body = body(extension, data, chunks);
            let expected = match passes {
                true => Ok(Some(body.len())),
                false => Err(ChunkedError::TooLong),
            };
            assert_eq!(
                scan(body.as_bytes()),
                expected,
                "{chunks} of {extension} and {data}"
            );
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let long = "x".repeat(LINE_LIMIT as usize + 1);
        assert_eq!(scan(format!("5;{long}").as_bytes()), Err(ChunkedError::TooLong));
        assert_eq!(
            scan(format!("0\r\na:{long}").as_bytes()),
            Err(ChunkedError::TooLong)
        );
        assert_eq!(
            scan("0".repeat(LINE_LIMIT as usize + 1).as_bytes()),
            Err(ChunkedError::TooLong)
        );
    }
}
