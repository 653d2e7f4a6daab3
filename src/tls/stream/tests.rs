//! Records of both sides, against each other and against what a peer should not send.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio_rustls::rustls::client::UnbufferedClientConnection;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::{cipher_suite, default_provider};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::server::UnbufferedServerConnection;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    ClientConfig, ContentType, Error, RootCertStore, ServerConfig, SupportedCipherSuite, Tls13CipherSuite,
};

use super::connection::Connection;
use super::driven::Handshake;
use super::outgoing::Outgoing;
use super::records::Records;
use super::scratch::PAYLOAD;
use super::sink::{Come, Sink};
use super::{Secured, shake_hands};

struct End<C: Connection> {
    records: Records<C>,
    outgoing: Outgoing,
    /// What has been opened.
    opened: Vec<u8>,
}

/// Opens into a buffer that has this much room each time.
fn open<C: Connection>(end: &mut End<C>, bytes: &mut Vec<u8>, room: usize) -> Come {
    loop {
        let (mut space, mut rest) = (vec![0; room], BytesMut::new());
        let mut into = ReadBuf::new(&mut space);
        let mut sink = Sink {
            into: Some(&mut into),
            opened: &mut rest,
            outgoing: &mut end.outgoing,
        };
        let (used, come) = end.records.open(bytes, &mut sink);
        bytes.drain(..used);
        end.opened.extend_from_slice(into.filled());
        end.opened.extend_from_slice(&rest);
        if !matches!(come, Come::Full) {
            return come;
        }
    }
}

fn wire(outgoing: &mut Outgoing) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(outgoing.poll_write(&mut cx, &mut bytes).is_ready());
    bytes
}

fn configs(provider: CryptoProvider) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let provider = Arc::new(provider);
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let key = issued.signing_key.serialize_der().try_into().unwrap();
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server.enable_secret_extraction, client.enable_secret_extraction) = (true, true);
    (Arc::new(server), Arc::new(client))
}

type Ends = (End<UnbufferedServerConnection>, End<UnbufferedClientConnection>);

fn ends_with(provider: CryptoProvider) -> Ends {
    let (server, client) = configs(provider);
    let name = ServerName::try_from("localhost").unwrap();
    let mut server = Handshake::new(UnbufferedServerConnection::new(server).unwrap());
    let mut client = Handshake::new(UnbufferedClientConnection::new(client, name).unwrap());
    let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
    loop {
        let mut outgoing = Outgoing::default();
        let client_is_done = client.advance(&mut down, &mut outgoing).unwrap();
        up.extend_from_slice(&wire(&mut outgoing));
        let server_is_done = server.advance(&mut up, &mut outgoing).unwrap();
        down.extend_from_slice(&wire(&mut outgoing));
        if client_is_done && server_is_done {
            break;
        }
    }
    let server = end(server.connection);
    let mut client = end(client.connection);
    // The tickets, which come behind the handshake.
    assert!(matches!(
        open(&mut client, &mut down.to_vec(), 1),
        Come::Incomplete
    ));
    (server, client)
}

fn ends() -> Ends {
    ends_with(default_provider())
}

fn end<C: Connection>(connection: C) -> End<C> {
    let records = Records::new(connection, PAYLOAD).unwrap();
    End {
        records: records.unwrap_or_else(|_| panic!("no keys")),
        outgoing: Outgoing::default(),
        opened: Vec::new(),
    }
}

fn sealed<C: Connection>(end: &mut End<C>, kind: ContentType, payload: &[u8]) -> Vec<u8> {
    end.records.sealer().seal(kind, payload.into()).unwrap()
}

/// What the server makes of records, and what its client is sent.
fn refused(server: &mut Ends, mut bytes: Vec<u8>) -> (Option<String>, Option<String>) {
    let (server, client) = server;
    let why = match open(server, &mut bytes, 100) {
        Come::Failed(error) => Some(error.to_string()),
        Come::Closed => Some("closed".to_owned()),
        _ => None,
    };
    let mut answer = wire(&mut server.outgoing);
    let reported = match open(client, &mut answer, 100) {
        Come::Failed(Error::AlertReceived(alert)) => Some(format!("{alert:?}")),
        Come::Failed(error) => panic!("{error}"),
        _ => None,
    };
    (why, reported)
}

const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

