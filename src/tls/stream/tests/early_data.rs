//! Early data that is not accepted is skipped by rustls, as far as its limit goes, and costs a bounded number of steps.

use std::io::Write;

use tokio_rustls::rustls::{ClientConnection, HandshakeKind};

use super::*;

/// A server that takes no early data, and a client that has been told by another that it may send some.
struct Stale {
    now: Configs,
    session: ClientConfig,
}

impl Stale {
    fn new() -> Self {
        let mut configs = Configs::new(&TLS13, ring::default_provider());
        configs.client.enable_early_data = true;
        let (now, mut before) = (configs.server.clone(), configs.server.clone());
        before.max_early_data_size = 1 << 14;
        configs.server = before;
        let (_, client) = configs.ends();
        assert_eq!(client.connection.handshake_kind(), Some(HandshakeKind::Full));
        let session = configs.client.clone();
        configs.server = now;
        Stale {
            now: configs,
            session,
        }
    }

    /// A hello, followed by as many records of early data.
    fn hello(&self, records: usize, length: usize) -> (ClientConnection, Vec<u8>) {
        let mut client = ClientConnection::new(Arc::new(self.session.clone()), name()).unwrap();
        let mut bytes = Vec::new();
        let payload = vec![7; length];
        for _ in 0..records {
            let taken = client.early_data().expect("it may").write(&payload).unwrap();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            if taken < length {
                // More than it may: records that cannot be opened either.
                bytes.extend_from_slice(&[23, 3, 3]);
                bytes.extend_from_slice(&(length as u16 + 17).to_be_bytes());
                bytes.extend_from_slice(&vec![7; length + 17]);
            }
        }
        (client, bytes)
    }
}

/// Shows the server bytes, so many at a time.
fn show(
    server: &mut Handshake<UnbufferedServerConnection>,
    bytes: &[u8],
    step: usize,
    down: &mut Outgoing,
) -> Result<bool, Error> {
    let mut is_done = false;
    for piece in bytes.chunks(step) {
        server.received.extend_from_slice(piece);
        is_done = server.advance(down)?;
    }
    Ok(is_done)
}

/// Goes on to the end of the handshake.
fn finish(
    client: &mut ClientConnection,
    server: &mut Handshake<UnbufferedServerConnection>,
    down: &mut Outgoing,
) -> Result<bool, Error> {
    let answer = wire(down);
    let mut rest = &answer[..];
    while !rest.is_empty() {
        client.read_tls(&mut rest).unwrap();
        client.process_new_packets()?;
    }
    let mut up = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut up).unwrap();
    }
    show(server, &up, usize::MAX, down)
}

#[test]
fn a_little_is_skipped() {
    for (records, length, step) in [
        (1, 1, 1),
        (1, 1000, 7),
        (20, 1, usize::MAX),
        (1, 7000, 1000),
        (3, 2000, usize::MAX),
    ] {
        let stale = Stale::new();
        let (mut client, bytes) = stale.hello(records, length);
        let mut server = Handshake::new(stale.now.server(), BytesMut::new());
        let mut down = Outgoing::default();
        assert!(!show(&mut server, &bytes, step, &mut down).unwrap());
        assert!(
            finish(&mut client, &mut server, &mut down).unwrap(),
            "{records} {length} {step}"
        );
        assert!(!client.is_early_data_accepted());
        // Nothing of it is payload.
        let server = End::of(server);
        assert!(server.opened.is_empty() && server.received.is_empty());
    }
}

#[test]
fn much_of_it_is_refused() {
    for (records, length) in [(2000, 1), (40, 1000), (4, 12_000)] {
        for step in [1000, 16_000, usize::MAX] {
            let stale = Stale::new();
            let (mut client, bytes) = stale.hello(records, length);
            let mut server = Handshake::new(stale.now.server(), BytesMut::new());
            let mut down = Outgoing::default();
            let error = show(&mut server, &bytes, step, &mut down).unwrap_err();
            assert_eq!(error, Error::DecryptError);
            let reported = finish(&mut client, &mut server, &mut down).unwrap_err();
            assert!(format!("{reported}").contains("BadRecordMac"), "{reported}");
        }
    }
}

/// A byte at a time of records that would cost nothing of rustls' limit.
#[test]
fn records_without_a_byte_are_refused() {
    for empty in [1, 10, 5000] {
        let stale = Stale::new();
        let (mut client, mut bytes) = stale.hello(1, 1);
        let before = bytes.len();
        for _ in 0..empty {
            bytes.extend_from_slice(&[23, 3, 3, 0, 0]);
        }
        let mut server = Handshake::new(stale.now.server(), BytesMut::new());
        let mut down = Outgoing::default();
        let error = show(&mut server, &bytes, 1, &mut down).unwrap_err();
        assert!(format!("{error:?}").contains("InvalidEmptyPayload"), "{error:?}");
        assert!(server.received.len() < before);
        assert!(server.steps < 40, "{}", server.steps);
        let reported = finish(&mut client, &mut server, &mut down).unwrap_err();
        assert!(format!("{reported}").contains("DecodeError"), "{reported}");
    }
}

/// Nor what rustls would skip without a count because it knows the type or the version of it.
#[test]
fn records_of_other_versions_are_refused() {
    for header in [[23, 0xfe, 0xff, 0, 0], [23, 0, 2, 0, 0], [24, 3, 3, 0, 0]] {
        let stale = Stale::new();
        let (_, mut bytes) = stale.hello(1, 1);
        let before = bytes.len();
        bytes.extend(header.repeat(1000));
        let mut server = Handshake::new(stale.now.server(), BytesMut::new());
        let mut down = Outgoing::default();
        let refused = show(&mut server, &bytes, 1, &mut down);
        assert!(refused.is_err(), "{header:?}");
        assert!(server.received.len() < before);
        assert!(server.steps < 40, "{}", server.steps);
    }
}

/// The work for records that come one by one is that of as many as rustls' limit permits, whatever they are and however they come.
#[test]
fn tiny_records_end_at_the_limit() {
    let stale = Stale::new();
    let (_, bytes) = stale.hello(2000, 1);
    let mut server = Handshake::new(stale.now.server(), BytesMut::new());
    let mut down = Outgoing::default();
    let error = show(&mut server, &bytes, 1, &mut down).unwrap_err();
    assert_eq!(error, Error::DecryptError);
    // After `n` records, the tries are n * (n + 1) / 2, of 18 bytes each.
    assert!(server.steps < 80, "{}", server.steps);
}
