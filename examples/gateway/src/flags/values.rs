//! How the values of flags are read.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
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
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let mut addresses = text.to_socket_addrs().map_err(|why| match why.kind() {
        ErrorKind::InvalidInput => {
            "an address is HOST:PORT, as in 127.0.0.1:8080, or a PORT of 127.0.0.1".to_owned()
        }
        _ => format!("the host has no address: {why}"),
    })?;
    addresses
        .next()
        .ok_or_else(|| "the host has no address".to_owned())
}

/// A name or an address, without a port.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_ip = text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    match is_ip || !text.is_empty() && text.bytes().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err("expected a host name or an address, without a scheme and without a port".to_owned()),
    }
}

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number above zero".to_owned()),
    }
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
    let code = code
        .parse()
        .map_err(|_| "expected a code, or a code and a text, as in '1012 back in a minute'")?;
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
    match text.trim_end_matches(|byte: char| byte.is_ascii_lowercase()) {
        "0" => Ok(Duration::ZERO),
        _ => duration(text),
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unit = text
        .find(|byte: char| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => 0,
    };
    let number: u64 = number.parse().unwrap_or(0);
    match number.checked_mul(milliseconds) {
        Some(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(milliseconds)),
        _ => Err("expected a duration above zero, as in 500ms, 2s, 10m or 1h".to_owned()),
    }
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
