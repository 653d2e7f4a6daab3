//! How an encrypted stream ends, and what the other side of a tunnel sees of it. Each case with its sides exchanged, and
//! with the other side in plain text and encrypted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use support::bounded::within;
use switchover::Side;
use switchover::test_util::TIMEOUT;
use switchover::tls::{TlsAcceptor, TlsServerConfig};
use switchover::tunnel::{AnyStream, End, Operation, Traffic, Tunnel, TunnelConfig, TunnelError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::certificates::{Authority, VERSIONS};

type Encrypted = tokio_rustls::client::TlsStream<TcpStream>;
type Running = JoinHandle<Result<Traffic, TunnelError>>;

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (connected.unwrap(), accepted.unwrap().0)
}

/// A peer, and the stream that it talks to.
async fn encrypted() -> (Encrypted, AnyStream) {
    let authority = Authority::new();
    let (peer, stream) = sockets().await;
    let connector = TlsConnector::from(Arc::new(authority.client(&VERSIONS, None)));
    let server = authority.localhost().server(&VERSIONS, None, &[]);
    let acceptor = TlsAcceptor::new(TlsServerConfig::from_rustls(server));
    let (peer, stream) = tokio::join!(
        connector.connect("localhost".try_into().unwrap(), peer),
        acceptor.accept(stream)
    );
    (peer.unwrap(), AnyStream::new(stream.unwrap()))
}

/// The side that is not `near`, in plain text or not.
async fn far(is_encrypted: bool) -> (AnyStream, AnyStream) {
    if is_encrypted {
        let (peer, stream) = encrypted().await;
        (AnyStream::new(peer), stream)
    } else {
        let (peer, stream) = sockets().await;
        (AnyStream::from(peer), AnyStream::from(stream))
    }
}

/// A tunnel with an encrypted peer on `near`, and the two peers.
async fn tunnel(near: Side, far_is_encrypted: bool) -> (Encrypted, AnyStream, Running) {
    tunnel_with(TunnelConfig::default(), near, far_is_encrypted).await
}

async fn tunnel_with(
    config: TunnelConfig,
    near: Side,
    far_is_encrypted: bool,
) -> (Encrypted, AnyStream, Running) {
    let (near_peer, near_stream) = encrypted().await;
    let (far_peer, far_stream) = far(far_is_encrypted).await;
    let tunnel = match near {
        Side::Downstream => Tunnel::new(near_stream, far_stream),
        Side::Upstream => Tunnel::new(far_stream, near_stream),
    };
    (near_peer, far_peer, tokio::spawn(tunnel.config(config).run()))
}

async fn ended(running: Running) -> Result<Traffic, TunnelError> {
    let ended = tokio::time::timeout(TIMEOUT, running).await;
    ended.expect("the tunnel ends").unwrap()
}

/// What comes before the end, and the end.
async fn rest(peer: &mut AnyStream) -> (Vec<u8>, io::Result<usize>) {
    let mut bytes = Vec::new();
    let end = tokio::time::timeout(TIMEOUT, peer.read_to_end(&mut bytes)).await;
    (bytes, end.expect("an end"))
}

const CASES: [(Side, bool); 4] = [
    (Side::Downstream, false),
    (Side::Downstream, true),
    (Side::Upstream, false),
    (Side::Upstream, true),
];

#[tokio::test]
async fn a_peer_that_closes_without_closing_words_has_ended() {
    for (near, far_is_encrypted) in CASES {
        let (mut near_peer, mut far_peer, running) = tunnel(near, far_is_encrypted).await;
        near_peer.write_all(b"all there is").await.unwrap();
        near_peer.flush().await.unwrap();
        // Only the socket's write side, without an alert before it.
        near_peer.get_mut().0.shutdown().await.unwrap();
        let (bytes, end) = rest(&mut far_peer).await;
        assert_eq!(bytes, b"all there is");
        assert!(end.is_ok(), "{near} {far_is_encrypted}: {end:?}");

        far_peer.write_all(b"and yet it moves").await.unwrap();
        far_peer.shutdown().await.unwrap();
        let mut answer = Vec::new();
        within("the end", near_peer.read_to_end(&mut answer))
            .await
            .unwrap();
        assert_eq!(answer, b"and yet it moves");
        let traffic = ended(running).await.expect("an end in order");
        assert_eq!(traffic.end(), End::Closed { first: near });
    }
}

#[tokio::test]
async fn a_reset_is_a_failure_and_arrives_as_one() {
    for (near, far_is_encrypted) in CASES {
        let (mut near_peer, mut far_peer, running) = tunnel(near, far_is_encrypted).await;
        near_peer.write_all(b"the last words").await.unwrap();
        near_peer.flush().await.unwrap();
        let mut last = [0; 14];
        within("bytes", far_peer.read_exact(&mut last)).await.unwrap();
        near_peer.get_ref().0.set_zero_linger().unwrap();
        drop(near_peer);

        let (bytes, end) = rest(&mut far_peer).await;
        assert!(bytes.is_empty());
        let kind = end.expect_err("no end in order").kind();
        let expected = match far_is_encrypted {
            false => io::ErrorKind::ConnectionReset,
            true => io::ErrorKind::UnexpectedEof,
        };
        assert_eq!(kind, expected, "{near} {far_is_encrypted}");
        let error = ended(running).await.expect_err("a failure");
        assert_eq!((error.side(), error.operation()), (near, Operation::Read));
    }
}

#[tokio::test]
async fn bytes_that_were_forged_are_a_failure() {
    for (near, far_is_encrypted) in CASES {
        let (near_peer, mut far_peer, running) = tunnel(near, far_is_encrypted).await;
        let (mut socket, _) = near_peer.into_inner();
        // A record of application data that nobody has encrypted.
        socket.write_all(b"\x17\x03\x03\0\x20").await.unwrap();
        socket.write_all(&[7; 32]).await.unwrap();
        let (bytes, end) = rest(&mut far_peer).await;
        assert!(bytes.is_empty() && end.is_err(), "{bytes:?} {end:?}");
        let error = ended(running).await.expect_err("a failure");
        assert_eq!((error.side(), error.operation()), (near, Operation::Read));
    }
}

#[tokio::test]
async fn a_peer_that_reads_nothing_times_out_whatever_its_cipher_has_buffered() {
    for (near, far_is_encrypted) in CASES {
        let config = TunnelConfig::default()
            .idle_timeout(None)
            .write_timeout(Duration::from_millis(200));
        let (near_peer, mut far_peer, running) = tunnel_with(config, near, far_is_encrypted).await;
        let flooding =
            tokio::spawn(async move { while far_peer.write_all(&[7; 64 * 1024]).await.is_ok() {} });
        let traffic = ended(running).await.expect("an end");
        assert_eq!(traffic.end(), End::WriteTimeout { side: near });
        drop(near_peer);
        tokio::time::timeout(TIMEOUT, flooding)
            .await
            .expect("the flood ends")
            .unwrap();
    }
}

#[tokio::test]
async fn a_little_is_delivered_without_more_behind_it() {
    // One byte at a time, each awaited: nothing stays behind in the buffer of a cipher.
    for (near, far_is_encrypted) in CASES {
        let (mut near_peer, mut far_peer, running) = tunnel(near, far_is_encrypted).await;
        for byte in 0..100 {
            near_peer.write_all(&[byte]).await.unwrap();
            near_peer.flush().await.unwrap();
            let mut received = [0];
            let reading = tokio::time::timeout(TIMEOUT, far_peer.read_exact(&mut received));
            reading.await.expect("a byte").unwrap();
            assert_eq!(received, [byte]);
        }
        running.abort();
    }
}
