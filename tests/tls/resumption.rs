//! A client that comes again resumes its session, however many there are.

use std::sync::Arc;

use support::bounded::within;
use switchover::connect::TcpConnect;
use switchover::test_util::{Script, ScriptedOrigin};
use switchover::tls::{TlsAcceptor, TlsServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConnection, HandshakeKind};

use crate::certificates::{Authority, Identity, NOW, VERSIONS};
use crate::front::Front;
use crate::peer::{Visitor, patiently};

struct Door {
    _origin: ScriptedOrigin,
    front: Front,
}

async fn door(config: TlsServerConfig) -> Door {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let connect = TcpConnect::to(origin.address().to_string());
    let front = Front::start(Some(TlsAcceptor::new(config)), connect).await;
    Door {
        _origin: origin,
        front,
    }
}

fn config(identity: &Identity) -> TlsServerConfig {
    TlsServerConfig::from_pem(identity.chain.as_str(), identity.key.as_str()).unwrap()
}

/// How many of these clients resume when they come a second time, after each has been here once.
async fn resumed(front: &Front, clients: &[Visitor]) -> usize {
    for client in clients {
        assert_eq!(client.visit(front.address).await, HandshakeKind::Full);
    }
    let mut resumed = 0;
    for client in clients {
        resumed += usize::from(client.visit(front.address).await == HandshakeKind::Resumed);
    }
    resumed
}

#[tokio::test]
async fn each_of_many_clients_resumes() {
    let authority = Authority::new();
    let door = door(config(&authority.localhost())).await;
    for version in VERSIONS {
        let clients: Vec<Visitor> = (0..300).map(|_| Visitor::new(&authority, version)).collect();
        assert_eq!(resumed(&door.front, &clients).await, 300, "{version:?}");
    }
}

#[tokio::test]
async fn whether_sessions_resume_is_the_configurations() {
    let authority = Authority::new();
    let identity = authority.localhost();
    let own = |tickets| {
        let mut config = identity.server(&VERSIONS, None, &[]);
        config.session_storage = Arc::new(tokio_rustls::rustls::server::NoServerSessionStorage {});
        let config = TlsServerConfig::from_rustls(config);
        if tickets { config.session_tickets() } else { config }
    };
    for (name, config, all) in [
        ("by default", config(&identity), true),
        ("with HTTP/2 offered", config(&identity).http2(), true),
        ("without", config(&identity).without_resumption(), false),
        (
            "a configuration of the caller's own that has none",
            own(false),
            false,
        ),
        ("the same, with tickets", own(true), true),
    ] {
        let door = door(config).await;
        for version in VERSIONS {
            let clients = [(); 3].map(|()| Visitor::new(&authority, version));
            let expected = if all { 3 } else { 0 };
            assert_eq!(
                resumed(&door.front, &clients).await,
                expected,
                "{name}, {version:?}"
            );
        }
    }
}

#[tokio::test]
async fn clones_have_the_same_keys_and_other_configurations_have_not() {
    let authority = Authority::new();
    let identity = authority.localhost();
    let one = config(&identity);
    let (first, worker, other) = (
        door(one.clone()).await,
        door(one.http2()).await,
        door(config(&identity)).await,
    );
    for version in VERSIONS {
        let client = Visitor::new(&authority, version);
        assert_eq!(client.visit(first.front.address).await, HandshakeKind::Full);
        assert_eq!(
            client.visit(worker.front.address).await,
            HandshakeKind::Resumed,
            "{version:?}"
        );
        assert_ne!(
            client.visit(other.front.address).await,
            HandshakeKind::Resumed,
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn a_resumed_session_has_its_client_certificate_and_no_early_data() {
    let authority = Authority::new();
    let (identity, member) = (authority.localhost(), authority.issue(&["member"], NOW));
    let config = TlsServerConfig::builder(identity.chain.as_str(), identity.key.as_str())
        .client_roots(authority.pem.as_str())
        .build()
        .unwrap();
    let acceptor = TlsAcceptor::new(config);
    for version in VERSIONS {
        let mut tls = authority.client(&[version], Some(&member));
        tls.enable_early_data = true;
        let tls = Arc::new(tls);
        let connector = TlsConnector::from(tls.clone());
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (near, far) = tokio::io::duplex(1 << 16);
            let connecting = async {
                let mut stream = connector
                    .connect("localhost".try_into().unwrap(), near)
                    .await
                    .unwrap();
                stream.write_all(b"x").await.unwrap();
                assert_eq!(within("a byte", stream.read_u8()).await.unwrap(), b'y');
            };
            let accepting = async {
                let mut stream = acceptor.accept(far).await.unwrap();
                assert_eq!(within("a byte", stream.read_u8()).await.unwrap(), b'x');
                let session = stream.get_ref().1;
                assert_eq!(session.handshake_kind(), Some(expected), "{version:?}");
                assert_eq!(session.peer_certificates().map(<[_]>::len), Some(1));
                stream.write_all(b"y").await.unwrap();
                stream.flush().await.unwrap();
            };
            patiently("a visit", async { tokio::join!(connecting, accepting) }).await;
            // With a ticket at hand that allows it, there would be a place to write early data to.
            let mut next = ClientConnection::new(tls.clone(), "localhost".try_into().unwrap()).unwrap();
            assert!(next.early_data().is_none());
        }
    }
}
