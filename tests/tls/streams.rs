//! Streams that speak TLS, over connections that behave as badly as a network may. The peer is rustls itself.

use std::io;
use std::sync::{Arc, Mutex};

use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::header::Hop;
use switchover::test_util::fault::{self, Faults, FaultyStream};
use switchover::tls::{
    ClientStream, ServerStream, TlsAcceptor, TlsClientConfig, TlsConnect, TlsFailure, TlsServerConfig,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, HandshakeKind, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
};

use crate::certificates::{Authority, Identity};
use crate::peer::patiently;

type Server = ServerStream<FaultyStream<DuplexStream>>;
type Client = TlsStream<FaultyStream<DuplexStream>>;

/// A version, and what computes on the side of the crate's.
struct Kind {
    name: String,
    acceptor: TlsAcceptor,
    tls: Arc<ClientConfig>,
    is_tls13: bool,
}

fn kinds() -> Vec<Kind> {
    let authority = Authority::new();
    let identity = authority.localhost();
    let kind = |(computes, provider): (&str, CryptoProvider), version: &'static SupportedProtocolVersion| {
        let mut tls = authority.client(&[version], None);
        // Every handshake has as many bytes as the first.
        tls.resumption = Resumption::disabled();
        Kind {
            name: format!("{:?} by {computes}", version.version),
            acceptor: TlsAcceptor::new(server_of(&identity, version, provider)),
            tls: Arc::new(tls),
            is_tls13: version.version == TLS13.version,
        }
    };
    let versions = [&TLS12, &TLS13].into_iter();
    let kinds = versions.flat_map(|version| providers().map(|provider| kind(provider, version)));
    kinds.collect()
}

/// What computes, by name.
fn providers() -> impl Iterator<Item = (&'static str, CryptoProvider)> {
    let ring = std::iter::once(("ring", default_provider()));
    #[cfg(feature = "aws-lc-rs")]
    let ring = ring.chain(std::iter::once((
        "aws-lc-rs",
        tokio_rustls::rustls::crypto::aws_lc_rs::default_provider(),
    )));
    ring
}

fn server_of(
    identity: &Identity,
    version: &'static SupportedProtocolVersion,
    provider: CryptoProvider,
) -> TlsServerConfig {
    let made = identity.server(&[version], None, &[]);
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(made.cert_resolver);
    TlsServerConfig::from_rustls(config).session_tickets()
}

impl Kind {
    /// A client and the stream that it is accepted on, over a connection with so much room.
    async fn pair(&self, capacity: usize, faults: Faults) -> (Client, Server) {
        let (client, stream) = fault::pair(capacity);
        let connector = TlsConnector::from(self.tls.clone());
        let connecting = connector.connect("localhost".try_into().unwrap(), client);
        let accepting = self.acceptor.accept(stream.faults(faults));
        let both = async { tokio::join!(connecting, accepting) };
        let (client, server) = patiently("a handshake", both).await;
        (client.unwrap(), server.unwrap())
    }
}

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// What the peer has done its part for already.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    patiently("the peer", future).await
}

/// How much is sent over a connection with so much room: where there is little, every byte is a wait.
fn length(capacity: usize) -> usize {
    (capacity * 200).clamp(500, 30_000)
}

/// Writes everything, in pieces of a length that changes, and ends the write side.
async fn send(stream: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8]) -> io::Result<()> {
    for turn in 1.. {
        if bytes.is_empty() {
            break;
        }
        let (now, later) = bytes.split_at(bytes.len().min(turn * turn * 7));
        stream.write_all(now).await?;
        bytes = later;
    }
    stream.shutdown().await
}

async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 5000];
    for turn in 1_usize.. {
        let room = (turn * 37).min(piece.len());
        match stream.read(&mut piece[..room]).await? {
            0 => break,
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
    Ok(bytes)
}

/// Sends and receives so much, both at once, and ends when the peer has.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: S, length: usize) {
    let sent = payload(length);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (sending, received) = tokio::join!(send(&mut writer, &sent), receive(&mut reader));
    sending.unwrap();
    assert!(received.unwrap() == sent, "of {length} bytes");
}

async fn exchange<C, S>(name: &str, client: C, server: S, length: usize)
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let both = async { tokio::join!(converse(client, length), converse(server, length)) };
    patiently(name, both).await;
}

