//! Encoding of what goes into a target, as nginx does it.

/// A decoded path as a part of a target (nginx: NGX_ESCAPE_URI).
pub(crate) fn escape(path: &str) -> String {
    escaped(path, |byte| {
        matches!(
            byte,
            b'%' | b'?' | b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
        )
    })
}

/// What a group holds, as a part of a query or of an address (nginx: NGX_ESCAPE_ARGS).
pub(crate) fn escape_args(text: &str) -> String {
    escaped(text, |byte| {
        matches!(
            byte,
            b'%' | b'&'
                | b'+'
                | b'?'
                | b'#'
                | b';'
                | b'"'
                | b'<'
                | b'>'
                | b'\\'
                | b'^'
                | b'`'
                | b'{'
                | b'|'
                | b'}'
        )
    })
}

/// What a group holds, as a part of an address that a client is sent to.
pub(crate) fn escape_redirect(text: &str) -> String {
    escaped(text, |byte| matches!(byte, b'%' | b'"' | b'#' | b'?'))
}

fn escaped(text: &str, is_special: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            0..=0x20 | 0x7f.. => out.push_str(&format!("%{byte:02X}")),
            special if is_special(special) => out.push_str(&format!("%{special:02X}")),
            plain => out.push(char::from(plain)),
        }
    }
    out
}

/// The path of an address that a client is sent to: what need not be encoded is not (nginx: NGX_UNESCAPE_REDIRECT).
pub(crate) fn unescape_redirect(text: &str) -> String {
    let (path, query) = text.find('?').map_or((text, ""), |at| text.split_at(at));
    let mut out = String::with_capacity(text.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        let digits = behind
            .get(1..3)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let length = match digits {
            Some(byte @ b'&'..=b'~') => {
                out.push(char::from(byte));
                3
            }
            _ => {
                out.push('%');
                1
            }
        };
        rest = &behind[length..];
    }
    out + rest + query
}

/// Path and query of a URI that somebody else has written, decoded. None of what climbs out of its place, as in nginx: a segment of
/// two dots, a NUL, nothing at all.
pub(crate) fn checked(text: &[u8]) -> Option<(String, String)> {
    let mut parts = text.splitn(2, |byte| *byte == b'?');
    let (path, args) = (parts.next()?, parts.next().unwrap_or_default());
    let climbs = |path: &[u8]| path.split(|byte| *byte == b'/').any(|segment| segment == b"..");
    let path = unescape(path);
    let is_safe = !path.is_empty() && !path.contains(&0) && !climbs(&path);
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    is_safe.then(|| (lossy(&path), lossy(args)))
}

/// The bytes that a path stands for. A percent sign that no two digits follow is left out.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, behind)) = rest.split_first() {
        let digit = |at: usize| char::from(*behind.get(at)?).to_digit(16);
        rest = behind;
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                rest = &behind[2..];
            }
            (b'%', ..) => {}
            (plain, ..) => out.push(*plain),
        }
    }
    out
}

/// Path and query of a text, which has been written by the configuration.
pub(crate) fn split(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

/// A path with its query; none of an empty one.
pub(crate) fn joined(path: &str, args: &str) -> String {
    match args.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{args}"),
    }
}

/// A target with what no target can hold, which a group may, encoded. nginx sends it as it is: a space ends the target there, and most
/// servers refuse what stands behind it.
pub(crate) fn possible(target: String) -> String {
    let is_impossible = |byte: u8| matches!(byte, 0..=0x20 | 0x7f | b'"' | b'#' | b'<' | b'>');
    if !target.bytes().any(is_impossible) {
        return target;
    }
    let mut out = String::with_capacity(target.len());
    for sign in target.chars() {
        match u8::try_from(sign) {
            Ok(byte) if is_impossible(byte) => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(sign),
        }
    }
    out
}

/// `merge_slashes off`: the decoded path with the slashes that the client has sent.
pub(crate) fn without_merging(path: &str, merged: String) -> String {
    if !path.contains("//") {
        return merged;
    }
    // A segment that is empty stands for itself: it is decoded as one that is not, and taken out again. It must be none that the
    // client has written: control bytes reach this only by their digits.
    let mut length = 1;
    while path.contains(&"%01".repeat(length)) {
        length += 1;
    }
    let (marked, mark) = (format!("/{}/", "%01".repeat(length)), "\u{1}".repeat(length));
    let marked = path.replace("//", &marked).replace("//", &marked);
    match switchover::route::path_as_nginx(&marked) {
        Ok(decoded) => {
            let decoded = String::from_utf8_lossy(&decoded);
            let segments = decoded
                .split('/')
                .map(|segment| if segment == mark { "" } else { segment });
            segments.collect::<Vec<_>>().join("/")
        }
        Err(_) => merged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_possible() {
        for (target, expected) in [
            ("/a\"b", "/a%22b"),
            ("/a b#c?d", "/a%20b%23c?d"),
            ("/a?b=\"c\"", "/a?b=%22c%22"),
            ("/a?b<c>#d?e", "/a?b%3Cc%3E%23d?e"),
            ("/a?b c\r\n\u{7f}", "/a?b%20c%0D%0A%7F"),
            ("/a?%22{}|^`\\", "/a?%22{}|^`\\"),
            ("/a?\"\u{e9}", "/a?%22\u{e9}"),
        ] {
            let made = possible(target.to_owned());
            assert_eq!(made, expected, "{target}");
            let parsed: http::uri::PathAndQuery = made.parse().unwrap();
            assert_eq!(parsed.as_str(), expected, "{target}");
        }
    }

    #[test]
    fn only_empty_segments_are_put_back() {
        for (path, expected) in [
            ("/a//b", "/a//b"),
            ("//", "//"),
            ("/a///b/", "/a///b/"),
            ("/app//.%01./secret", "/app//.\u{1}./secret"),
            ("/adm%01in//", "/adm\u{1}in//"),
            ("/a//%01/%01%01/b", "/a//\u{1}/\u{1}\u{1}/b"),
        ] {
            let merged = || "/merged".to_owned();
            let whole = without_merging(path, merged());
            match path.contains("//") {
                true => assert_eq!(whole, expected, "{path}"),
                false => assert_eq!(whole, merged(), "{path}"),
            }
        }
    }
}
