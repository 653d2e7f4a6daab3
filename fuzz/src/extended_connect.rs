//! Extended CONNECT: an upgrade request that can be one comes back from it as the upgrade that it was.

use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Scheme;
use switchover::handshake::extended_connect::{to_connect, to_upgrade};
use switchover::http1::{HeadLimits, Parsed, check_host, parse_request};
use switchover::websocket::SecWebSocketKey;

pub(crate) fn both_ways(data: &[u8]) {
    let Ok(Parsed::Complete { parts, .. }) = parse_request(data, &HeadLimits::default()) else {
        return;
    };
    let sent = parts.headers.clone();
    let target = parts.uri.path_and_query().map(ToString::to_string);
    let Ok((connect, _)) = to_connect(parts, Scheme::HTTPS) else {
        return;
    };
    for name in [CONNECTION, UPGRADE, TRANSFER_ENCODING] {
        assert!(!connect.headers.contains_key(&name), "{name} in {connect:?}");
    }
    assert!(connect.uri.authority().is_some() && connect.uri.scheme().is_some());
    let fields = connect.headers.clone();
    // Some of what HTTP/1.1 permits is malformed in HTTP/2.
    let Ok(upgrade) = to_upgrade(connect, "websocket", SecWebSocketKey::generate([7; 16])) else {
        return;
    };
    assert_eq!(upgrade.uri.path_and_query().map(ToString::to_string), target);
    assert!(switchover::handshake::wants_upgrade(&upgrade));
    check_host(upgrade.version, &upgrade.headers).expect("the host of the request");
    for name in fields.keys() {
        assert!(upgrade.headers.contains_key(name), "{name} is lost");
    }
    // No option of Connection can take these off, so they have to arrive, and no key of the client's does.
    for name in [
        COOKIE,
        SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION,
        AUTHORIZATION,
    ] {
        let arrived = upgrade.headers.contains_key(&name);
        assert_eq!(arrived, sent.contains_key(&name), "{name} of {sent:?}");
    }
    assert!(!fields.contains_key(SEC_WEBSOCKET_KEY) && !fields.contains_key(SEC_WEBSOCKET_ACCEPT));
}
