//! Records behind the handshake that a peer should not send: what they come to, and the alert that answers them.

use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio_rustls::rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundPlainMessage,
};
use tokio_rustls::rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite};

use super::*;
use crate::tls::stream::{JOINED, Secured, scratch};

/// A client that seals whatever it is told to.
struct Forger {
    sealer: (u64, Box<dyn MessageEncrypter>),
    opener: (u64, Box<dyn MessageDecrypter>),
}

fn key(secrets: ConnectionTrafficSecrets) -> (AeadKey, Iv) {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => panic!("another cipher"),
    }
}

impl Forger {
    fn new() -> (End<UnbufferedServerConnection>, Forger) {
        let mut configs = Configs::new(&TLS13, ring::default_provider());
        configs.client.enable_secret_extraction = true;
        let (server, client) = configs.ends();
        let Some(SupportedCipherSuite::Tls13(suite)) = client.connection.negotiated_cipher_suite() else {
            panic!("not TLS 1.3")
        };
        let (secrets, _) = client.connection.dangerous_into_kernel_connection().unwrap();
        let ((sent, tx), (received, rx)) = (secrets.tx, secrets.rx);
        let ((tx, tx_iv), (rx, rx_iv)) = (key(tx), key(rx));
        let forger = Forger {
            sealer: (sent, suite.aead_alg.encrypter(tx, tx_iv)),
            opener: (received, suite.aead_alg.decrypter(rx, rx_iv)),
        };
        (server, forger)
    }

    fn seal(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let record = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: payload.into(),
        };
        let sealed = self.sealer.1.encrypt(record, self.sealer.0).unwrap();
        self.sealer.0 += 1;
        sealed.encode()
    }

    /// The alert among the records of an answer.
    fn alert(&mut self, answer: &mut [u8]) -> Option<u8> {
        let mut rest = answer;
        while let Some(&[_, _, _, high, low]) = rest.first_chunk() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            let (record, later) = rest.split_at_mut(5 + length);
            let record = InboundOpaqueMessage::new(
                ContentType::ApplicationData,
                ProtocolVersion::TLSv1_2,
                &mut record[5..],
            );
            let opened = self.opener.1.decrypt(record, self.opener.0).unwrap();
            self.opener.0 += 1;
            if opened.typ == ContentType::Alert {
                return Some(opened.payload[1]);
            }
            rest = later;
        }
        None
    }
}

/// What the server makes of records that come so many bytes at a time.
fn judged(server: &mut End<UnbufferedServerConnection>, bytes: &[u8], step: usize) -> String {
    for piece in bytes.chunks(step) {
        match server.open(&mut piece.to_vec(), 100) {
            Come::Failed(error) => return format!("{error:?}"),
            Come::Closed => return "closed".to_owned(),
            Come::Incomplete | Come::Full => {}
        }
    }
    String::new()
}

