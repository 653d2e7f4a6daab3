//! Where a head ends, and which bytes may stand in it. Looks at each byte once, however it arrives.
//!
//! Knows lines and limits, not what they mean.

use super::{HeadError, HeadLimits, RequestLineError};
#[cfg(feature = "hyper")]
use crate::token;

/// RFC 8446, section 5.1: what begins the records of TLS that a peer may send first, and the byte after it, which is the
/// same in all versions.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const TLS_MAJOR: u8 = 3;

/// RFC 9112, section 4: what every status line begins with.
const STATUS_LINE: &[u8] = b"HTTP/";

/// Finds the end of a head in bytes that arrive in pieces, and refuses the first byte that cannot be part of one.
///
/// Feeding a growing buffer costs each byte once, so a head that comes byte by byte costs no more than one that
/// comes whole.
///
/// ```
/// use switchover::http1::{HeadLimits, HeadScan};
///
/// let limits = HeadLimits::default();
/// let mut scan = HeadScan::request();
/// let mut buffer = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
/// assert_eq!(scan.advance(&buffer, &limits), Ok(None));
/// buffer.extend(b"\r\nearly data");
/// assert_eq!(scan.advance(&buffer, &limits), Ok(Some(27)));
/// ```
#[derive(Clone, Debug)]
pub struct HeadScan {
    /// The bytes of the buffer that have been looked at.
    position: usize,
    line_start: usize,
    /// Lines ended so far; the first is the start line.
    lines: usize,
    after_carriage_return: bool,
    /// RFC 9112, section 2.2: a server ignores an empty line before the request line. A client has no such duty.
    skip_empty_lines: bool,
    end: Option<usize>,
    line_ends: LineEnds,
}

/// Where the first lines end, so that nobody looks for that a second time.
#[derive(Clone, Debug)]
struct LineEnds {
    ends: [u16; 16],
    count: usize,
}

impl LineEnds {
    fn add(&mut self, position: usize) {
        if let (Some(end), Ok(position)) = (self.ends.get_mut(self.count), u16::try_from(position)) {
            *end = position;
            self.count += 1;
        }
    }
}

impl HeadScan {
    /// For a request head. Empty lines before the request line are skipped (RFC 9112, section 2.2).
    #[must_use]
    pub const fn request() -> Self {
        HeadScan {
            position: 0,
            line_start: 0,
            lines: 0,
            after_carriage_return: false,
            skip_empty_lines: true,
            end: None,
            line_ends: LineEnds {
                ends: [0; 16],
                count: 0,
            },
        }
    }

    /// For a response head.
    #[must_use]
    pub const fn response() -> Self {
        let mut scan = HeadScan::request();
        scan.skip_empty_lines = false;
        scan
    }

