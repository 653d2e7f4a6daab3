//! What the pure floors cost: a head parsed and encoded, the header rules, both decisions of the handshake.
//!
//! ```text
//! cargo bench --bench rules
//! ```

use std::net::IpAddr;

use divan::{Bencher, black_box};
use http::{request, response};
use switchover::handshake::{HandshakePolicy, UpgradeRequest, Verdict};
use switchover::header::{ConnectionOptions, ForwardedRules, Forwarding, Hop, hop_by_hop};
use switchover::http1::{
    HeadLimits, HeadScan, Parsed, encode_request, encode_response, parse_request, parse_response,
};
use switchover::websocket::SecWebSocketKey;

fn main() {
    divan::main();
}

/// What a browser sends.
const REQUEST: &[u8] = b"GET /chat?room=42 HTTP/1.1\r\n\
    Host: example.com\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0\r\n\
    Upgrade: websocket\r\n\
    Origin: https://example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

fn request() -> request::Parts {
    match parse_request(REQUEST, &HeadLimits::default()) {
        Ok(Parsed::Complete { parts, .. }) => parts,
        other => panic!("a good request: {other:?}"),
    }
}

fn answer() -> response::Parts {
    match parse_response(ANSWER, &HeadLimits::default()) {
        Ok(Parsed::Complete { parts, .. }) => parts,
        other => panic!("a good answer: {other:?}"),
    }
}

fn hop() -> Hop {
    Hop::from(IpAddr::from([192, 0, 2, 7]))
}

#[divan::bench]
fn head_scan() -> Option<usize> {
    let scanned = HeadScan::request().advance(black_box(REQUEST), &HeadLimits::default());
    scanned.unwrap_or_default()
}

#[divan::bench]
fn head_parse_request() -> request::Parts {
    request()
}

#[divan::bench]
fn head_parse_response() -> response::Parts {
    answer()
}

#[divan::bench]
fn head_encode_request(bencher: Bencher<'_, '_>) {
    let parts = request();
    bencher.bench_local(|| {
        let mut bytes = Vec::new();
        encode_request(black_box(&parts), &mut bytes);
        bytes
    });
}

#[divan::bench]
fn head_encode_response(bencher: Bencher<'_, '_>) {
    let parts = answer();
    bencher.bench_local(|| {
        let mut bytes = Vec::new();
        encode_response(black_box(&parts), &mut bytes);
        bytes
    });
}

#[divan::bench]
fn header_connection_option(bencher: Bencher<'_, '_>) {
    let parts = request();
    bencher.bench_local(|| ConnectionOptions::of(black_box(&parts.headers)).contains("upgrade"));
}

#[divan::bench]
fn header_hop_by_hop(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(request).bench_local_values(|mut parts| {
        let _ = hop_by_hop::strip(&mut parts.headers);
        parts
    });
}

#[divan::bench]
fn header_forwarded(bencher: Bencher<'_, '_>) {
    let rules = ForwardedRules::default();
    bencher.with_inputs(request).bench_local_values(|mut parts| {
        rules.apply(&mut parts.headers, &hop());
        parts
    });
}

#[divan::bench]
fn websocket_accept() -> bool {
    let key = SecWebSocketKey::parse(black_box(b"dGhlIHNhbXBsZSBub25jZQ=="));
    key.is_ok_and(|key| key.accept().matches(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
}

#[divan::bench]
fn handshake_parse(bencher: Bencher<'_, '_>) {
    let (parts, policy) = (request(), HandshakePolicy::default());
    bencher.bench_local(|| UpgradeRequest::parse(black_box(&parts), &policy));
}

#[divan::bench]
fn handshake_forward(bencher: Bencher<'_, '_>) {
    let policy = HandshakePolicy::default();
    let upgrade = || {
        let parts = request();
        let upgrade = UpgradeRequest::parse(&parts, &policy)
            .ok()
            .flatten()
            .expect("an upgrade");
        (upgrade, parts)
    };
    bencher
        .with_inputs(upgrade)
        .bench_local_values(|(upgrade, parts)| upgrade.forward(parts, hop(), &Forwarding::default()));
}

#[divan::bench]
fn handshake_judge(bencher: Bencher<'_, '_>) {
    let policy = HandshakePolicy::default();
    let pending = || {
        let parts = request();
        let upgrade = UpgradeRequest::parse(&parts, &policy)
            .ok()
            .flatten()
            .expect("an upgrade");
        (upgrade.forward(parts, hop(), &Forwarding::default()).1, answer())
    };
    bencher
        .with_inputs(pending)
        .bench_local_values(|(pending, answer)| matches!(pending.judge(answer), Ok(Verdict::Switched(_))));
}

/// All of it, from the client's bytes to the upstream's and back.
#[divan::bench]
fn the_whole_walk_without_io() -> Vec<u8> {
    let parts = request();
    let policy = HandshakePolicy::default();
    let upgrade = UpgradeRequest::parse(&parts, &policy)
        .ok()
        .flatten()
        .expect("an upgrade");
    let (outgoing, pending) = upgrade.forward(parts, hop(), &Forwarding::default());
    let mut bytes = Vec::new();
    encode_request(&outgoing, &mut bytes);
    match pending.judge(answer()) {
        Ok(Verdict::Switched(switched)) => encode_response(switched.response(), &mut bytes),
        other => panic!("a good answer: {other:?}"),
    }
    bytes
}