#[test]
fn what_is_no_payload() {
    type Sent<'a> = &'a [(ContentType, &'a [u8])];
    let (alert, handshake, data) = (
        ContentType::Alert,
        ContentType::Handshake,
        ContentType::ApplicationData,
    );
    let (mut many_updates, mut many_empty) = (Vec::new(), Vec::new());
    let mut few_updates = vec![(handshake, &KEY_UPDATE[..]); 32];
    few_updates.push((data, b"x"));
    many_empty.resize(33, (data, &b""[..]));
    many_updates.resize(33, (handshake, &KEY_UPDATE[..]));
    let warnings = [(alert, &[1, 90][..]); 5];
    // What is sent; the error, or that there is none; the alert that is sent back.
    let cases: [(Sent<'_>, &str, &str); 27] = [
        (&[(data, b"x")], "", ""),
        (&few_updates, "", ""),
        (&[(alert, &[1, 0])], "closed", ""),
        (&[(alert, &[2, 0])], "closed", ""),
        (
            &[(data, b"x"), (alert, &[1, 0]), (data, b"ignored")],
            "closed",
            "",
        ),
        (&[(alert, &[1, 90]), (data, b"x")], "", ""),
        (&warnings, "TooManyWarningAlertsReceived", "UnexpectedMessage"),
        (&[(alert, &[1, 100])], "NoRenegotiation", "DecodeError"),
        (&[(alert, &[2, 40])], "HandshakeFailure", ""),
        (&[(alert, &[3, 40])], "HandshakeFailure", "IllegalParameter"),
        (&[(alert, &[1])], "AlertMessagePayload", "DecodeError"),
        (&[(alert, &[1, 0, 0])], "AlertMessagePayload", "DecodeError"),
        (&[(alert, &[])], "AlertMessagePayload", "DecodeError"),
        (&many_empty, "TooManyEmptyFragments", "UnexpectedMessage"),
        (&many_empty[1..], "", ""),
        (&many_updates, "TooManyKeyUpdateRequests", "UnexpectedMessage"),
        (
            &[(handshake, &[24, 0, 0, 1, 2])],
            "InvalidKeyUpdate",
            "IllegalParameter",
        ),
        (
            &[(handshake, &[24, 0, 0, 0])],
            "InvalidKeyUpdate",
            "IllegalParameter",
        ),
        (
            &[(handshake, &[24, 0, 0, 2, 0, 0])],
            "InvalidKeyUpdate",
            "IllegalParameter",
        ),
        (
            &[(handshake, &[24, 0, 0, 1, 0, 24])],
            "KeyEpochWithPendingFragment",
            "UnexpectedMessage",
        ),
        (
            &[(handshake, &[24]), (data, b"x")],
            "MessageInterleavedWithHandshakeMessage",
            "UnexpectedMessage",
        ),
        (
            &[(handshake, &[24]), (alert, &[1, 0])],
            "MessageInterleavedWithHandshakeMessage",
            "UnexpectedMessage",
        ),
        // A second hello, a certificate, a ticket from a client.
        (&[(handshake, &[1, 0, 0, 0])], "ClientHello", "UnexpectedMessage"),
        (&[(handshake, &[11, 0, 0, 0])], "Certificate", "UnexpectedMessage"),
        (
            &[(handshake, &[4, 0, 0, 0])],
            "NewSessionTicket",
            "UnexpectedMessage",
        ),
        (
            &[(handshake, &[24, 1, 0, 0, 0])],
            "HandshakePayloadTooLarge",
            "DecodeError",
        ),
        (
            &[(ContentType::Heartbeat, &[1])],
            "Heartbeat",
            "UnexpectedMessage",
        ),
    ];
    for (sent, error, alert) in cases {
        for at_once in [true, false] {
            let mut ends = ends();
            let (mut why, mut reported) = (None, None);
            let mut bytes = Vec::new();
            for (kind, payload) in sent {
                bytes.extend(sealed(&mut ends.1, *kind, payload));
                let is_update = *kind == ContentType::Handshake && **payload == KEY_UPDATE;
                if is_update {
                    ends.1.records.change_sealer();
                }
                if !at_once && why.is_none() {
                    (why, reported) = refused(&mut ends, std::mem::take(&mut bytes));
                }
            }
            if at_once {
                (why, reported) = refused(&mut ends, bytes);
            }
            let why = why.unwrap_or_default();
            assert!(
                why.contains(error) && why.is_empty() == error.is_empty(),
                "{why}, {error}"
            );
            assert_eq!(reported.unwrap_or_default(), alert, "{sent:?}: {why}");
            let read = if sent.contains(&(data, b"x")) && !error.contains("Interleaved") {
                "x"
            } else {
                ""
            };
            assert_eq!(ends.0.opened, read.as_bytes());
        }
    }
}

#[test]
fn bytes_that_nobody_has_sealed() {
    let record = |kind: u8, version: [u8; 2], length: u16, payload: &[u8]| {
        [
            &[kind, version[0], version[1]][..],
            &length.to_be_bytes(),
            payload,
        ]
        .concat()
    };
    let cases = [
        (record(23, [3, 3], 32, &[7; 32]), "decrypt", "BadRecordMac"),
        (record(23, [3, 3], 0, &[]), "decrypt", "BadRecordMac"),
        (record(23, [3, 3], 16, &[7; 16]), "decrypt", "BadRecordMac"),
        (record(21, [3, 3], 2, &[2, 40]), "Alert", "UnexpectedMessage"),
        (
            record(22, [3, 3], 4, &[1, 0, 0, 0]),
            "Handshake",
            "UnexpectedMessage",
        ),
        (
            record(20, [3, 3], 1, &[1]),
            "ChangeCipherSpec",
            "UnexpectedMessage",
        ),
        (
            record(23, [3, 3], 16_641, &[]),
            "MessageTooLarge",
            "RecordOverflow",
        ),
        (
            record(23, [2, 0], 32, &[]),
            "UnknownProtocolVersion",
            "DecodeError",
        ),
        (record(99, [3, 3], 32, &[]), "InvalidContentType", "DecodeError"),
        (
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            "InvalidContentType",
            "DecodeError",
        ),
    ];
    for (bytes, error, alert) in cases {
        let mut ends = ends();
        let good = sealed(&mut ends.1, ContentType::ApplicationData, b"x");
        let (why, reported) = refused(&mut ends, [good, bytes.clone()].concat());
        assert!(
            why.as_ref().is_some_and(|why| why.contains(error)),
            "{bytes:?}: {why:?}"
        );
        assert_eq!(reported.as_deref(), Some(alert), "{bytes:?}");
        assert_eq!(ends.0.opened, b"x");
    }
}

#[test]
fn a_record_that_was_sealed_is_opened_once_and_as_it_is() {
    let mut ends = ends();
    let first = sealed(&mut ends.1, ContentType::ApplicationData, b"first");
    let second = sealed(&mut ends.1, ContentType::ApplicationData, b"second");
    assert_eq!(refused(&mut ends, first.clone()), (None, None));
    let why = refused(&mut ends, first).0.expect("again");
    assert!(why.contains("decrypt"), "{why}");
    for at in 0..second.len() {
        let mut ends = self::ends();
        let good = sealed(&mut ends.1, ContentType::ApplicationData, b"second");
        let mut changed = good.clone();
        changed[at] ^= 1;
        let (why, _) = refused(&mut ends, changed);
        // The version of the header is neither sealed nor looked at, but for its first byte; a length may become one that is awaited.
        assert!(why.is_some() || matches!(at, 2..=4), "byte {at}");
        assert!(why.is_none() || ends.0.opened.is_empty(), "byte {at}");
    }
}

/// Both ways, in records of every sort of size, split anywhere, into buffers of any size, with new keys in between.
#[test]
fn payload_there_and_back_in_pieces() {
    let payload: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    for (step, room) in [
        (1, 16_384),
        (7, 100),
        (16_405, 1),
        (16_406, 16_384),
        (1 << 20, 65_536),
    ] {
        let (mut server, mut client) = ends();
        let mut rest = &payload[..];
        let mut bytes = Vec::new();
        while !rest.is_empty() {
            let accepted = client.records.seal(rest.into(), &mut client.outgoing).unwrap();
            assert!(accepted > 0);
            rest = &rest[accepted..];
            bytes.extend(wire(&mut client.outgoing));
            bytes.extend(sealed(&mut client, ContentType::Handshake, &[24, 0, 0, 1, 1]));
            client.records.change_sealer();
        }
        let mut held = Vec::new();
        for piece in bytes.chunks(step) {
            held.extend_from_slice(piece);
            assert!(matches!(open(&mut server, &mut held, room), Come::Incomplete));
        }
        assert!(held.is_empty() && server.opened == payload, "{step}, {room}");
        // It was asked for new keys more than once, and says once that it has them.
        assert_eq!(
            server
                .records
                .seal(b"answer"[..].into(), &mut server.outgoing)
                .unwrap(),
            6
        );
        let mut answer = wire(&mut server.outgoing);
        assert_eq!(answer.len(), (5 + 5 + 17) + (5 + 6 + 17));
        assert!(matches!(open(&mut client, &mut answer, room), Come::Incomplete));
        assert_eq!(client.opened, b"answer");
    }
}

#[test]
fn slices_are_one_record_and_much_is_several() {
    let (mut server, mut client) = ends();
    let slices: [&[u8]; 4] = [b"he", b"", b"llo", b"!"];
    let payload = tokio_rustls::rustls::crypto::cipher::OutboundChunks::new(&slices);
    assert_eq!(server.records.seal(payload, &mut server.outgoing).unwrap(), 6);
    let mut bytes = wire(&mut server.outgoing);
    assert_eq!(bytes.len(), 5 + 6 + 17);
    open(&mut client, &mut bytes, 100);
    assert_eq!(client.opened, b"hello!");

    let much = vec![7; 5 * PAYLOAD];
    assert_eq!(
        server
            .records
            .seal(much[..].into(), &mut server.outgoing)
            .unwrap(),
        4 * PAYLOAD
    );
    assert_eq!(wire(&mut server.outgoing).len(), 4 * (5 + PAYLOAD + 17));
}

/// A cipher that is good for few records with one key: both sides change keys again and again, and neither notices.
#[test]
fn keys_are_changed_before_they_are_used_up() {
    let SupportedCipherSuite::Tls13(suite) = cipher_suite::TLS13_AES_128_GCM_SHA256 else {
        unreachable!("it is one of TLS 1.3")
    };
    let suite: &'static Tls13CipherSuite = Box::leak(Box::new(Tls13CipherSuite {
        common: tokio_rustls::rustls::CipherSuiteCommon {
            suite: suite.common.suite,
            hash_provider: suite.common.hash_provider,
            confidentiality_limit: 5,
        },
        hkdf_provider: suite.hkdf_provider,
        aead_alg: suite.aead_alg,
        quic: None,
    }));
    let (mut server, mut client) = ends_with(CryptoProvider {
        cipher_suites: vec![SupportedCipherSuite::Tls13(suite)],
        ..default_provider()
    });
    let (mut numbers, mut updates) = (Vec::new(), 0);
    for turn in 0..200 {
        let message = [turn; 3];
        client
            .records
            .seal(message[..].into(), &mut client.outgoing)
            .unwrap();
        let mut bytes = wire(&mut client.outgoing);
        updates += usize::from(bytes.len() > 5 + 3 + 17);
        assert!(matches!(open(&mut server, &mut bytes, 100), Come::Incomplete));
        server
            .records
            .seal(message[..].into(), &mut server.outgoing)
            .unwrap();
        let mut bytes = wire(&mut server.outgoing);
        assert!(matches!(open(&mut client, &mut bytes, 100), Come::Incomplete));
        numbers.push(client.records.sealer().number());
    }
    assert!(numbers.iter().all(|number| *number <= 5), "{numbers:?}");
    assert!(updates >= 40, "{updates}");
    assert_eq!((server.opened.len(), client.opened.len()), (600, 600));
}

