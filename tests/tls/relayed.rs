//! Ordinary requests to origins over TLS, under the rules of those in plain text.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use switchover::connect::ConnectError;
use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
use switchover::service::{Destination, Relay, RelayConfig, ReverseProxy};
use switchover::test_util::{ScriptedClient, UPGRADE_REQUEST};
use switchover::tls::{TlsClientConfig, TlsConnect, TlsFailure};
use switchover::{Cause, Error};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::certificates::{Authority, NOW, VERSIONS};
use crate::peer::{Origin, Peer, patiently};

const GET: &str = "GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// A relay whose clients all go to one destination, and the failures that it tells of.
struct RunningRelay {
    address: SocketAddr,
    failures: mpsc::UnboundedReceiver<Arc<Error>>,
    _accepting: JoinSet<()>,
}

impl RunningRelay {
    async fn to(destination: Destination, config: RelayConfig) -> Self {
        let relay = Relay::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, failures) = mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serving.spawn(serve(stream, relay.clone(), destination.clone(), sender.clone()));
            }
        });
        RunningRelay {
            address,
            failures,
            _accepting: accepting,
        }
    }

    /// What a client receives for a request that fails, and the failure.
    async fn failed(&mut self) -> (String, Arc<Error>) {
        let mut client = ScriptedClient::connect(self.address).await;
        client.send(GET).await;
        let (head, body) = client.response().await;
        assert_eq!(head.status, 502);
        let failure = patiently("a failure", self.failures.recv()).await.unwrap();
        (String::from_utf8(body).unwrap(), failure)
    }
}

async fn serve(
    stream: TcpStream,
    relay: Relay,
    destination: Destination,
    failures: mpsc::UnboundedSender<Arc<Error>>,
) {
    let peer = stream.peer_addr().unwrap();
    let acceptor = Acceptor::new(GatewayConfig::default());
    let mut accepted = acceptor.accept(stream, peer).await;
    while let Ok(Accepted::Ordinary(head, stream)) = accepted {
        let relayed = relay.serve(stream, &head, destination.clone(), peer.into()).await;
        let Ok(relayed) = relayed else { return };
        if let Some(failure) = relayed.failure {
            let _ = failures.send(failure);
        }
        let Some(stream) = relayed.stream else { return };
        accepted = acceptor.resume(stream, peer).await;
    }
}

fn destination(origin: &Origin) -> Destination {
    let port = origin.address.port();
    Destination::new(format!("localhost:{port}").parse().unwrap())
}

fn believing(authority: &Authority) -> RelayConfig {
    let tls = TlsClientConfig::builder().only_roots(authority.pem.as_str());
    RelayConfig::default().tls(tls.build().unwrap())
}

async fn answers(origin: &mut Peer, count: usize) {
    for _ in 0..count {
        origin.head().await;
        origin.send(OK).await;
    }
}

#[tokio::test]
async fn requests_share_a_connection_over_tls_and_none_with_plain_text() {
    let authority = Authority::new();
    let server = authority.localhost().server(&VERSIONS, None, &["h2", "http/1.1"]);
    let mut origin = Origin::start(Some(server)).await;
    let relay = Relay::new(believing(&authority));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (failures, mut failed) = mpsc::unbounded_channel();
    let destinations = [destination(&origin).over_tls(), destination(&origin)];
    let serving = async {
        for destination in destinations {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, relay.clone(), destination, failures.clone()).await;
        }
    };
    let address = listener.local_addr().unwrap();
    let asking = async {
        let mut client = ScriptedClient::connect(address).await;
        for _ in 0..3 {
            client.send(GET).await;
            assert_eq!(client.response().await.1, b"hi");
        }
        drop(client);
        // The same authority in plain text: a connection of its own, to a server that speaks TLS.
        let mut client = ScriptedClient::connect(address).await;
        client.send(GET).await;
        let (head, body) = client.response().await;
        assert_eq!(head.status, 502);
        assert!(String::from_utf8(body).unwrap().contains("speaks TLS"));
    };
    let answering = async {
        let mut connection = origin.accepts().await.unwrap();
        answers(&mut connection, 3).await;
        let plain = origin.accepts().await.err().expect("plain text is no handshake");
        assert_eq!(TlsFailure::of(&plain), Some(TlsFailure::NotTls));
    };
    tokio::join!(serving, asking, answering);
    let failure = patiently("a failure", failed.recv()).await.unwrap();
    assert!(matches!(failure.reason(), Cause::SpeaksTls), "{failure}");
}

