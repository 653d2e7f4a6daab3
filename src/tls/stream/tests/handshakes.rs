//! Handshakes whose bytes and records come in pieces, and those that are refused.

use bytes::BytesMut;
use tokio_rustls::rustls::{Error, HandshakeKind};

use super::*;

#[test]
fn bytes_may_come_one_by_one_or_all_at_once() {
    for version in VERSIONS {
        for provider in providers() {
            let configs = Configs::new(version, provider);
            let mut expected = HandshakeKind::Full;
            for step in [1, 2, 3, 5, 7, 100, 1000, usize::MAX] {
                let (mut server, mut client) = shaken(configs.server(), configs.client(), step);
                assert_eq!(
                    server.connection.handshake_kind(),
                    Some(expected),
                    "{version:?} {step}"
                );
                expected = HandshakeKind::Resumed;
                client.seal(b"up").unwrap();
                server.seal(b"down").unwrap();
                assert!(matches!(server.open(&mut client.wire(), 10), Come::Incomplete));
                assert!(matches!(client.open(&mut server.wire(), 10), Come::Incomplete));
                assert_eq!(
                    (&server.opened[..], &client.opened[..]),
                    (&b"up"[..], &b"down"[..])
                );
                // A few states for each record, and none for a byte.
                assert!(
                    server.steps < 80 && client.steps < 80,
                    "{} {}",
                    server.steps,
                    client.steps
                );
            }
        }
    }
}

/// The same messages in records of so many bytes.
fn fragmented(bytes: &[u8], size: usize) -> Vec<u8> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    while let Some((header, behind)) = rest.split_first_chunk::<5>() {
        let (payload, later) = behind.split_at(usize::from(u16::from_be_bytes([header[3], header[4]])));
        for piece in payload.chunks(size) {
            pieces.extend_from_slice(&header[..3]);
            pieces.extend_from_slice(&(piece.len() as u16).to_be_bytes());
            pieces.extend_from_slice(piece);
        }
        rest = later;
    }
    pieces
}

/// What the client says first.
fn hello(configs: &Configs) -> (Handshake<UnbufferedClientConnection>, Vec<u8>) {
    let mut client = Handshake::new(configs.client(), BytesMut::new());
    let mut up = Outgoing::default();
    client.advance(&mut up).unwrap();
    (client, wire(&mut up))
}

#[test]
fn a_hello_in_many_records() {
    for version in VERSIONS {
        let configs = Configs::new(version, ring::default_provider());
        for size in [1, 2, 3, 4, 5, 100, 16_384] {
            for step in [1, 1000, usize::MAX] {
                let (mut client, hello) = hello(&configs);
                let pieces = fragmented(&hello, size);
                let mut server = Handshake::new(configs.server(), BytesMut::new());
                let mut down = Outgoing::default();
                for piece in pieces.chunks(step) {
                    server.received.extend_from_slice(piece);
                    assert!(!server.advance(&mut down).unwrap());
                }
                assert!(
                    server.steps <= hello.len() / size + 20,
                    "{} {size} {step}",
                    server.steps
                );
                client.received.extend_from_slice(&wire(&mut down));
                let mut up = Outgoing::default();
                client.advance(&mut up).unwrap();
                server.received.extend_from_slice(&wire(&mut up));
                server.advance(&mut down).unwrap();
                client.received.extend_from_slice(&wire(&mut down));
                assert!(client.advance(&mut up).unwrap(), "{version:?} {size} {step}");
            }
        }
    }
}

/// What a fresh server makes of bytes that come so many at a time, and what it answers.
fn refused(configs: &Configs, bytes: &[u8], step: usize) -> (Option<Error>, Vec<u8>, usize) {
    let mut server = Handshake::new(configs.server(), BytesMut::new());
    let mut down = Outgoing::default();
    for piece in bytes.chunks(step) {
        server.received.extend_from_slice(piece);
        if let Err(error) = server.advance(&mut down) {
            return (Some(error), wire(&mut down), server.steps);
        }
    }
    (None, wire(&mut down), server.steps)
}

