//! How the values of flags are read.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use http::HeaderValue;
use http::header::HOST;
use switchover::header::rules::{HeaderRules, HostRule, Template, Variables};
use switchover::header::{Hop, Protocol};
use switchover::tunnel::{EndRequest, Rate};
use switchover::websocket::CloseCode;

/// One of two words: `false` for the first, `true` for the second.
pub(super) fn either(value: &str, no: &str, yes: &str) -> Result<bool, String> {
    match value {
        _ if value == no => Ok(false),
        _ if value == yes => Ok(true),
        _ => Err(format!("expected {no} or {yes}")),
    }
}

/// Where to listen: the first address of a name, or a port. A port without an address is one of this host alone, so that nothing is
/// public by accident.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Some(port) = digits::<u16>(text.strip_prefix(':').unwrap_or(text)) {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let explained = || "an address is HOST:PORT, as in 127.0.0.1:8080, or a PORT of 127.0.0.1".to_owned();
    // The standard library reads it as a part of the port.
    if text.contains('+') {
        return Err(explained());
    }
    let mut addresses = text.to_socket_addrs().map_err(|why| match why.kind() {
        ErrorKind::InvalidInput => explained(),
        _ => format!("the host has no address: {why}"),
    })?;
    addresses
        .next()
        .ok_or_else(|| "the host has no address".to_owned())
}

/// A name or an address, without a port.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_ip = match bracketed {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => text.parse::<IpAddr>().is_ok(),
    };
    match is_ip || !text.is_empty() && text.bytes().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err("expected a host name or an address, without a scheme and without a port".to_owned()),
    }
}

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match digits(text) {
        Some(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number above zero".to_owned()),
    }
}

/// A number of digits alone: `parse` takes a plus sign too.
fn digits<N: FromStr>(text: &str) -> Option<N> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// So many per second, and how many at once.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let (rate, burst) = match text.split_once(',') {
        Some((rate, burst)) => (positive(rate), Some(positive(burst))),
        None => (positive(text), None),
    };
    let explained = |_| "expected N or N,BURST, whole numbers above zero".to_owned();
    let rate = Rate::per_second(rate.map_err(explained)? as u64);
    Ok(match burst.transpose().map_err(explained)? {
        Some(burst) => rate.burst(burst as u64),
        None => rate,
    })
}

/// A code and a text.
pub(super) fn close(text: &str) -> Result<EndRequest, String> {
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    let code = digits(code).ok_or("expected a code, or a code and a text, as in '1012 back in a minute'")?;
    EndRequest::close(CloseCode(code), reason.trim()).map_err(|why| why.to_string())
}

/// The same, or no Close.
pub(super) fn close_or_none(text: &str) -> Result<Option<EndRequest>, String> {
    match text {
        "none" => Ok(None),
        _ => close(text).map(Some),
    }
}

