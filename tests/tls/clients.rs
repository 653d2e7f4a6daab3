//! Clients of a listener that speaks TLS, and TLS clients of one that does not.

use std::time::{Duration, Instant};

use switchover::Outcome;
use switchover::connect::TcpConnect;
use switchover::handshake::Rejection;
use switchover::http1::HeadError;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tls::{TlsAcceptError, TlsAcceptor, TlsConfigError, TlsFailure, TlsServerConfig};
use tokio::io::AsyncReadExt;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};

use crate::certificates::{Authority, Identity, NOW, VERSIONS};
use crate::front::Front;
use crate::peer::{Peer, connect};

struct Door {
    authority: Authority,
    origin: ScriptedOrigin,
    front: Front,
}

impl Door {
    async fn open() -> Self {
        let authority = Authority::new();
        let identity = authority.localhost();
        let acceptor = TlsAcceptor::new(config(&identity));
        Self::with(authority, acceptor).await
    }

    async fn with(authority: Authority, acceptor: TlsAcceptor) -> Self {
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let front = Front::start(Some(acceptor), TcpConnect::to(origin.address().to_string())).await;
        Door {
            authority,
            origin,
            front,
        }
    }

    /// The error of the next handshake to fail.
    async fn failed(&mut self) -> TlsAcceptError {
        match self.front.ended().await {
            Err(error) => error,
            Ok(served) => panic!("served: {served:?}"),
        }
    }
}

fn config(identity: &Identity) -> TlsServerConfig {
    TlsServerConfig::from_pem(identity.chain.as_str(), identity.key.as_str()).unwrap()
}

fn failure(error: &TlsAcceptError) -> TlsFailure {
    let TlsAcceptError::Handshake { error: source, hint } = error else {
        panic!("no failed handshake but {error}");
    };
    let failure = TlsFailure::of_handshake(source);
    assert_eq!(failure.hint(), *hint);
    failure
}