/// Whatever has moved, and however it came.
#[tokio::test]
async fn an_idle_stream_holds_no_buffer() {
    let (server, client) = configs(default_provider());
    let (mut near, mut far) = tokio::io::duplex(10_000);
    let name = ServerName::try_from("localhost").unwrap();
    let server = UnbufferedServerConnection::new(server).unwrap();
    let client = UnbufferedClientConnection::new(client, name).unwrap();
    let (server, client) = tokio::join!(
        shake_hands(&mut near, server, BytesMut::new(), PAYLOAD, None),
        shake_hands(&mut far, client, BytesMut::new(), PAYLOAD, None),
    );
    let (mut near, mut far) = (
        Secured::new(near, server.unwrap()),
        Secured::new(far, client.unwrap()),
    );
    for length in [1, 100, 16_384, 100_000] {
        let sent = vec![7; length];
        for size in [1, 4096, 65_536] {
            let (mut read, mut piece) = (0, vec![0; size]);
            let reading = async {
                while read < length {
                    read += near.read(&mut piece).await.unwrap();
                }
                near.write_all(&sent).await.unwrap();
                near.flush().await.unwrap();
            };
            let mut answer = vec![0; length];
            let writing = async {
                far.write_all(&sent).await.unwrap();
                far.flush().await.unwrap();
                far.read_exact(&mut answer).await.unwrap();
            };
            tokio::join!(reading, writing);
            assert_eq!(held(&near), 0, "{length} {size}");
            assert_eq!(held(&far), 0, "{length} {size}");
        }
    }
}

fn held<S, C: Connection>(stream: &Secured<S, C>) -> usize {
    stream.received.capacity() + stream.opened.capacity() + stream.outgoing.capacity()
}

#[test]
fn what_an_end_is() {
    assert!(size_of::<Records<UnbufferedServerConnection>>() <= 800);
    let stream = size_of::<Secured<(), UnbufferedServerConnection>>();
    assert!(stream <= 320, "{stream}");
}