pub(crate) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    match text {
        "0" => Ok(Duration::ZERO),
        _ => milliseconds(text)
            .map(Duration::from_millis)
            .ok_or_else(|| "expected a duration, as in 0s, 500ms, 2s, 10m or 1h".to_owned()),
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match milliseconds(text) {
        Some(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err("expected a duration above zero, as in 500ms, 2s, 10m or 1h".to_owned()),
    }
}

/// A number with its unit.
fn milliseconds(text: &str) -> Option<u64> {
    let unit = text
        .find(|byte: char| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(milliseconds)
}

/// A protocol that may be switched to.
pub(super) fn upgrade(text: &str) -> Result<Protocol, String> {
    text.parse()
        .map_err(|why: switchover::header::ProtocolError| why.to_string())
}

pub(super) fn set_header(rules: HeaderRules, text: &str) -> Result<HeaderRules, String> {
    let (name, value) = text.split_once(':').ok_or("a field is NAME: VALUE")?;
    let value = value.trim();
    if names_a_server(value) {
        return Err(
            "no name is configured here that $server_name could be; write the name itself".to_owned(),
        );
    }
    match name.eq_ignore_ascii_case("host") {
        true => value.parse::<HostRule>().map(|host| rules.host(host)),
        false => rules.set_on_request(name, value),
    }
    .map_err(|why| why.to_string())
}

/// Whether it depends on the name of a server.
fn names_a_server(value: &str) -> bool {
    let Ok(template) = value.parse::<Template>() else {
        return false;
    };
    let mut request = http::Request::new(());
    // Without one, `$host` would be the name too.
    request.headers_mut().insert(HOST, HeaderValue::from_static("a"));
    let (parts, ()) = request.into_parts();
    let hop = Hop::unknown();
    let value = |name| template.value(&Variables::new(&parts, &hop).server_name(name));
    value("a") != value("b")
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    /// Reads each of the values as it is meant, and none of the others.
    fn reads<T: PartialEq + Debug>(
        read: impl Fn(&str) -> Result<T, String>,
        sound: &[(&str, T)],
        wrong: &[&str],
    ) {
        for (text, value) in sound {
            assert_eq!(read(text).as_ref(), Ok(value), "{text:?}");
        }
        for text in wrong {
            let value = read(text);
            assert!(value.is_err(), "{text:?}: {value:?}");
        }
    }

    const NO_DURATIONS: [&str; 17] = [
        "", " ", "s", "ms", "5", "0x", "0abc", "00", "1x", "1d", "1S", "+1s", "-1s", "1.5s", "1 s", "1s ",
        "1h30m",
    ];

    #[test]
    fn a_value_is_read_as_it_is_meant_or_not_at_all() {
        let milliseconds = Duration::from_millis;
        let durations = [
            ("1ms", milliseconds(1)),
            ("007s", milliseconds(7000)),
            ("10m", milliseconds(600_000)),
            ("1h", milliseconds(3_600_000)),
        ];
        let too_long = ["18446744073709551616ms", "18446744073709551615h"];
        let zeros = ["0", "0s", "0ms", "0m", "0h", "00s"];
        reads(
            duration,
            &durations,
            &[&NO_DURATIONS[..], &too_long, &zeros].concat(),
        );
        let zeros = zeros.map(|text| (text, Duration::ZERO));
        let with_zeros = [&durations[..], &zeros].concat();
        reads(
            duration_or_zero,
            &with_zeros,
            &[&NO_DURATIONS[..], &too_long].concat(),
        );

        let no_numbers = [
            "",
            "0",
            "+1",
            "-1",
            "1.0",
            "1k",
            "0x1",
            " 1",
            "1 ",
            "18446744073709551616",
        ];
        reads(positive, &[("1", 1), ("010", 10)], &no_numbers);
        let rates = [("5", Rate::per_second(5)), ("5,9", Rate::per_second(5).burst(9))];
        let wrong = ["5,", ",5", "5,0", "5, 9", "5,9,1", "5,+9"];
        reads(rate, &rates, &[&no_numbers[..], &wrong].concat());

        let closes = [
            ("1012", EndRequest::close(CloseCode(1012), "").unwrap()),
            ("1012 a b", EndRequest::close(CloseCode(1012), "a b").unwrap()),
        ];
        reads(
            close,
            &closes,
            &["", "+1012", "1012x", "999", "5000", "66548", "x 1012"],
        );

        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = [("80", local(80)), (":80", local(80)), ("127.0.0.1:80", local(80))];
        reads(
            address,
            &addresses,
            &["", ":", "+80", ":+80", "65536", "80x", "127.0.0.1", "127.0.0.1:"],
        );
        let names = ["a", "a-b.example", "127.0.0.1", "::1", "[::1]"].map(|name| (name, name.to_owned()));
        reads(
            host_name,
            &names,
            &[
                "",
                "a:80",
                "[::1",
                "::1]",
                "]::1[",
                "[[::1]]",
                "[127.0.0.1]",
                "http://a",
                "a b",
            ],
        );
    }
}