    /// Looks at what is new in `buffer`, which holds everything since the first byte of the head.
    ///
    /// Returns the length of the head, empty line included, once it is whole.
    ///
    /// # Errors
    ///
    /// The first byte that breaks a rule, or a limit exceeded; as early as it is known.
    pub fn advance(&mut self, buffer: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HeadError> {
        match buffer {
            // One byte says too little.
            [ALERT | HANDSHAKE] => return Ok(None),
            [ALERT | HANDSHAKE, TLS_MAJOR, ..] => return Err(HeadError::Tls),
            _ => {}
        }
        let within_limit = buffer.len().min(limits.bytes());
        if self.is_in_protocol() && self.position == 0 && buffer[..within_limit].starts_with(STATUS_LINE) {
            self.position = STATUS_LINE.len();
        }
        while self.end.is_none() && self.position < within_limit {
            if !self.after_carriage_return && !self.is_in_protocol() {
                // Of a field line it is the first byte at most that says something.
                let begins_field = self.lines > 0 && !matches!(buffer[self.position], b' ' | b'\t');
                if self.position != self.line_start || begins_field {
                    // What most bytes are: in the middle of a line, with nothing to say about them.
                    self.position += first_control(&buffer[self.position..within_limit]);
                }
                // And how most lines end.
                if buffer[self.position..within_limit].starts_with(b"\r\n") {
                    self.position += 1;
                    self.end_line(limits)?;
                    self.position += 1;
                    continue;
                }
                if self.position == within_limit {
                    break;
                }
            }
            self.take(buffer[self.position], limits)?;
            self.position += 1;
        }
        if self.end.is_none() && buffer.len() > limits.bytes() {
            return Err(self.too_long(limits));
        }
        Ok(self.end)
    }

    /// The count of field lines seen.
    pub(crate) fn fields(&self) -> usize {
        self.lines.saturating_sub(1)
    }

    /// Where the line feeds of the field lines stand: of the first of them, as many as are known.
    pub(super) fn field_ends(&self) -> &[u16] {
        self.line_ends
            .ends
            .get(1..self.line_ends.count)
            .unwrap_or_default()
    }

    fn take(&mut self, byte: u8, limits: &HeadLimits) -> Result<(), HeadError> {
        let offset = self.position;
        if self.after_carriage_return {
            if byte != b'\n' {
                return Err(HeadError::BareCarriageReturn { offset: offset - 1 });
            }
            self.after_carriage_return = false;
            return self.end_line(limits);
        }
        match byte {
            b'\r' if self.is_in_protocol() => return Err(HeadError::StartLine),
            b'\r' => self.after_carriage_return = true,
            b'\n' => return Err(HeadError::BareLineFeed { offset }),
            b' ' | b'\t' if offset == self.line_start => {
                return Err(match self.lines {
                    0 if self.skip_empty_lines => RequestLineError::LeadingWhiteSpace.into(),
                    0 => HeadError::StartLine,
                    _ => HeadError::LineFolding { offset },
                });
            }
            b'\t' | b' '..=b'~' | 0x80.. if self.may_begin_so(byte) => {}
            b'\t' | b' '..=b'~' | 0x80.. => return Err(HeadError::StartLine),
            _ => return Err(HeadError::ControlByte { offset, byte }),
        }
        Ok(())
    }

    /// Whether the next byte is one of the first of a status line. An upstream that speaks something else is recognised by these, not by
    /// waiting for its empty line.
    fn is_in_protocol(&self) -> bool {
        !self.skip_empty_lines && self.position < STATUS_LINE.len()
    }

    fn may_begin_so(&self, byte: u8) -> bool {
        !self.is_in_protocol() || STATUS_LINE.get(self.position) == Some(&byte)
    }

    fn end_line(&mut self, limits: &HeadLimits) -> Result<(), HeadError> {
        let empty = self.position - self.line_start == 1;
        self.line_start = self.position + 1;
        if empty && self.lines == 0 {
            return if self.skip_empty_lines {
                Ok(())
            } else {
                Err(HeadError::StartLine)
            };
        }
        if empty {
            self.end = Some(self.position + 1);
            return Ok(());
        }
        self.lines += 1;
        self.line_ends.add(self.position);
        if self.fields() > limits.fields() {
            return Err(HeadError::TooManyFields {
                limit: limits.fields(),
            });
        }
        Ok(())
    }

    fn too_long(&self, limits: &HeadLimits) -> HeadError {
        let limit = limits.bytes();
        if self.lines == 0 {
            HeadError::StartLineTooLong { limit }
        } else {
            HeadError::TooLarge { limit }
        }
    }
}

/// The length of the head that these bytes begin with, which is known to be whole and sound: only its end is looked for. RFC 9112,
/// section 2.2: empty lines may come before it.
#[cfg(feature = "hyper")]
pub(crate) fn end_of_head(bytes: &[u8]) -> usize {
    let is_line_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    let mut at = bytes.iter().take_while(is_line_end).count();
    // The line feeds are few, and the empty line is the one that follows another at once.
    while let Some(next) = token::find(&bytes[at..], b'\n') {
        at += next + 1;
        if bytes[at..].starts_with(b"\r\n") {
            return at + 2;
        }
    }
    bytes.len()
}

/// Where the first control byte of these stands: below the space, or DEL. Their length if there is none.
pub(super) fn first_control(bytes: &[u8]) -> usize {
    let is_control = |byte: &u8| *byte < b' ' || *byte == 0x7f;
    let mut rest = bytes;
    // Without a branch for each byte, the compiler makes it a few instructions for all of them.
    while let Some((block, behind)) = rest.split_first_chunk::<16>() {
        if block.iter().fold(false, |any, byte| any | is_control(byte)) {
            break;
        }
        rest = behind;
    }
    while let Some((eight, behind)) = rest.split_first_chunk() {
        let found = controls(u64::from_le_bytes(*eight));
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    let at = rest.iter().position(is_control).unwrap_or(rest.len());
    bytes.len() - rest.len() + at
}

/// Eight bytes at once, the first of them the lowest: the high bit of each control byte. Beyond the first of them it may be set for
/// others, because what is subtracted from one byte is borrowed from the next.
const fn controls(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 255;
    const HIGH: u64 = EACH << 7;
    let below_space = word.wrapping_sub(EACH * b' ' as u64) & !word;
    let difference = word ^ (EACH * 0x7f);
    let is_delete = difference.wrapping_sub(EACH) & !difference;
    (below_space | is_delete) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "hyper")]
    fn the_end_of_a_sound_head() {
        let heads = [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t\r\n\r\n",
        ];
        for head in heads {
            for behind in [
                "",
                "\r\n",
                "\r\n\r\n",
                "body",
                "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            ] {
                let bytes = [head, behind].concat();
                assert_eq!(end_of_head(bytes.as_bytes()), head.len(), "{bytes:?}");
                let scanned = HeadScan::request().advance(bytes.as_bytes(), &HeadLimits::default());
                assert_eq!(scanned, Ok(Some(head.len())), "{bytes:?}");
            }
        }
    }