#[test]
fn what_is_no_handshake_is_answered_by_an_alert() {
    let record = |kind: u8, major: u8, length: u16, payload: &[u8]| {
        [&[kind, major, 1][..], &length.to_be_bytes(), payload].concat()
    };
    // What is sent, the error, and the last byte of the alert (RFC 8446, section 6.2), or 0 where rustls has none.
    let cases = [
        (b"GET / HTTP/1.1\r\n".to_vec(), "InvalidContentType", 50),
        (record(22, 2, 100, &[]), "UnknownProtocolVersion", 50),
        (record(22, 3, 20_000, &[]), "MessageTooLarge", 50),
        (record(22, 3, 0, &[]), "InvalidEmptyPayload", 50),
        (record(23, 3, 0, &[]), "InvalidEmptyPayload", 50),
        (record(23, 3, 5, b"hello"), "ApplicationData", 10),
        (record(22, 3, 4, &[20, 0, 0, 0]), "Finished", 10),
        (record(22, 3, 4, &[1, 0, 0, 0]), "MissingData", 50),
        (record(22, 3, 4, &[1, 1, 0, 0]), "HandshakePayloadTooLarge", 0),
        (record(24, 3, 1, &[1]), "InvalidContentType", 50),
    ];
    for version in VERSIONS {
        let configs = Configs::new(version, ring::default_provider());
        for (bytes, expected, alert) in &cases {
            for step in [1, usize::MAX] {
                let (error, answer, _) = refused(&configs, bytes, step);
                let error = error.map(|error| format!("{error:?}")).unwrap_or_default();
                assert!(error.contains(expected), "{expected}: {error}");
                let answered = [21, 3, 3, 0, 2, 2, *alert];
                let answered = if *alert == 0 { &[][..] } else { &answered };
                assert_eq!(answer, answered, "{expected} {step}");
            }
        }
    }
}

/// Of a message of 64 KiB, each byte in a record: it would take 384 KiB.
#[test]
fn a_hello_without_end_is_refused_with_an_alert() {
    let configs = Configs::new(&TLS13, ring::default_provider());
    let mut bytes = b"\x16\x03\x01\0\x04\x01\0\xfd\xe8".to_vec();
    bytes.extend(b"\x16\x03\x01\0\x01\0".repeat(40_000));
    for step in [1, 4096, usize::MAX] {
        let (error, answer, steps) = refused(&configs, &bytes, step);
        let error = format!("{error:?}");
        assert!(error.contains("HandshakePayloadTooLarge"), "{error}");
        assert_eq!(answer, [21, 3, 3, 0, 2, 2, 50]);
        assert!(steps < 12_000, "{steps}");
    }
}

/// rustls knows the type 24 and the versions of SSL 2 and DTLS, and takes their records for others: they count like all that is held.
#[test]
fn records_that_only_rustls_knows_are_refused() {
    let configs = Configs::new(&TLS13, ring::default_provider());
    let begun = b"\x16\x03\x01\0\x04\x01\0\xfd\xe8".to_vec();
    for header in [
        [22, 0xfe, 0xff],
        [22, 0xfe, 0xfd],
        [22, 0xfe, 0xfc],
        [22, 0, 2],
        [24, 3, 3],
    ] {
        for many in [0, 1, 10_000, 10_922] {
            for step in [1000, usize::MAX] {
                let mut bytes = begun.clone();
                bytes.extend(b"\x16\x03\x01\0\x01\0".repeat(many));
                bytes.extend(header);
                bytes.extend([0, 100]);
                bytes.extend([0; 100]);
                let (error, answer, _) = refused(&configs, &bytes, step);
                let error = format!("{error:?}");
                assert!(
                    error.contains("InvalidMessage"),
                    "{header:?} {many} {step}: {error}"
                );
                assert_eq!(answer, [21, 3, 3, 0, 2, 2, 50]);
            }
        }
    }
}

/// A server that is no server: what a client makes of it.
#[test]
fn a_client_answers_what_is_no_server() {
    for version in VERSIONS {
        let configs = Configs::new(version, ring::default_provider());
        let cases = [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "InvalidContentType"),
            (b"\x16\x03\x03\0\x04\x02\0\0\0", "MissingData"),
            (b"\x15\x03\x03\0\x02\x02\x28", "AlertReceived(HandshakeFailure)"),
        ];
        for (bytes, expected) in cases {
            let (mut client, _) = hello(&configs);
            let (mut up, mut failed) = (Outgoing::default(), None);
            for byte in bytes {
                client.received.extend_from_slice(&[*byte]);
                failed = failed.or(client.advance(&mut up).err());
                if failed.is_some() {
                    break;
                }
            }
            let failed = format!("{failed:?}");
            assert!(failed.contains(expected), "{failed}");
        }
    }
}