#[test]
fn what_is_no_payload() {
    type Sent<'a> = &'a [(ContentType, &'a [u8])];
    let (alert, handshake, data) = (
        ContentType::Alert,
        ContentType::Handshake,
        ContentType::ApplicationData,
    );
    let many_empty = [(data, &b""[..]); 33];
    let warnings = [(alert, &[1, 90][..]); 5];
    // What is sent; the error, or that there is none; the alert that is sent back (RFC 8446, section 6). None where rustls has none.
    let cases: [(Sent<'_>, &str, Option<u8>); 17] = [
        (&[(data, b"x")], "", None),
        (&[(alert, &[1, 0])], "closed", None),
        (&[(alert, &[2, 0])], "closed", None),
        (
            &[(data, b"x"), (alert, &[1, 0]), (data, b"ignored")],
            "closed",
            None,
        ),
        (&[(alert, &[1, 90]), (data, b"x")], "", None),
        (&warnings, "TooManyWarningAlertsReceived", None),
        (&[(alert, &[1, 100])], "NoRenegotiation", Some(50)),
        (&[(alert, &[2, 40])], "HandshakeFailure", None),
        (&[(alert, &[3, 40])], "HandshakeFailure", Some(47)),
        (&[(alert, &[1])], "MissingData", Some(50)),
        (&many_empty, "TooManyEmptyFragments", None),
        (&many_empty[1..], "", None),
        (&[(handshake, &[24, 0, 0, 1, 2])], "InvalidKeyUpdate", Some(47)),
        (
            &[(handshake, &[24]), (data, b"x")],
            "MessageInterleavedWithHandshakeMessage",
            None,
        ),
        // A second hello, a ticket from a client.
        (&[(handshake, &[1, 0, 0, 0])], "MissingData", Some(50)),
        (&[(handshake, &[4, 0, 0, 0])], "MissingData", Some(50)),
        (&[(handshake, &[24, 1, 0, 0])], "HandshakePayloadTooLarge", None),
    ];
    for (sent, error, alert) in cases {
        for step in [1, usize::MAX] {
            let (mut server, mut forger) = Forger::new();
            let bytes: Vec<u8> = sent
                .iter()
                .flat_map(|(kind, payload)| forger.seal(*kind, payload))
                .collect();
            let why = judged(&mut server, &bytes, step);
            assert!(
                why.contains(error) && why.is_empty() == error.is_empty(),
                "{why}, {error}"
            );
            assert_eq!(forger.alert(&mut server.wire()), alert, "{error}: {why}");
            let has_payload = sent.contains(&(data, b"x")) && !error.contains("Interleaved");
            assert_eq!(server.opened, if has_payload { &b"x"[..] } else { b"" });
        }
    }
}

/// The message that a peer begins and never ends, a byte in each record: its records would take twenty times as much.
#[tokio::test]
async fn a_message_without_end_is_not_kept() {
    let (server, mut forger) = Forger::new();
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let mut near = Secured::new(near, server.into_established());
    let mut sent = forger.seal(ContentType::Handshake, &[1, 0, 0xfd, 0xe8]);
    for _ in 0..20_000 {
        sent.extend_from_slice(&forger.seal(ContentType::Handshake, &[0]));
    }
    let (mut cx, mut read) = (Context::from_waker(Waker::noop()), 0);
    // More at once where there is more: each try costs as much as is held.
    let error = loop {
        let piece = &sent[read..sent.len().min(read + 5000)];
        assert!(!piece.is_empty(), "nothing is refused");
        far.write_all(piece).await.unwrap();
        read += piece.len();
        match Pin::new(&mut near).poll_read(&mut cx, &mut ReadBuf::new(&mut [0; 10])) {
            Poll::Pending => assert!(near.state.received.capacity() <= 2 * scratch::SIZE),
            Poll::Ready(done) => break done.unwrap_err(),
        }
    };
    assert!(error.to_string().contains("HandshakePayloadTooLarge"), "{error}");
    assert!((JOINED..2 * scratch::SIZE).contains(&read), "{read}");
    assert!(near.state.received.is_empty());
}

#[test]
fn bytes_that_nobody_has_sealed() {
    let record = |kind: u8, major: u8, length: u16, payload: &[u8]| {
        [&[kind, major, 3][..], &length.to_be_bytes(), payload].concat()
    };
    let cases = [
        (record(23, 3, 32, &[7; 32]), "DecryptError", 20),
        (record(23, 3, 0, &[]), "DecryptError", 20),
        (record(23, 3, 16, &[7; 16]), "DecryptError", 20),
        (record(22, 3, 4, &[1, 0, 0, 0]), "DecryptError", 20),
        (record(20, 3, 1, &[1]), "ChangeCipherSpec", 10),
        (record(23, 3, 20_000, &[]), "MessageTooLarge", 50),
        (record(23, 2, 32, &[]), "UnknownProtocolVersion", 50),
        (record(99, 3, 32, &[]), "InvalidContentType", 50),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "InvalidContentType", 50),
    ];
    for (bytes, error, alert) in cases {
        let (mut server, mut forger) = Forger::new();
        let good = forger.seal(ContentType::ApplicationData, b"x");
        let why = judged(&mut server, &[good, bytes].concat(), usize::MAX);
        assert!(why.contains(error), "{error}: {why}");
        assert_eq!(forger.alert(&mut server.wire()), Some(alert), "{error}");
        assert_eq!(server.opened, b"x");
    }
}

#[test]
fn a_record_that_was_sealed_is_opened_once_and_as_it_is() {
    let (mut server, mut forger) = Forger::new();
    let first = forger.seal(ContentType::ApplicationData, b"first");
    assert_eq!(judged(&mut server, &first, usize::MAX), "");
    assert_eq!(judged(&mut server, &first, usize::MAX), "DecryptError");
    for at in 0..first.len() {
        let (mut server, mut forger) = Forger::new();
        let mut changed = forger.seal(ContentType::ApplicationData, b"second");
        changed[at] ^= 1;
        let why = judged(&mut server, &changed, usize::MAX);
        // rustls asks neither for the type outside of a sealed record nor for the second byte of the version; a length may become one
        // that is awaited.
        assert!(!why.is_empty() || matches!(at, 0 | 2..=4), "byte {at}");
        assert!(matches!(&server.opened[..], b"" | b"second"), "byte {at}");
        assert!(why.is_empty() || server.opened.is_empty(), "byte {at}");
    }
}
