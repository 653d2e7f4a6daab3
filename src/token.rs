//! What a token, optional white space and a `#element` list are (RFC 9110, section 5.6).
//!
//! Used by every rule that looks inside a field value. Must not know any field by name.
//!
//! ```
//! use switchover::token;
//!
//! let connection = b"keep-alive, , Upgrade";
//! assert!(token::elements(connection).eq([&b"keep-alive"[..], b"Upgrade"]));
//! assert!(token::is_token(b"Sec-WebSocket-Key"));
//! assert!(!token::is_token(b"Sec-WebSocket-Key "));
//! ```

/// The most elements of one list that are taken from a peer: the options of `Connection`, the protocols of `Upgrade`, the
/// subprotocols and extensions of a WebSocket handshake, the hops of `Via`, `Forwarded` and `X-Forwarded-For`, `TE` and `Trailer`.
/// A message with more is refused.
///
/// No real list comes near it, and rules that compare the elements of two lists with each other stay cheap.
pub const MAX_ELEMENTS: usize = 64;

/// Whether a byte may stand in a token (RFC 9110, section 5.6.2).
#[must_use]
pub const fn is_tchar(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            table[byte as usize] = matches!(byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
                | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z');
            byte += 1;
        }
        table
    };
    TABLE[byte as usize]
}

/// Whether the bytes are one token: at least one byte, each a [`is_tchar`].
#[must_use]
pub const fn is_token(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        if !is_tchar(bytes[at]) {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

/// The bytes without optional white space (spaces and tabs) at either end (RFC 9110, section 5.6.3).
#[must_use]
pub const fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether there is no optional white space at either end.
pub(crate) const fn is_trimmed(bytes: &[u8]) -> bool {
    trim_ows(bytes).len() == bytes.len()
}

/// The elements of a comma-separated list, trimmed, empty ones skipped (RFC 9110, section 5.6.1.2).
///
/// A comma inside a quoted-string does not separate. A quoted-string that is never closed runs to the end.
#[must_use]
pub fn elements(value: &[u8]) -> Elements<'_> {
    Elements { rest: value }
}

/// The elements of a comma-separated list of tokens: as [`elements`], but every comma separates.
///
/// For fields in which no quoted-string may stand, such as `Connection` and `Upgrade`: a stray quote must not hide
/// from us what another recipient reads.
///
/// ```
/// use switchover::token;
///
/// assert!(token::unquoted_elements(b"\"a, b").eq([&b"\"a"[..], b"b"]));
/// ```
pub fn unquoted_elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    let next = move || {
        let value = rest?;
        let (element, behind) = match find(value, b',') {
            Some(comma) => (&value[..comma], Some(&value[comma + 1..])),
            None => (value, None),
        };
        rest = behind;
        Some(trim_ows(element))
    };
    std::iter::from_fn(next).filter(|element| !element.is_empty())
}

/// The iterator that [`elements`] returns.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let end = unquoted(self.rest, b',').unwrap_or(self.rest.len());
            let element = trim_ows(&self.rest[..end]);
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    }
}

/// Where this byte first stands. Eight bytes are looked at together.
pub(crate) fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    const EACH: u64 = u64::MAX / 255;
    const HIGH: u64 = EACH << 7;
    let wanted = EACH * u64::from(byte);
    let mut rest = bytes;
    while let Some((eight, behind)) = rest.split_first_chunk() {
        // The high bit of each byte that is zero. Above the first of them it may be set for others.
        let difference = u64::from_le_bytes(*eight) ^ wanted;
        let found = difference.wrapping_sub(EACH) & !difference & HIGH;
        if found != 0 {
            return Some(bytes.len() - rest.len() + found.trailing_zeros() as usize / 8);
        }
        rest = behind;
    }
    let at = rest.iter().position(|other| *other == byte)?;
    Some(bytes.len() - rest.len() + at)
}