#[tokio::test]
async fn an_origin_that_tls_cannot_be_spoken_with() {
    let authority = Authority::new();
    let cases = [
        (authority.issue(&["localhost"], 2010..2011), TlsFailure::Expired),
        (authority.issue(&["other.example"], NOW), TlsFailure::WrongName),
        (Authority::new().localhost(), TlsFailure::UnknownIssuer),
    ];
    for (identity, expected) in cases {
        let origin = Origin::start(Some(identity.server(&VERSIONS, None, &[]))).await;
        let mut relay = RunningRelay::to(destination(&origin).over_tls(), believing(&authority)).await;
        let (public, failure) = relay.failed().await;
        let Cause::Connect(ConnectError::Tls { error: source, .. }) = failure.reason() else {
            panic!("{failure}");
        };
        assert_eq!(TlsFailure::of(source), Some(expected));
        assert!(
            public.contains("no TLS can be spoken") && !public.contains("localhost"),
            "{public}"
        );
    }
}

#[tokio::test]
async fn an_origin_that_speaks_plain_http_over_tls() {
    let authority = Authority::new();
    let mut origin = Origin::start(None).await;
    let over_tls = destination(&origin).over_tls();
    let mut relay = RunningRelay::to(over_tls, believing(&authority)).await;
    let plain = async {
        let mut connection = origin.accepts().await.unwrap();
        connection
            .send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .await;
        connection.rest().await
    };
    let ((_, failure), _) = tokio::join!(relay.failed(), plain);
    let text = failure.to_string();
    assert!(text.contains("http:// or ws://"), "{text}");
}

#[tokio::test]
async fn a_client_certificate_that_the_origin_demands() {
    let (authority, clients) = (Authority::new(), Authority::new());
    for version in VERSIONS {
        let server = authority.localhost().server(&[version], Some(&clients), &[]);
        let origin = Origin::start(Some(server)).await;
        let mut relay = RunningRelay::to(destination(&origin).over_tls(), believing(&authority)).await;
        let (public, failure) = relay.failed().await;
        let source: &io::Error = match failure.reason() {
            Cause::Connect(ConnectError::Tls { error: source, .. }) | Cause::Tls { error: source, .. } => {
                source
            }
            other => panic!("{other}"),
        };
        assert_eq!(TlsFailure::of(source), Some(TlsFailure::CertificateRequired));
        assert!(public.contains("no TLS can be spoken"), "{public}");
    }
}

#[tokio::test]
async fn a_relay_that_nobody_has_told_whom_to_believe() {
    let authority = Authority::new();
    let origin = Origin::start(Some(authority.localhost().server(&VERSIONS, None, &[]))).await;
    let mut relay = RunningRelay::to(destination(&origin).over_tls(), RelayConfig::default()).await;
    let (_, failure) = relay.failed().await;
    assert!(failure.to_string().contains("RelayConfig::tls"), "{failure}");
}

#[tokio::test]
async fn a_service_over_tls_relays_on_one_connection_and_tunnels_on_another() {
    let authority = Authority::new();
    let server = authority.localhost().server(&VERSIONS, None, &["http/1.1"]);
    let mut origin = Origin::start(Some(server)).await;
    let tls = TlsClientConfig::builder().only_roots(authority.pem.as_str());
    let connect = TlsConnect::to(origin.address.to_string(), tls.build().unwrap()).unwrap();
    let app = axum::Router::new().fallback_service(ReverseProxy::new(connect));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        axum::serve(
            listener,
            app.into_make_service_with_connect_info::<std::net::SocketAddr>(),
        )
        .await
    });

    let mut client = ScriptedClient::connect(address).await;
    let asking = async {
        for _ in 0..2 {
            client.send(GET).await;
            assert_eq!(client.response().await.1, b"hi");
        }
    };
    let answering = async {
        let mut connection = origin.accepts().await.unwrap();
        answers(&mut connection, 2).await;
        connection
    };
    let ((), _connection) = tokio::join!(asking, answering);

    client.send(format!("{UPGRADE_REQUEST}early")).await;
    let mut origin = origin.accepts().await.unwrap();
    origin.switch().await;
    assert_eq!(client.head().await.status, 101);
    origin.receives("early").await;
    origin.send("and back").await;
    client.receives(b"and back").await;
}

/// TLS says where a stream ends; a stream that ends without that has been cut short, by anyone who can send a FIN.
#[tokio::test]
async fn a_body_that_only_the_end_delimits_is_complete_only_with_closing_words() {
    let authority = Authority::new();
    for closes_in_order in [true, false] {
        let server = authority.localhost().server(&VERSIONS, None, &[]);
        let mut origin = Origin::start(Some(server)).await;
        let relay = RunningRelay::to(destination(&origin).over_tls(), believing(&authority)).await;
        let mut client = ScriptedClient::connect(relay.address).await;
        client.send(GET).await;
        let mut connection = origin.accepts().await.unwrap();
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\n\r\nall there is").await;
        assert_eq!(client.head().await.status, 200);
        match closes_in_order {
            true => {
                connection.end_writes().await;
                client.receives(b"c\r\nall there is\r\n0\r\n\r\n").await;
            }
            false => {
                drop(connection);
                let rest = client.rest_until_reset().await;
                assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", rest.escape_ascii());
            }
        }
    }
}
