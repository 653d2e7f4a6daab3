//! What a client gets of a final answer's fields that concern the connection. The same for an upgrade that was declined and for an
//! ordinary request.

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, UPGRADE};
use http::{StatusCode, Version};

use super::Protocol;
use super::hop_by_hop::{self, TooManyOptions};
use crate::http1::AnyFields;
use crate::token;

/// Removes the fields that end at this hop, and sets those of the hop to the client: `Connection: close` where the connection
/// closes after the answer, and [the part of `Upgrade`](offered) that means something to the client.
///
/// # Errors
///
/// More connection options than a message may have.
pub(crate) fn make_ready(
    fields: &mut impl AnyFields,
    status: StatusCode,
    client: Version,
    closes: bool,
) -> Result<(), TooManyOptions> {
    let upgrade = match client < Version::HTTP_2 && fields.contains(&UPGRADE) {
        true => offered(fields, status),
        // RFC 9113, section 8.2.2: HTTP/2 has no Upgrade.
        false => Vec::new(),
    };
    // RFC 9110, section 8.6: none in a 204, and several that agree go on as one.
    let is_empty = status == StatusCode::NO_CONTENT;
    hop_by_hop::strip_and(fields, |name| is_empty && *name == CONTENT_LENGTH)?;
    if fields.lines(&CONTENT_LENGTH).nth(1).is_some() {
        let length = fields.first(&CONTENT_LENGTH).unwrap_or_default().to_vec();
        fields.set_text(CONTENT_LENGTH, &length);
    }
    let connection = match (closes, upgrade.is_empty()) {
        _ if client >= Version::HTTP_2 => return Ok(()),
        (true, true) => "close",
        (true, false) => "close, upgrade",
        (false, false) => "upgrade",
        // RFC 9112, section 9.3: an HTTP/1.0 client that has asked for a persistent connection gets the confirmation.
        (false, true) if client == Version::HTTP_10 => "keep-alive",
        (false, true) => return Ok(()),
    };
    fields.set(CONNECTION, HeaderValue::from_static(connection));
    for value in upgrade {
        fields.add(UPGRADE, value);
    }
    Ok(())
}

/// The lines of `Upgrade` that go on to the client.
///
/// RFC 9110, section 15.5.22: a 426 MUST have it, and keeps it as it is. Another answer may name the protocol in which the request
/// would have been served, or in which the next one may be (section 7.8), and keeps it too; but what an origin offers in place of the
/// connection's own HTTP or TLS (`h2`, `h2c`, `HTTP/2.0`, `TLS/1.2`) is meant for the proxy.
fn offered(fields: &impl AnyFields, status: StatusCode) -> Vec<HeaderValue> {
    let lines = fields.lines(&UPGRADE);
    if status == StatusCode::UPGRADE_REQUIRED {
        return lines.flat_map(HeaderValue::from_bytes).collect();
    }
    let elements = lines.flat_map(token::unquoted_elements);
    let protocols =
        elements.filter_map(|element| std::str::from_utf8(element).ok()?.parse::<Protocol>().ok());
    protocols
        .filter(|protocol| !replaces_the_connection(protocol))
        .take(token::MAX_ELEMENTS)
        .map(|protocol| protocol.to_value())
        .collect()
}

fn replaces_the_connection(protocol: &Protocol) -> bool {
    ["h2", "h2c", "http", "tls"]
        .iter()
        .any(|name| protocol.name().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn ready(status: u16, client: Version, closes: bool, lines: &[(&'static str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        make_ready(
            &mut headers,
            StatusCode::from_u16(status).unwrap(),
            client,
            closes,
        )
        .unwrap();
        let line =
            |(name, value): (&http::HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        headers.iter().map(line).collect()
    }

    #[test]
    fn what_is_kept_of_upgrade() {
        type Lines = &'static [(&'static str, &'static str)];
        const WEBSOCKET: Lines = &[("upgrade", "websocket"), ("connection", "Upgrade, x"), ("x", "1")];
        type Case = (u16, Version, bool, Lines, &'static [&'static str]);
        let cases: [Case; 9] = [
            (
                426,
                Version::HTTP_11,
                false,
                WEBSOCKET,
                &["connection: upgrade", "upgrade: websocket"],
            ),
            (
                426,
                Version::HTTP_11,
                true,
                WEBSOCKET,
                &["connection: close, upgrade", "upgrade: websocket"],
            ),
            (426, Version::HTTP_2, false, WEBSOCKET, &[]),
            (
                400,
                Version::HTTP_11,
                false,
                WEBSOCKET,
                &["connection: upgrade", "upgrade: websocket"],
            ),
            (
                426,
                Version::HTTP_11,
                false,
                &[("upgrade", "TLS/1.2, HTTP/1.1")],
                &["connection: upgrade", "upgrade: TLS/1.2, HTTP/1.1"],
            ),
            (
                200,
                Version::HTTP_11,
                false,
                &[("upgrade", "h2,h2c"), ("connection", "Upgrade")],
                &[],
            ),
            (
                200,
                Version::HTTP_11,
                false,
                &[("upgrade", "h2c, websocket")],
                &["connection: upgrade", "upgrade: websocket"],
            ),
            (
                501,
                Version::HTTP_11,
                true,
                &[("upgrade", "TLS/1.2, foo/2, HTTP/2.0")],
                &["connection: close, upgrade", "upgrade: foo/2"],
            ),
            (200, Version::HTTP_11, false, &[("connection", "keep-alive")], &[]),
        ];
        for (status, client, closes, lines, expected) in cases {
            assert_eq!(
                ready(status, client, closes, lines),
                expected,
                "{status} {client:?} {lines:?}"
            );
        }
    }

    #[test]
    fn what_is_kept_of_lengths() {
        let twice = &[("content-length", "5"), ("content-length", "5")];
        assert_eq!(ready(200, Version::HTTP_11, false, twice), ["content-length: 5"]);
        assert_eq!(ready(304, Version::HTTP_2, false, twice), ["content-length: 5"]);
        assert!(ready(204, Version::HTTP_11, false, twice).is_empty());
    }
}