/// Whether this byte is among these: as [`find`], and the last of them are looked at together too.
pub(crate) fn contains(bytes: &[u8], byte: u8) -> bool {
    match bytes.last_chunk::<8>() {
        Some(last) => find(&bytes[..bytes.len() / 8 * 8], byte).is_some() || find(last, byte).is_some(),
        None => bytes.contains(&byte),
    }
}

/// Whether a quoted-string begins in these bytes and does not end there.
pub(crate) fn is_open(bytes: &[u8]) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for byte in bytes {
        let literal = std::mem::take(&mut escaped);
        match byte {
            b'"' if !literal => quoted = !quoted,
            b'\\' if quoted && !literal => escaped = true,
            _ => {}
        }
    }
    quoted
}

/// Where `separator` first stands outside a quoted-string.
pub(crate) fn unquoted(bytes: &[u8], separator: u8) -> Option<usize> {
    // Most elements have no quotes.
    let first = bytes.iter().position(|&byte| byte == separator || byte == b'"')?;
    if bytes[first] == separator {
        return Some(first);
    }
    let mut quoted = false;
    let mut escaped = false;
    bytes.iter().position(|&byte| {
        let literal = std::mem::take(&mut escaped);
        match byte {
            b'"' if !literal => quoted = !quoted,
            b'\\' if quoted && !literal => escaped = true,
            _ => {}
        }
        byte == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(value: &str) -> Vec<&str> {
        elements(value.as_bytes())
            .map(|element| std::str::from_utf8(element).unwrap())
            .collect()
    }

    #[test]
    fn a_byte_is_found_wherever_it_stands_and_whatever_is_around_it() {
        for byte in [0, b':', b'_', 0x7f, 0x80, 0xff] {
            for around in [byte.wrapping_sub(1), byte.wrapping_add(1), byte ^ 0x80, b'a'] {
                for length in 0..20 {
                    let without = vec![around; length];
                    assert!(find(&without, byte).is_none() && !contains(&without, byte));
                    for at in 0..length {
                        let mut bytes = without.clone();
                        bytes[at] = byte;
                        let case = format!("{byte:#x} at {at} of {length}, in {around:#x}");
                        assert!(find(&bytes, byte) == Some(at) && contains(&bytes, byte), "{case}");
                        bytes[at..].fill(byte);
                        assert_eq!(find(&bytes, byte), Some(at), "{case}, and behind it");
                    }
                }
            }
        }
    }

    #[test]
    fn list_elements_by_rfc_9110_section_5_6_1() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (",", &[]),
            (" , ,\t", &[]),
            ("a", &["a"]),
            ("a,b", &["a", "b"]),
            (" a ,\tb , ", &["a", "b"]),
            (",a,,b,", &["a", "b"]),
            ("a b, c", &["a b", "c"]),
            (r#"x; y="1,2", z"#, &[r#"x; y="1,2""#, "z"]),
            (r#""a\",b", c"#, &[r#""a\",b""#, "c"]),
            (r#"a, "never closed, b"#, &["a", r#""never closed, b"#]),
        ];
        for (value, expected) in cases {
            assert_eq!(list(value), *expected, "{value:?}");
        }
    }

    #[test]
    fn quoted_strings_that_do_not_end() {
        for (value, is_open_) in [
            ("", false),
            ("for=a", false),
            ("for=\"a\"", false),
            ("for=\"a", true),
            ("for=\"a\\\"", true),
            ("for=\"a\\\\\"", false),
            ("for=\\\"a", true),
            ("\"a\", \"", true),
        ] {
            assert_eq!(is_open(value.as_bytes()), is_open_, "{value}");
        }
    }

    #[test]
    fn tokens_by_rfc_9110_section_5_6_2() {
        for good in ["a", "Upgrade", "!#$%&'*+-.^_`|~09AZaz"] {
            assert!(is_token(good.as_bytes()), "{good:?}");
        }
        for bad in [
            "", " ", "a b", "a,b", "a/b", "a:b", "\"a\"", "(", "a\t", "\u{e9}", "a\0",
        ] {
            assert!(!is_token(bad.as_bytes()), "{bad:?}");
        }
    }
}