#[tokio::test]
async fn both_directions_at_once_whatever_the_connection_does() {
    for kind in kinds() {
        let named = [
            (1, 500, Faults::none()),
            (64, 10_000, Faults::none().hesitate()),
            (100_000, 200_000, Faults::none().hold_until_flush()),
            (
                16_384,
                200_000,
                Faults::none().write_at_most(1000).read_at_most(999),
            ),
        ];
        let seeded = (0..18).map(|seed| (1 << seed, length(1 << seed), Faults::seeded(seed)));
        for (capacity, length, faults) in named.into_iter().chain(seeded) {
            let (near, far) = fault::pair(capacity);
            let connector = TlsConnector::from(kind.tls.clone());
            // The client reads when its handshake is done: the tickets behind it take room.
            let client = async {
                let connecting = connector.connect("localhost".try_into().unwrap(), near);
                converse(connecting.await.unwrap(), length).await;
            };
            let server = async {
                let accepting = kind.acceptor.accept(far.faults(faults));
                converse(accepting.await.unwrap(), length).await;
            };
            patiently(&kind.name, async { tokio::join!(client, server) }).await;
        }
    }
}

#[tokio::test]
async fn one_direction_ends_and_the_other_goes_on() {
    for kind in kinds() {
        let (mut client, mut server) = kind.pair(1000, Faults::none()).await;
        soon(server.write_all(b"last words")).await.unwrap();
        soon(server.shutdown()).await.unwrap();
        assert_eq!(receive(&mut client).await.unwrap(), b"last words");
        let error = soon(server.write_all(b"more")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{}", kind.name);
        soon(client.write_all(b"an answer")).await.unwrap();
        soon(client.flush()).await.unwrap();
        let mut answer = [0; 9];
        soon(server.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"an answer");
        soon(client.shutdown()).await.unwrap();
        for _ in 0..2 {
            assert_eq!(soon(server.read(&mut answer)).await.unwrap(), 0, "{}", kind.name);
        }

        let (mut client, mut server) = kind.pair(1000, Faults::none()).await;
        soon(client.shutdown()).await.unwrap();
        assert_eq!(soon(server.read(&mut answer)).await.unwrap(), 0);
        soon(server.write_all(b"and yet")).await.unwrap();
        soon(server.shutdown()).await.unwrap();
        assert_eq!(receive(&mut client).await.unwrap(), b"and yet");
    }
}

/// The client's bytes end after each of the last thousand, with messages in them and without closing words.
#[tokio::test]
async fn a_connection_that_is_cut_anywhere_is_cut() {
    for kind in kinds() {
        let (mut client, mut server) = kind.pair(100_000, Faults::none()).await;
        let before = server.get_ref().0.watch().read();
        soon(client.write_all(&[7; 300])).await.unwrap();
        soon(client.write_all(&[8; 300])).await.unwrap();
        soon(client.flush()).await.unwrap();
        soon(server.read_exact(&mut [0; 600])).await.unwrap();
        let whole = server.get_ref().0.watch().read();
        for end in (before..=whole).step_by(13).chain([whole]) {
            for resets in [false, true] {
                let faults = match resets {
                    false => Faults::none().end_after_reading(end),
                    true => Faults::none().reset_after_reading(end),
                };
                let (mut client, mut server) = kind.pair(100_000, faults).await;
                soon(client.write_all(&[7; 300])).await.unwrap();
                soon(client.write_all(&[8; 300])).await.unwrap();
                soon(client.flush()).await.unwrap();
                let mut read = Vec::new();
                let ended = patiently("the end", server.read_to_end(&mut read)).await;
                let expected = match resets {
                    false => io::ErrorKind::UnexpectedEof,
                    true => io::ErrorKind::ConnectionReset,
                };
                assert_eq!(ended.unwrap_err().kind(), expected, "{} {end}", kind.name);
                assert!(
                    [0, 300, 600].contains(&read.len()),
                    "{}: {}",
                    kind.name,
                    read.len()
                );
                assert!(end < whole || read.len() == 600);
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_changes_its_keys() {
    for kind in kinds().iter().filter(|kind| kind.is_tls13) {
        let (mut client, mut server) = kind.pair(10_000, Faults::seeded(7)).await;
        for turn in 0..100_u8 {
            client.get_mut().1.refresh_traffic_keys().unwrap();
            let mut byte = [0];
            soon(client.write_all(&[turn])).await.unwrap();
            soon(client.flush()).await.unwrap();
            soon(server.read_exact(&mut byte)).await.unwrap();
            assert_eq!(byte, [turn], "{}", kind.name);
            soon(server.write_all(&[turn])).await.unwrap();
            soon(server.flush()).await.unwrap();
            soon(client.read_exact(&mut byte)).await.unwrap();
            assert_eq!(byte, [turn], "{}", kind.name);
        }
        // Many at once, and nothing else.
        for _ in 0..33 {
            client.get_mut().1.refresh_traffic_keys().unwrap();
        }
        soon(client.flush()).await.unwrap();
        let error = patiently("a refusal", server.read_u8()).await.unwrap_err();
        assert_eq!(
            TlsFailure::of(&error),
            Some(TlsFailure::Broken),
            "{}: {error}",
            kind.name
        );
        let again = soon(server.read_u8()).await.unwrap_err();
        assert_eq!(again.to_string(), error.to_string());
        assert!(soon(server.write_all(b"x")).await.is_err());
    }
}

#[tokio::test]
async fn forged_records_are_answered_by_an_alert() {
    for kind in kinds() {
        let (client, mut server) = kind.pair(1000, Faults::none()).await;
        let (mut socket, mut session) = client.into_inner();
        soon(socket.write_all(b"\x17\x03\x03\0\x20")).await.unwrap();
        soon(socket.write_all(&[7; 32])).await.unwrap();
        let error = soon(server.read_u8()).await.unwrap_err();
        assert_eq!(TlsFailure::of(&error), Some(TlsFailure::Broken), "{}", kind.name);
        drop(server);
        let mut answer = Vec::new();
        soon(socket.read_to_end(&mut answer)).await.unwrap();
        let mut rest = &answer[..];
        let mut processed = Ok(());
        while !rest.is_empty() && processed.is_ok() {
            session.read_tls(&mut rest).unwrap();
            processed = session.process_new_packets().map(drop);
        }
        let told = processed.unwrap_err().to_string();
        assert!(told.contains("BadRecordMac"), "{}: {told}", kind.name);
    }
}

/// A read that is given up takes nothing with it.
#[tokio::test]
async fn reads_that_are_given_up() {
    for kind in kinds() {
        let (mut client, mut server) = kind.pair(1000, Faults::seeded(3)).await;
        let sent = payload(50_000);
        let sending = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let receiving = async {
            let (mut received, mut piece) = (Vec::new(), [0; 300]);
            loop {
                let reading = std::pin::pin!(server.read(&mut piece));
                match futures_poll(reading).await {
                    Some(count) if count.as_ref().is_ok_and(|count| *count == 0) => break received,
                    Some(count) => received.extend_from_slice(&piece[..count.unwrap()]),
                    None => tokio::task::yield_now().await,
                }
            }
        };
        let both = async { tokio::join!(sending, receiving) };
        let ((), received) = patiently(&kind.name, both).await;
        assert!(received == sent, "{}", kind.name);
    }
}

/// Whatever a connection has not taken when it fails, nothing is sealed behind it.
#[tokio::test]
async fn a_write_that_fails_is_the_last() {
    for kind in kinds() {
        let (_, server) = kind.pair(100_000, Faults::none()).await;
        let before = server.get_ref().0.watch().written();
        // A signature may be a few bytes longer the next time.
        for (more, shows) in [(20, ""), (300, ""), (340, "b")] {
            let faults = Faults::none().fail_after_writing(before + more, io::ErrorKind::HostUnreachable);
            let (mut client, mut failing) = kind.pair(100_000, faults).await;
            for _ in 0..3 {
                if soon(failing.write_all(&[b'b'; 300])).await.is_err() {
                    break;
                }
            }
            for _ in 0..2 {
                let error = soon(failing.write_all(b"again")).await.unwrap_err();
                assert_eq!(
                    error.kind(),
                    io::ErrorKind::HostUnreachable,
                    "{} {more}",
                    kind.name
                );
                assert!(soon(failing.flush()).await.is_err());
            }
            drop(failing);
            let mut read = Vec::new();
            let error = soon(client.read_to_end(&mut read)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            assert!(read.iter().all(|byte| *byte == b'b'));
            assert_eq!(
                read.is_empty(),
                shows.is_empty(),
                "{} {more}: {}",
                kind.name,
                read.len()
            );
        }
    }
}

/// Payload counts as written when it is sealed, and no more of it is taken than the connection has room for.
#[tokio::test]
async fn a_client_that_reads_nothing_is_written_to_no_more() {
    for kind in kinds() {
        let (mut client, mut server) = kind.pair(1000, Faults::none()).await;
        let mut accepted = Vec::new();
        let sent = payload(300_000);
        loop {
            let writing = server.write(&sent[accepted.len()..]);
            // Given up at the first time that there is no room, and begun again later.
            let once = std::pin::pin!(writing);
            let polled = futures_poll(once).await;
            match polled {
                Some(count) => accepted.extend_from_slice(&sent[accepted.len()..][..count.unwrap()]),
                None => break,
            }
        }
        assert!((1000..=130_000).contains(&accepted.len()), "{}", accepted.len());
        let sending = async {
            soon(server.write_all(&sent[accepted.len()..])).await.unwrap();
            soon(server.shutdown()).await.unwrap();
        };
        let (received, ()) =
            patiently("the rest", async { tokio::join!(receive(&mut client), sending) }).await;
        assert!(received.unwrap() == sent, "{}", kind.name);
    }
}

/// What a future comes to at once, if it does.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn hellos_of_many_records_and_hellos_without_end() {
    for kind in kinds() {
        let mut tls = ClientConfig::clone(&kind.tls);
        let names = (0..4000).map(|number| format!("protocol-{number}").into_bytes());
        tls.alpn_protocols = names.chain([b"http/1.1".to_vec()]).collect();
        let large = Kind {
            tls: Arc::new(tls),
            ..kind
        };
        let (client, server) = large.pair(500, Faults::seeded(1)).await;
        assert_eq!(
            server.get_ref().1.alpn_protocol(),
            Some(&b"http/1.1"[..]),
            "{}",
            large.name
        );
        exchange(&large.name, client, server, 1000).await;

        // A hello of 65,000 bytes that comes byte by byte, each in a record: refused before it has cost six times as much.
        let (mut client, stream) = tokio::io::duplex(1 << 20);
        soon(client.write_all(b"\x16\x03\x01\0\x04\x01\0\xfd\xe8"))
            .await
            .unwrap();
        for _ in 0..20_000 {
            soon(client.write_all(b"\x16\x03\x01\0\x01\0")).await.unwrap();
        }
        let error = patiently("a refusal", large.acceptor.accept(stream))
            .await
            .unwrap_err();
        assert_eq!(error.name(), "handshake", "{error}");
    }
}

#[tokio::test]
async fn what_the_handshake_has_come_to() {
    for kind in kinds() {
        let (client, server) = kind.pair(10_000, Faults::none()).await;
        let (session, theirs) = (server.get_ref().1, client.get_ref().1);
        assert_eq!(server.server_name(), Some("localhost"), "{}", kind.name);
        assert_eq!(session.protocol_version(), theirs.protocol_version());
        assert_eq!(session.handshake_kind(), theirs.handshake_kind());
        assert_eq!(session.peer_certificates(), None);
        let suite = |suite: Option<SupportedCipherSuite>| suite.map(|suite| suite.suite());
        assert_eq!(
            suite(session.negotiated_cipher_suite()),
            suite(theirs.negotiated_cipher_suite())
        );
        let group = session.negotiated_key_exchange_group().map(|group| group.name());
        assert_eq!(
            group,
            theirs.negotiated_key_exchange_group().map(|group| group.name())
        );
        let shown = format!("{server:?}");
        assert!(shown.contains("TLSv1"), "{shown}");
    }
}

/// A client with a ticket that would allow it finds no place to write early data to.
#[tokio::test]
async fn early_data_is_refused_whatever_a_configuration_says() {
    let authority = Authority::new();
    let mut own = authority.localhost().server(&[&TLS13], None, &[]);
    own.max_early_data_size = 1 << 14;
    let acceptor = TlsAcceptor::new(TlsServerConfig::from_rustls(own));
    let mut tls = authority.client(&[&TLS13], None);
    tls.enable_early_data = true;
    let kind = Kind {
        name: "early data".to_owned(),
        acceptor,
        tls: Arc::new(tls),
        is_tls13: true,
    };
    for _ in 0..2 {
        let (mut client, mut server) = kind.pair(10_000, Faults::none()).await;
        soon(server.write_all(b"x")).await.unwrap();
        soon(client.read_u8()).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut next = tokio_rustls::rustls::ClientConnection::new(kind.tls.clone(), name).unwrap();
        assert!(next.early_data().is_none());
    }
}

/// The one connection of a test.
struct Made(Mutex<Option<FaultyStream<DuplexStream>>>);

impl Connect for Made {
    type Stream = FaultyStream<DuplexStream>;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<Self::Stream, ConnectError> {
        Ok(self.0.lock().unwrap().take().expect("one connection"))
    }
}

type Upstream = tokio_rustls::server::TlsStream<DuplexStream>;

type Near = ClientStream<FaultyStream<DuplexStream>>;

/// The crate's stream to an upstream, and the upstream.
fn ends(
    (server, client): (&Arc<ServerConfig>, &TlsClientConfig),
    capacity: usize,
    faults: Faults,
) -> (
    impl Future<Output = Result<Near, ConnectError>>,
    impl Future<Output = io::Result<Upstream>>,
) {
    let (near, far) = tokio::io::duplex(capacity);
    let made = Made(Mutex::new(Some(FaultyStream::new(near).faults(faults))));
    let connect = TlsConnect::new(made, "localhost", client.clone()).unwrap();
    let connecting = async move {
        let (head, ()) = http::Request::new(()).into_parts();
        connect.connect(ConnectRequest::new(&head, Hop::unknown())).await
    };
    (
        connecting,
        tokio_rustls::TlsAcceptor::from(server.clone()).accept(far),
    )
}

#[tokio::test]
async fn towards_an_upstream() {
    let authority = Authority::new();
    let versions = [&TLS12, &TLS13].into_iter();
    for (version, (_, provider)) in
        versions.flat_map(|version| providers().map(move |provider| (version, provider)))
    {
        let server = Arc::new(authority.localhost().server(&[version], None, &[]));
        let client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(authority.roots())
            .with_no_client_auth();
        let client = TlsClientConfig::from_rustls(client);
        let configs = (&server, &client);
        for seed in 0..10 {
            let capacity = 1 << (2 * seed);
            let (connecting, accepting) = ends(configs, capacity, Faults::seeded(seed));
            let near = async {
                let near = connecting.await.unwrap();
                // The tickets of the one before have come with the payload.
                let kind = near.get_ref().1.handshake_kind();
                assert_eq!(
                    kind == Some(HandshakeKind::Resumed),
                    seed > 0,
                    "{version:?} {seed}"
                );
                converse(near, length(capacity)).await;
            };
            let far = async { converse(accepting.await.unwrap(), length(capacity)).await };
            patiently("both", async { tokio::join!(near, far) }).await;
        }
        let (connecting, accepting) = ends(configs, 1000, Faults::none());
        let both = async { tokio::join!(connecting, accepting) };
        let (near, far) = patiently("a handshake", both).await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        if version.version == TLS13.version {
            for turn in 0..50 {
                far.get_mut().1.refresh_traffic_keys().unwrap();
                soon(far.write_all(&[turn])).await.unwrap();
                soon(far.flush()).await.unwrap();
                assert_eq!(soon(near.read_u8()).await.unwrap(), turn);
                soon(near.write_all(&[turn])).await.unwrap();
                soon(near.flush()).await.unwrap();
                assert_eq!(soon(far.read_u8()).await.unwrap(), turn);
            }
        }
        soon(far.write_all(b"cut")).await.unwrap();
        soon(far.flush()).await.unwrap();
        drop(far);
        let mut read = Vec::new();
        let error = soon(near.read_to_end(&mut read)).await.unwrap_err();
        assert_eq!(
            (error.kind(), &read[..]),
            (io::ErrorKind::UnexpectedEof, &b"cut"[..])
        );
    }
}
