//! The handshake that a browser would send, and the same with one thing changed.

use http::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use http::request::Parts;
use http::uri::Authority;
use switchover::diagnose::Variation;
use switchover::tls::rustls::crypto::ring;
use switchover::websocket::SecWebSocketKey;

use super::exchange::bytes_of;
use super::flags::{Flags, PageOrigin};
use super::url::Url;

/// What every hop takes. A head that is not larger is not tried in a shorter form.
const SAFE_HEAD: usize = 4096;

const OF_THE_HANDSHAKE: [HeaderName; 7] = [
    CONNECTION,
    HOST,
    ORIGIN,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
    UPGRADE,
];

pub(crate) fn handshake(url: &Url, flags: &Flags) -> Parts {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.uri = url.uri();
    let headers = &mut parts.headers;
    let value = |text: &str| HeaderValue::from_str(text).ok();
    headers.extend(value(url.authority.as_str()).map(|host| (HOST, host)));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    let key = SecWebSocketKey::generate(random());
    headers.extend(value(key.as_str()).map(|key| (SEC_WEBSOCKET_KEY, key)));
    match &flags.origin {
        PageOrigin::Own => headers.extend(value(&url.origin()).map(|origin| (ORIGIN, origin))),
        PageOrigin::Absent => {}
        PageOrigin::Given(origin) => drop(headers.insert(ORIGIN, origin.clone())),
    }
    if !flags.subprotocols.is_empty() {
        headers.extend(value(&flags.subprotocols.join(", ")).map(|names| (SEC_WEBSOCKET_PROTOCOL, names)));
    }
    headers.insert(USER_AGENT, HeaderValue::from_static("switchover-doctor"));
    let mut given = http::HeaderMap::new();
    for (name, value) in &flags.fields {
        given.append(name, value.clone());
    }
    for name in given.keys() {
        headers.remove(name);
    }
    headers.extend(given);
    parts
}

/// None where it would be the same request.
pub(crate) fn varied(sent: &Parts, variation: Variation, url: &Url) -> Option<Parts> {
    let mut parts = sent.clone();
    let headers = &mut parts.headers;
    match variation {
        Variation::WithoutUpgrade => {
            headers.remove(UPGRADE);
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Variation::WithoutOrigin => drop(headers.remove(ORIGIN)?),
        Variation::OwnOrigin => {
            let own = HeaderValue::from_str(&url.origin()).ok()?;
            if headers.get(ORIGIN)? == own {
                return None;
            }
            headers.insert(ORIGIN, own);
        }
        Variation::WithoutSubprotocol => drop(headers.remove(SEC_WEBSOCKET_PROTOCOL)?),
        Variation::HostPort => {
            let host = with_or_without_port(headers.get(HOST)?.to_str().ok()?, url.secure)?;
            headers.insert(HOST, HeaderValue::from_str(&host).ok()?);
        }
        Variation::ShortHead => {
            if bytes_of(sent).len() <= SAFE_HEAD {
                return None;
            }
            let kept = |name: &HeaderName| OF_THE_HANDSHAKE.contains(name);
            let others: Vec<HeaderName> = headers.keys().filter(|name| !kept(name)).cloned().collect();
            for name in others {
                headers.remove(name);
            }
        }
        _ => return None,
    }
    Some(parts)
}

/// `a:9000` as `a`, and `a` as `a:80`.
fn with_or_without_port(host: &str, secure: bool) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    Some(match authority.port() {
        Some(_) => authority.host().to_owned(),
        None => format!("{host}:{}", if secure { 443 } else { 80 }),
    })
}

pub(crate) fn words_of(variation: Variation) -> &'static str {
    match variation {
        Variation::WithoutUpgrade => "without Upgrade",
        Variation::WithoutOrigin => "without Origin",
        Variation::OwnOrigin => "with the site's own Origin",
        Variation::WithoutSubprotocol => "without subprotocols",
        Variation::HostPort => "with another port in Host",
        Variation::ShortHead => "with the fields of the handshake alone",
        _ => "changed",
    }
}

pub(crate) fn random<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    // All zeros would do as well: nothing secret is sent.
    let _ = ring::default_provider().secure_random.fill(&mut bytes);
    bytes
}
