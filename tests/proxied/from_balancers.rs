//! What a listener takes from whom.

use std::net::SocketAddr;
use std::time::Duration;

use support::bounded::within;
use switchover::header::{Hop, TrustedProxies};
use switchover::proxy_protocol::{Proxied, ProxyAcceptError, ProxyProtocolAcceptor};
use switchover::proxy_protocol::{ProxyHeader, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{loopback, pair};

type Accepted = Result<Proxied<TcpStream>, ProxyAcceptError>;

/// What becomes of a connection on which these bytes come, and then the end if asked for.
async fn accept(
    acceptor: &ProxyProtocolAcceptor,
    pieces: &[&[u8]],
    ends: bool,
) -> (Accepted, TcpStream, SocketAddr) {
    let (mut client, stream, peer) = pair().await;
    let send = async {
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if ends {
            client.shutdown().await.unwrap();
        }
    };
    let (accepted, ()) = tokio::join!(acceptor.accept(stream, peer), send);
    (accepted, client, peer)
}

fn from(address: &str) -> Hop {
    Hop::from(address.parse::<SocketAddr>().unwrap())
}

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\n";

fn tcp() -> ProxyHeader {
    ProxyHeader::tcp(
        "192.0.2.1:5000".parse().unwrap(),
        "198.51.100.1:443".parse().unwrap(),
    )
}

/// Version 2 with something behind the addresses.
fn with_tlv(header: &ProxyHeader, tlv: &[u8]) -> Vec<u8> {
    let mut bytes = header.encode_v2();
    let length = u16::from_be_bytes([bytes[14], bytes[15]]) + u16::try_from(tlv.len()).unwrap();
    bytes[14..16].copy_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(tlv);
    bytes
}

#[tokio::test]
async fn whose_connection_it_is() {
    let acceptor = ProxyProtocolAcceptor::new(loopback());
    let relayed = || from("192.0.2.1:5000").at("198.51.100.1:443".parse().unwrap());
    let tls = |bits: u8| with_tlv(&tcp(), &[0x20, 0, 5, bits, 0, 0, 0, 0]);
    let unix = ProxyHeader::Unix {
        transport: Transport::Stream,
        source: b"/a".to_vec(),
        destination: b"/b".to_vec(),
    };
    let cases: [(Vec<u8>, Option<Hop>); 9] = [
        (V1.to_vec(), Some(relayed())),
        (tcp().encode_v2(), Some(relayed())),
        (tls(1), Some(relayed().tls(true))),
        (tls(0), Some(relayed())),
        (with_tlv(&tcp(), &[0x20, 0, 0]), Some(relayed())),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (ProxyHeader::Unknown.encode_v2(), None),
        (ProxyHeader::Local.encode_v2(), None),
        (unix.encode_v2(), None),
    ];
    for (header, hop) in &cases {
        for rest in [&b""[..], b"GET / HTTP/1.1\r\n"] {
            let whole = [header, rest].concat();
            let each: Vec<&[u8]> = whole.chunks(1).collect();
            let halves = [&whole[..9], &whole[9..]];
            for pieces in [&[&whole[..]][..], &each, &halves] {
                let (accepted, mut client, peer) = accept(&acceptor, pieces, false).await;
                let mut proxied = accepted.unwrap();
                assert_eq!(proxied.hop, hop.unwrap_or(Hop::from(peer)));
                assert!(proxied.header.is_some());
                client.write_all(b"more").await.unwrap();
                client.shutdown().await.unwrap();
                let mut read = Vec::new();
                within("the end", proxied.stream.read_to_end(&mut read))
                    .await
                    .unwrap();
                assert_eq!(read, [rest, b"more"].concat());
            }
        }
    }
}

#[tokio::test]
async fn whoever_must_send_a_header_and_does_not_is_closed() {
    let hasty = Duration::from_millis(100);
    let acceptor = ProxyProtocolAcceptor::new(loopback()).header_timeout(hasty);
    let cases: [(&[u8], bool, &str); 7] = [
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            false,
            "does not begin with a PROXY",
        ),
        (b"\x16\x03\x01\x02\x00\x01", false, "does not begin with a PROXY"),
        (b"PROXY TCP4 1.2.3.4\r\n", false, "two addresses"),
        (
            b"PROXY TCP4 192.0.2.1",
            true,
            "before its PROXY protocol header was whole",
        ),
        (b"PROXY TCP4 192.0.2.1", false, "within 100ms"),
        (b"", false, "within 100ms"),
        (b"", true, "closed without a byte"),
    ];
    for (bytes, ends, expected) in cases {
        let (accepted, mut client, _) = accept(&acceptor, &[bytes], ends).await;
        let error = accepted.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let mut read = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), client.read_to_end(&mut read)).await;
        // In order or reset: bytes may be left unread.
        drop(closed.expect("closed"));
        assert!(read.is_empty(), "not a word: there may be a balancer behind it");
    }
}

#[tokio::test]
async fn whoever_is_no_balancer_is_not_believed() {
    let others = TrustedProxies::new(["10.0.0.0/8".parse().unwrap()]);
    let acceptor = ProxyProtocolAcceptor::new(others);
    let (accepted, _client, _) = accept(&acceptor, &[V1], false).await;
    assert!(matches!(accepted, Err(ProxyAcceptError::Untrusted)));

    // A client like any other, whose first bytes are its own.
    let direct = acceptor.allow_direct(true);
    let (accepted, _client, peer) = accept(&direct, &[V1], true).await;
    let mut proxied = accepted.unwrap();
    assert_eq!((proxied.hop, proxied.header), (Hop::from(peer), None));
    let mut read = Vec::new();
    within("the end", proxied.stream.read_to_end(&mut read))
        .await
        .unwrap();
    assert_eq!(read, V1);

    // A balancer must speak as one in any case.
    let balancers = ProxyProtocolAcceptor::new(loopback()).allow_direct(true);
    let (accepted, _client, _) = accept(&balancers, &[b"GET / HTTP/1.1\r\n"], false).await;
    assert!(matches!(accepted, Err(ProxyAcceptError::Invalid(_))));
}