    #[test]
    fn what_is_no_status_line_is_known_by_its_first_bytes() {
        for (bytes, expected) in [
            ("HTTP/1.1 200 OK\r\n", Ok(None)),
            ("HTTP/", Ok(None)),
            ("HT", Ok(None)),
            ("HELO\r\n", Err(HeadError::StartLine)),
            ("HTTP\r\n", Err(HeadError::StartLine)),
            ("HTTP 200 OK\r\n", Err(HeadError::StartLine)),
            ("HTTPS/1.1", Err(HeadError::StartLine)),
            ("XELO", Err(HeadError::StartLine)),
            ("\r\nHTTP/1.1 200 OK\r\n", Err(HeadError::StartLine)),
            (" HTTP/1.1 200 OK\r\n", Err(HeadError::StartLine)),
            ("H\0", Err(HeadError::ControlByte { offset: 1, byte: 0 })),
            ("HTTP\n", Err(HeadError::BareLineFeed { offset: 4 })),
        ] {
            let limits = HeadLimits::default();
            let whole = HeadScan::response().advance(bytes.as_bytes(), &limits);
            assert_eq!(whole, expected, "{bytes:?}");
            let mut scan = HeadScan::response();
            let mut in_pieces = (0..=bytes.len()).map(|end| scan.advance(&bytes.as_bytes()[..end], &limits));
            let failed = in_pieces.find(Result::is_err);
            assert_eq!(failed.unwrap_or(Ok(None)), expected, "byte by byte: {bytes:?}");
        }
    }

    #[test]
    fn the_first_control_byte_is_found_wherever_it_stands_and_whatever_is_around_it() {
        for byte in 0..=u8::MAX {
            for around in [b' ', b'!', b'~', 0x80, 0xa0, 0xff] {
                for length in 0..40 {
                    for at in 0..length {
                        let mut bytes = vec![around; length];
                        bytes[at] = byte;
                        let is_control = byte < b' ' || byte == 0x7f;
                        let expected = if is_control { at } else { length };
                        assert_eq!(
                            first_control(&bytes),
                            expected,
                            "{byte:#x} at {at} in {around:#x}"
                        );
                        // What follows may be a control byte too.
                        bytes[at..].fill(byte);
                        assert_eq!(first_control(&bytes), expected, "from {at} on");
                    }
                }
            }
        }
    }
}
