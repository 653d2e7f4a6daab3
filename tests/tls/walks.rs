//! The whole walk, with TLS on one side or both: what the peers see is what they see of a gateway without it.

use switchover::connect::TcpConnect;
use switchover::test_util::UPGRADE_REQUEST;
use switchover::tls::{TlsAcceptor, TlsClientConfig, TlsConnect, TlsServerConfig};
use switchover::tunnel::End;
use switchover::{Outcome, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::SupportedProtocolVersion;

use crate::certificates::{Authority, VERSIONS};
use crate::front::{Front, Upstream};
use crate::peer::{Origin, Peer, connect};

/// Two peers with a tunnel between them.
struct Opened {
    front: Front,
    client: Peer,
    origin: Peer,
}

/// Which of the two legs is encrypted, and by which version.
#[derive(Clone, Copy, Debug)]
struct Legs {
    downstream: bool,
    upstream: bool,
    version: &'static SupportedProtocolVersion,
}

const LEGS: [(bool, bool); 3] = [(true, false), (false, true), (true, true)];

fn all_legs() -> impl Iterator<Item = Legs> {
    LEGS.into_iter().flat_map(|(downstream, upstream)| {
        VERSIONS.map(|version| Legs {
            downstream,
            upstream,
            version,
        })
    })
}

impl Legs {
    async fn open(self) -> Opened {
        let authority = Authority::new();
        let identity = authority.localhost();
        let versions = [self.version];

        let tls = self
            .upstream
            .then(|| identity.server(&versions, None, &["http/1.1"]));
        let mut origin = Origin::start(tls).await;
        let address = origin.address.to_string();
        let upstream = if self.upstream {
            let believed = TlsClientConfig::builder().only_roots(authority.pem.as_str());
            Upstream::Tls(TlsConnect::to(address, believed.build().unwrap()).unwrap())
        } else {
            Upstream::Plain(TcpConnect::to(address))
        };
        let acceptor = self.downstream.then(|| {
            let config = TlsServerConfig::from_pem(identity.chain.as_str(), identity.key.as_str());
            TlsAcceptor::new(config.unwrap())
        });
        let front = Front::start(acceptor, upstream).await;

        let tls = self.downstream.then(|| authority.client(&versions, None));
        let mut client = connect(front.address, tls).await.unwrap();
        client.send(format!("{UPGRADE_REQUEST}early")).await;
        let mut origin = origin.accepts().await.unwrap();
        let head = origin.switch().await.to_lowercase();
        let scheme = if self.downstream { "https" } else { "http" };
        assert!(
            head.contains(&format!("\r\nx-forwarded-proto: {scheme}\r\n")),
            "{self:?}: {head}"
        );
        let answer = client.head().await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{self:?}: {answer}");
        origin.receives("early").await;
        Opened {
            front,
            client,
            origin,
        }
    }
}

impl Opened {
    /// The peer on this side, and the other.
    fn peers(&mut self, near: Side) -> (&mut Peer, &mut Peer) {
        match near {
            Side::Downstream => (&mut self.client, &mut self.origin),
            Side::Upstream => (&mut self.origin, &mut self.client),
        }
    }
}

#[tokio::test]
async fn messages_go_both_ways() {
    for legs in all_legs() {
        let mut opened = legs.open().await;
        for _ in 0..3 {
            opened.client.send("a question").await;
            opened.origin.receives("a question").await;
            opened.origin.send("an answer").await;
            opened.client.receives("an answer").await;
        }
    }
}

#[tokio::test]
async fn bulk_both_ways_at_once_arrives_as_it_was_and_is_never_spliced() {
    const LENGTH: usize = 8 * 1024 * 1024 + 17;
    let pattern = |seed: usize| -> Vec<u8> {
        (0..LENGTH)
            .map(|index| (index % 251 + index / 251 + seed) as u8)
            .collect()
    };
    for legs in all_legs() {
        let Opened {
            mut front,
            client,
            origin,
        } = legs.open().await;
        let (upwards, downwards) = (pattern(1), pattern(2));
        let exchange = |peer: Peer, sent: Vec<u8>, expected: Vec<u8>| async move {
            let (mut reader, mut writer) = tokio::io::split(peer.stream);
            let sending = async {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let mut received = Vec::new();
            let (end, ()) = tokio::join!(reader.read_to_end(&mut received), sending);
            end.unwrap();
            assert!(received == expected, "{legs:?}: {} bytes", received.len());
        };
        tokio::join!(
            exchange(client, upwards.clone(), downwards.clone()),
            exchange(origin, downwards, upwards)
        );
        let Ok(Outcome::Tunnelled { traffic, .. }) = front.served().await else {
            panic!("a tunnel");
        };
        assert_eq!(traffic.from_downstream(), LENGTH as u64 + 5, "{legs:?}");
        assert_eq!(traffic.from_upstream(), LENGTH as u64, "{legs:?}");
        assert_eq!(
            (traffic.spliced_from_downstream(), traffic.spliced_from_upstream()),
            (0, 0),
            "{legs:?}"
        );
    }
}

#[tokio::test]
async fn a_half_close_is_passed_on_and_the_other_direction_goes_on() {
    for legs in all_legs() {
        for near in [Side::Downstream, Side::Upstream] {
            let mut opened = legs.open().await;
            let (near_peer, far_peer) = opened.peers(near);
            near_peer.send("the last").await;
            near_peer.end_writes().await;
            far_peer.receives("the last").await;
            far_peer.ends().await;
            for _ in 0..3 {
                far_peer.send("and yet it moves").await;
                near_peer.receives("and yet it moves").await;
            }
            far_peer.end_writes().await;
            near_peer.ends().await;
            let Ok(Outcome::Tunnelled { traffic, .. }) = opened.front.served().await else {
                panic!("a tunnel");
            };
            assert_eq!(traffic.end(), End::Closed { first: near }, "{legs:?}");
        }
    }
}
