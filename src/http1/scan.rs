//! Where a head ends, and which bytes may stand in it. Looks at each byte once, however it arrives.
//!
//! Knows lines and limits, not what they mean.

use super::{HeadError, HeadLimits, RequestLineError};

/// RFC 8446, section 5.1: what begins the records of TLS that a peer may send first, and the byte after it, which is the
/// same in all versions.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const TLS_MAJOR: u8 = 3;

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
        while self.end.is_none() && self.position < within_limit {
            if !self.after_carriage_return && self.position != self.line_start {
                // What most bytes are: in the middle of a line, with nothing to say about them.
                self.position += ordinary(&buffer[self.position..within_limit]);
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

    /// An upstream that speaks something else is recognised by its first bytes, not by waiting for its empty line.
    fn may_begin_so(&self, byte: u8) -> bool {
        const STATUS_LINE: &[u8] = b"HTTP/";
        self.skip_empty_lines
            || STATUS_LINE
                .get(self.position)
                .is_none_or(|expected| *expected == byte)
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

/// How many bytes of these, from the first on, have nothing to be said about them.
fn ordinary(bytes: &[u8]) -> usize {
    // Without a branch for each byte, which the compiler makes a few instructions of.
    let are_ordinary = |block: &&[u8]| block.iter().fold(true, |all, byte| all & !is_remarkable(*byte));
    let blocks = bytes.chunks_exact(16).take_while(are_ordinary).count();
    let rest = bytes[16 * blocks..].iter();
    16 * blocks + rest.take_while(|byte| is_ordinary(**byte)).count()
}

/// Whether a byte may be other than [ordinary](is_ordinary): a control byte, or a tab.
const fn is_remarkable(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}

/// Whether a byte may stand anywhere within a line: a tab, a printable byte, or one beyond ASCII (RFC 9110, section
/// 5.5).
const fn is_ordinary(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [true; 256];
        let mut control = 0;
        while control < b' ' {
            table[control as usize] = control == b'\t';
            control += 1;
        }
        table[0x7f] = false;
        table
    };
    TABLE[byte as usize]
}
