//! Percent-encoding of paths (RFC 3986, section 2.1). Encoded slashes are kept apart from slashes that separate segments.

use std::borrow::Cow;
use std::fmt::Write;

pub(super) const KEEP_SLASHES: bool = true;
pub(super) const DECODE_SLASHES: bool = false;

/// Percent-encoding decoded once; encoded slashes stay as they are where they are to be kept. What is no encoding
/// stays too.
pub(super) fn decode(path: &str, keep_slashes: bool) -> Cow<'_, [u8]> {
    let bytes = path.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, length)) = first(rest) {
        match keep_slashes && is_encoded_slash(&rest[..length]) {
            true => decoded.extend_from_slice(&rest[..length]),
            false => decoded.push(byte),
        }
        rest = &rest[length..];
    }
    Cow::Owned(decoded)
}

/// A decoded path as it is written in a target, with what nginx encodes (since 1.21.1) encoded.
pub(super) fn escape(path: &[u8]) -> String {
    let mut escaped = String::with_capacity(path.len());
    for &byte in path {
        match byte {
            0..=b' '
            | 0x7f..
            | b'"'
            | b'#'
            | b'%'
            | b'<'
            | b'>'
            | b'?'
            | b'\\'
            | b'^'
            | b'`'
            | b'{'
            | b'|'
            | b'}' => {
                let _ = write!(escaped, "%{byte:02X}");
            }
            _ => escaped.push(char::from(byte)),
        }
    }
    escaped
}

/// The first byte, decoded, and how many bytes stand for it.
fn first(bytes: &[u8]) -> Option<(u8, usize)> {
    let digit = |at: usize| {
        let digit = char::from(*bytes.get(at)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    match (*bytes.first()?, digit(1), digit(2)) {
        (b'%', Some(high), Some(low)) => Some((high << 4 | low, 3)),
        (byte, _, _) => Some((byte, 1)),
    }
}

pub(super) fn is_encoded_slash(bytes: &[u8]) -> bool {
    bytes.eq_ignore_ascii_case(b"%2f")
}

/// How many bytes of `path` stand for `decoded`, if it begins with that and no slash in it is encoded.
pub(super) fn length_of(path: &str, decoded: &[u8]) -> Option<usize> {
    let mut rest = path.as_bytes();
    for &expected in decoded {
        let (byte, length) = first(rest)?;
        if byte != expected || byte == b'/' && length > 1 {
            return None;
        }
        rest = &rest[length..];
    }
    Some(path.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_what_is_matched() {
        let cases = [
            ("/a/b", "/a", Some(2)),
            ("/%61/b", "/a", Some(4)),
            ("/%6", "/%6", Some(3)),
            ("%2fa", "/a", None),
            ("/a", "/a/b", None),
            ("/b", "/a", None),
        ];
        for (path, decoded, expected) in cases {
            assert_eq!(length_of(path, decoded.as_bytes()), expected, "{path} {decoded}");
        }
    }
}