/// What a browser's first message is.
fn client_hello(config: ClientConfig) -> Vec<u8> {
    let name = "localhost".try_into().unwrap();
    let mut connection = ClientConnection::new(config.into(), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

async fn tunnel_through(front: &Front, tls: ClientConfig) -> Peer {
    let mut client = connect(front.address, Some(tls)).await.unwrap();
    client.send(UPGRADE_REQUEST).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    client.send("echo").await;
    client.receives("echo").await;
    client
}

#[tokio::test]
async fn plain_http_is_answered_in_plain_http() {
    let mut door = Door::open().await;
    for bytes in [
        UPGRADE_REQUEST,
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "G",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "!weird / HTTP/1.1\r\n\r\n",
    ] {
        let mut client = ScriptedClient::connect(door.front.address).await;
        client.send(bytes).await;
        let (head, body) = client.response().await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(head.status, 400, "{bytes:?}");
        assert!(body.contains("TLS") && body.contains("wss://"), "{body}");
        assert_eq!(head.headers["connection"], "close");
        client.ends().await;
        drop(client);
        let error = door.failed().await;
        assert!(matches!(error, TlsAcceptError::PlainHttp), "{bytes:?}: {error}");
    }
    assert_eq!(door.origin.connections(), 0);
}

#[tokio::test]
async fn neither_http_nor_tls_ends_with_an_alert() {
    let mut door = Door::open().await;
    for bytes in [
        &b"\x80\x2e\x01\x03\x01"[..],
        b"\0\0\0\0\0",
        b"\x16\x03\x01\0\x05\x63\0\0\0\0",
        b"\xff\xfe\xfd\xfc\xfb",
    ] {
        let mut client = ScriptedClient::connect(door.front.address).await;
        client.send(bytes).await;
        let reported = client.rest().await;
        assert!(reported.starts_with(b"\x15\x03"), "{bytes:?}: {reported:?}");
        drop(client);
        failure(&door.failed().await);
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_or_within_its_handshake() {
    let mut door = Door::open().await;
    drop(ScriptedClient::connect(door.front.address).await);
    let error = door.failed().await;
    assert!(matches!(error, TlsAcceptError::Closed), "{error}");

    let hello = client_hello(door.authority.client(&VERSIONS, None));
    for length in [1, 5, hello.len() - 1, hello.len()] {
        let mut client = ScriptedClient::connect(door.front.address).await;
        client.send(&hello[..length]).await;
        drop(client);
        assert_eq!(
            failure(&door.failed().await),
            TlsFailure::Closed,
            "{length} bytes"
        );
    }
}

#[tokio::test]
async fn a_slow_handshake_ends_at_its_deadline_and_holds_up_nobody() {
    let authority = Authority::new();
    let limit = Duration::from_secs(1);
    let acceptor = TlsAcceptor::new(config(&authority.localhost())).handshake_timeout(limit);
    let mut door = Door::with(authority, acceptor).await;
    let hello = client_hello(door.authority.client(&VERSIONS, None));
    // Nothing at all, and all but the last bytes one by one.
    for sent in [0, 40] {
        let since = Instant::now();
        let mut slow = ScriptedClient::connect(door.front.address).await;
        for byte in &hello[..sent] {
            slow.send([*byte]).await;
        }
        // Meanwhile the next one is served.
        let tls = door.authority.client(&VERSIONS, None);
        drop(tunnel_through(&door.front, tls).await);
        assert!(door.front.served().await.is_ok());
        slow.ends().await;
        assert!(since.elapsed() >= limit);
        let error = door.failed().await;
        assert!(
            matches!(error, TlsAcceptError::TimedOut(passed) if passed == limit),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_handshake_byte_by_byte_is_as_good_as_any() {
    let door = Door::open().await;
    let tls = door.authority.client(&VERSIONS, None);
    let (client, relay) = tokio::io::duplex(1);
    let mut server = tokio::net::TcpStream::connect(door.front.address).await.unwrap();
    server.set_nodelay(true).unwrap();
    let mut relay = relay;
    let copying = tokio::spawn(async move {
        let _ = tokio::io::copy_bidirectional(&mut relay, &mut server).await;
    });
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
    let stream = connector
        .connect("localhost".try_into().unwrap(), client)
        .await
        .unwrap();
    let mut client = Peer::new(switchover::tunnel::AnyStream::new(stream));
    client.send(UPGRADE_REQUEST).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    copying.abort();
}

#[tokio::test]
async fn a_client_that_does_not_accept_the_certificate_says_so() {
    let mut door = Door::open().await;
    let stranger = Authority::new();
    let connecting = connect(door.front.address, Some(stranger.client(&VERSIONS, None))).await;
    assert!(connecting.is_err());
    assert_eq!(failure(&door.failed().await), TlsFailure::CertificateRefused);
}

#[tokio::test]
async fn a_client_certificate_that_is_demanded() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let identity = authority.localhost();
    let server = TlsServerConfig::builder(identity.chain.as_str(), identity.key.as_str());
    let server = server.client_roots(clients.pem.as_str()).build().unwrap();
    let mut door = Door::with(authority, TlsAcceptor::new(server)).await;
    let known = clients.issue(&["someone.example"], NOW);
    let expired = clients.issue(&["someone.example"], 2010..2011);
    let unknown = Authority::new().issue(&["someone.example"], NOW);
    for version in VERSIONS {
        let tls = |identity| door.authority.client(&[version], identity);
        drop(tunnel_through(&door.front, tls(Some(&known))).await);
        assert!(matches!(door.front.served().await, Ok(Outcome::Tunnelled { .. })));

        for (identity, expected, reported) in [
            (None, TlsFailure::NoCertificate, TlsFailure::CertificateRequired),
            (
                Some(&unknown),
                TlsFailure::UnknownIssuer,
                TlsFailure::CertificateRefused,
            ),
            (
                Some(&expired),
                TlsFailure::Expired,
                TlsFailure::CertificateRefused,
            ),
        ] {
            let tls = door.authority.client(&[version], identity);
            // With TLS 1.3 the client is done before the server has looked at its certificate.
            let error = match connect(door.front.address, Some(tls)).await {
                Err(error) => error,
                Ok(mut client) => {
                    client.send(UPGRADE_REQUEST).await;
                    client.rest().await.1.expect_err("an alert")
                }
            };
            assert_eq!(TlsFailure::of(&error), Some(reported), "{expected:?}: {error}");
            assert_eq!(failure(&door.failed().await), expected);
        }
    }
    assert_eq!(door.origin.connections(), 2);
}

/// Each name has its certificate, and its own wish for one of the client's. A name without any is refused by an alert.
#[tokio::test]
async fn a_configuration_that_the_hello_chooses() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let everyone = config(&authority.issue(&["everyone.example"], NOW));
    let identity = authority.issue(&["members.example"], NOW);
    let members = TlsServerConfig::builder(identity.chain.as_str(), identity.key.as_str());
    let members = members.client_roots(clients.pem.as_str()).build().unwrap();
    let acceptor = TlsAcceptor::by_client_hello(move |hello| match hello.server_name() {
        Some("everyone.example") => Some(everyone.clone()),
        Some("members.example") => Some(members.clone()),
        _ => None,
    });
    let member = clients.issue(&["someone.example"], NOW);
    let cases = [
        ("everyone.example", None, Ok(())),
        ("everyone.example", Some(&member), Ok(())),
        ("members.example", Some(&member), Ok(())),
        ("members.example", None, Err("handshake")),
        ("nobody.example", None, Err("unknown-name")),
    ];
    for version in VERSIONS {
        for (name, shown, expected) in cases {
            let (client, stream) = tokio::io::duplex(64 * 1024);
            let tls = authority.client(&[version], shown);
            let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
            // The client stays until it has been accepted.
            let connecting = connector.connect(name.try_into().unwrap(), client);
            let (accepted, connected) = tokio::join!(acceptor.accept(stream), connecting);
            let accepted = accepted.map(drop).map_err(|error| error.name());
            assert_eq!(accepted, expected, "{version:?} {name}");
            if name == "nobody.example" {
                let error = connected.unwrap_err().to_string();
                assert!(error.contains("UnrecognisedName"), "{error}");
            }
        }
    }
    let (mut client, stream) = tokio::io::duplex(64 * 1024);
    let broken = b"\x16\x03\x01\0\x05\x63\0\0\0\0";
    tokio::io::AsyncWriteExt::write_all(&mut client, broken)
        .await
        .unwrap();
    let error = acceptor.accept(stream).await.unwrap_err();
    assert_eq!(failure(&error), TlsFailure::Broken);
}

#[tokio::test]
async fn what_alpn_comes_to() {
    let authority = Authority::new();
    let identity = authority.localhost();
    // A configuration of the caller's own offers what the crate can serve, not what it says.
    let own = TlsServerConfig::from_rustls(identity.server(&VERSIONS, None, &["h3", "h2"]));
    type Agreed = Result<Option<&'static str>, TlsFailure>;
    let cases: [(TlsServerConfig, &[&str], Agreed); 9] = [
        (config(&identity), &[], Ok(None)),
        (config(&identity), &["http/1.1"], Ok(Some("http/1.1"))),
        (config(&identity), &["h2", "http/1.1"], Ok(Some("http/1.1"))),
        (config(&identity), &["h2"], Err(TlsFailure::NoCommonProtocol)),
        (own.clone(), &["h2", "http/1.1"], Ok(Some("http/1.1"))),
        (own.clone(), &["h3"], Err(TlsFailure::NoCommonProtocol)),
        (own.http2(), &["http/1.1", "h2"], Ok(Some("h2"))),
        (config(&identity).http2(), &["http/1.1"], Ok(Some("http/1.1"))),
        (config(&identity).http2(), &[], Ok(None)),
    ];
    for (server, asked, expected) in cases {
        let acceptor = TlsAcceptor::new(server);
        let (client, stream) = tokio::io::duplex(64 * 1024);
        let mut tls = authority.client(&VERSIONS, None);
        tls.alpn_protocols = asked.iter().map(|name| name.as_bytes().to_vec()).collect();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
        let connecting = async {
            let mut stream = connector.connect("localhost".try_into().unwrap(), client).await?;
            // Held until the server has closed, or is known to go on.
            let _ = tokio::time::timeout(Duration::from_millis(1), stream.read_u8()).await;
            std::io::Result::Ok(())
        };
        let (accepted, _) = tokio::join!(acceptor.accept(stream), connecting);
        let agreed = match &accepted {
            Ok(stream) => Ok(stream
                .get_ref()
                .1
                .alpn_protocol()
                .map(|name| std::str::from_utf8(name).unwrap())),
            Err(error) => Err(failure(error)),
        };
        assert_eq!(agreed, expected, "asked for {asked:?}");
    }
}

#[tokio::test]
async fn tls_to_a_listener_that_speaks_plain_http_is_refused_and_told_apart() {
    let authority = Authority::new();
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut front = Front::start(None, TcpConnect::to(origin.address().to_string())).await;
    let hello = client_hello(authority.client(&VERSIONS, None));
    for cut in [1, 2, hello.len()] {
        let mut client = ScriptedClient::connect(front.address).await;
        client.send_split_at(&hello, cut).await;
        let (head, body) = client.response().await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(head.status, 400);
        assert!(
            body.contains("TLS") && body.contains("http:// or ws://"),
            "{body}"
        );
        client.ends().await;
        drop(client);
        let Ok(Outcome::Rejected(rejection)) = front.served().await else {
            panic!("no rejection");
        };
        assert_eq!(rejection, Rejection::Head(HeadError::Tls));
        assert!(rejection.to_string().contains("TLS"), "{rejection}");
    }
    assert_eq!(origin.connections(), 0);

    // As a TLS client sees it.
    let error = connect(front.address, Some(authority.client(&VERSIONS, None))).await;
    let error = error.err().expect("no handshake");
    assert_eq!(TlsFailure::of(&error), Some(TlsFailure::NotTls), "{error}");
}

#[tokio::test]
async fn a_client_that_closes_without_closing_words_has_closed() {
    let door = Door::open().await;
    let mut front = door.front;
    let tls = tokio_rustls::TlsConnector::from(std::sync::Arc::new(door.authority.client(&VERSIONS, None)));
    let stream = tokio::net::TcpStream::connect(front.address).await.unwrap();
    let stream = tls
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap();
    // Dropped before a request: the socket closes, and no alert says so.
    drop(stream);
    let served = front.served().await;
    assert!(matches!(served, Ok(Outcome::Closed)), "{served:?}");
}

#[test]
fn configurations_that_are_none() {
    let authority = Authority::new();
    let (identity, other) = (authority.localhost(), authority.localhost());
    let truncated = &identity.chain[..identity.chain.len() / 2];
    let not_base64 = "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n";
    let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        (identity.chain.as_str(), other.key.as_str(), "not the key of"),
        ("", &identity.key, "holds no certificate chain"),
        ("nothing of the kind", &identity.key, "holds no certificate chain"),
        (&identity.key, &identity.key, "holds no certificate chain"),
        (truncated, &identity.key, "certificate chain cannot be read"),
        (not_base64, &identity.key, "certificate chain cannot be read"),
        (not_der, &identity.key, "certificate chain cannot be used"),
        (&identity.chain, "", "holds no private key"),
        (&identity.chain, &identity.chain, "holds no private key"),
        (
            &identity.chain,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "private key cannot be used",
        ),
    ];
    for (chain, key, words) in cases {
        let error = TlsServerConfig::from_pem(chain, key).err();
        let text = error.map(|error: TlsConfigError| error.to_string());
        assert!(
            text.as_ref().is_some_and(|text| text.contains(words)),
            "{words}: {text:?}"
        );
    }
    for roots in ["", not_der] {
        let builder = TlsServerConfig::builder(identity.chain.as_str(), identity.key.as_str());
        let text = builder.client_roots(roots).build().unwrap_err().to_string();
        assert!(text.contains("root certificates"), "{text}");
    }
}
