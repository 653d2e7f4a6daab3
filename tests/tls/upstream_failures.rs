//! An upstream that TLS cannot be spoken with: the client gets a 502 without an address in it, the operator what to
//! change.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::gateway::GatewayConfig;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tls::{TlsClientConfig, TlsConfigError, TlsConnect, TlsFailure};
use switchover::{Cause, Error, Phase, Side};

use crate::certificates::{Authority, Identity, NOW, VERSIONS};
use crate::front::Front;
use crate::peer::{Origin, Peer, connect};

/// What the client and the operator learn of an upgrade to an upstream that fails.
async fn failed(connect_to: impl Connect + 'static) -> (String, Error) {
    failed_within(GatewayConfig::default(), 502, connect_to).await
}

async fn failed_within(
    config: GatewayConfig,
    status: u16,
    connect_to: impl Connect + 'static,
) -> (String, Error) {
    let mut front = Front::with(config, None, connect_to).await;
    let mut client = connect(front.address, None).await.unwrap();
    client.send(UPGRADE_REQUEST).await;
    let head = client.head().await;
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    let (text, end) = client.rest().await;
    assert!(end.is_ok(), "{end:?}");
    drop(client);
    let error = front.served().await.expect_err("no tunnel");
    (String::from_utf8(text).unwrap(), error)
}

/// The failure of a handshake, and the whole text of the error.
fn handshake_failure(error: &Error) -> (TlsFailure, String) {
    assert_eq!((error.phase(), error.side()), (Phase::Connect, Side::Upstream));
    let Cause::Connect(ConnectError::Tls {
        error: source,
        hint,
        name,
    }) = error.reason()
    else {
        panic!("no failed handshake but {error}");
    };
    let failure = TlsFailure::of_handshake(source);
    assert_eq!(failure.hint(), *hint);
    let text = error.to_string();
    assert!(text.contains(name) && text.contains(hint), "{text}");
    (failure, text)
}

fn believing(authority: &Authority) -> TlsClientConfig {
    let builder = TlsClientConfig::builder().only_roots(authority.pem.as_str());
    builder.build().unwrap()
}

fn to(address: SocketAddr, config: TlsClientConfig) -> TlsConnect {
    TlsConnect::new(TcpConnect::to(address.to_string()), "localhost", config).unwrap()
}

/// What `openssl req -x509` makes is marked as an authority.
#[tokio::test]
async fn a_certificate_that_has_signed_itself_counts_where_it_is_named() {
    let named = |names: &[&str], years| Authority::by_itself(names, years, true);
    let stranger = named(&["localhost"], NOW);
    let cases = [
        (Authority::by_itself(&["localhost"], NOW, false), true, None),
        (named(&["localhost"], NOW), true, None),
        (named(&["localhost"], 2010..2011), true, Some(TlsFailure::Expired)),
        (named(&["other.example"], NOW), true, Some(TlsFailure::WrongName)),
        (
            named(&["localhost"], NOW),
            false,
            Some(TlsFailure::BadCertificate),
        ),
    ];
    for (identity, is_named, expected) in cases {
        for version in VERSIONS {
            let roots = if is_named { &identity } else { &stranger };
            let believed = TlsClientConfig::builder().only_roots(roots.chain.as_str());
            let connect_to = |address| to(address, believed.clone().build().unwrap());
            let mut origin = Origin::start(Some(identity.server(&[version], None, &[]))).await;
            let Some(expected) = expected else {
                let front = Front::start(None, connect_to(origin.address)).await;
                let mut client = connect(front.address, None).await.unwrap();
                client.send(UPGRADE_REQUEST).await;
                origin.accepts().await.unwrap().switch().await;
                assert!(client.head().await.starts_with("HTTP/1.1 101 "));
                continue;
            };
            let (_, error) = failed(connect_to(origin.address)).await;
            assert_eq!(handshake_failure(&error).0, expected);
        }
    }
}

/// The server shows the two authorities between its certificate and the root.
#[tokio::test]
async fn a_certificate_that_is_too_far_from_its_root() {
    let root = Authority::new();
    let first = root.below("first");
    let second = first.below("second");
    let mut identity = second.localhost();
    identity.chain += &format!("{}{}", second.pem, first.pem);
    for (limit, is_believed) in [(None, true), (Some(2), true), (Some(1), false), (Some(0), false)] {
        let believing = TlsClientConfig::builder().only_roots(root.pem.as_str());
        let config = believing.max_intermediates(limit).build().unwrap();
        let mut origin = Origin::start(Some(identity.server(&VERSIONS, None, &[]))).await;
        if is_believed {
            let front = Front::start(None, to(origin.address, config)).await;
            let mut client = connect(front.address, None).await.unwrap();
            client.send(UPGRADE_REQUEST).await;
            origin.accepts().await.unwrap().switch().await;
            assert!(client.head().await.starts_with("HTTP/1.1 101 "), "{limit:?}");
            continue;
        }
        let (_, error) = failed(to(origin.address, config)).await;
        assert_eq!(
            handshake_failure(&error).0,
            TlsFailure::BadCertificate,
            "{limit:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let namesake = Authority::named(authority.name());
    let cases = [
        (
            "expired",
            authority.issue(&["localhost"], 2010..2011),
            TlsFailure::Expired,
            "clock",
        ),
        (
            "not valid yet",
            authority.issue(&["localhost"], 2090..2091),
            TlsFailure::NotYetValid,
            "clock",
        ),
        (
            "of another name",
            authority.issue(&["other.example"], NOW),
            TlsFailure::WrongName,
            "\"localhost\"",
        ),
        (
            "of a namesake",
            namesake.localhost(),
            TlsFailure::UnknownIssuer,
            "root",
        ),
        (
            "of a stranger",
            stranger.localhost(),
            TlsFailure::UnknownIssuer,
            "root",
        ),
    ];
    for (kind, identity, expected, word) in cases {
        for version in VERSIONS {
            let mut origin = Origin::start(Some(identity.server(&[version], None, &[]))).await;
            let (public, error) = failed(to(origin.address, believing(&authority))).await;
            let (failure, text) = handshake_failure(&error);
            assert_eq!(failure, expected, "{kind}: {text}");
            assert!(text.contains(word), "{kind}: {text}");
            assert!(
                public.contains("TLS") && !public.contains("localhost") && !public.contains("127.0.0.1"),
                "{kind}: {public}"
            );
            // The upstream is notified too, by an alert.
            let alert = origin.accepts().await.err().expect("no handshake");
            assert!(TlsFailure::of(&alert).is_some(), "{kind}: {alert}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_plain_http() {
    let authority = Authority::new();
    let answers = [
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        "<html>The plain text of some server</html>",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ];
    for answer in answers {
        let origin = ScriptedOrigin::start(Script::new().read(1).send(answer).close()).await;
        let (public, error) = failed(to(origin.address(), believing(&authority))).await;
        let (failure, text) = handshake_failure(&error);
        assert_eq!(failure, TlsFailure::NotTls, "{answer:?}: {text}");
        assert!(text.contains("http:// or ws://"), "{text}");
        assert!(public.contains("TLS"), "{public}");
    }
}

#[tokio::test]
async fn an_upstream_that_leaves_in_the_middle_of_the_handshake() {
    let authority = Authority::new();
    for script in [
        Script::new().close(),
        Script::new().reset(),
        Script::new().read(1).close(),
        Script::new().read(1).reset(),
        Script::new().read(1).send("\x16\x03\x03\0\x7a").close(),
    ] {
        let described = format!("{script:?}");
        let origin = ScriptedOrigin::start(script).await;
        let (_, error) = failed(to(origin.address(), believing(&authority))).await;
        assert_eq!(handshake_failure(&error).0, TlsFailure::Closed, "{described}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_silent_is_too_slow_at_the_connect_deadline() {
    let authority = Authority::new();
    let limit = Duration::from_millis(200);
    let origin = ScriptedOrigin::start(Script::new()).await;
    let since = Instant::now();
    let config = GatewayConfig::default().connect_timeout(limit);
    let (_, error) = failed_within(config, 504, to(origin.address(), believing(&authority))).await;
    assert!(since.elapsed() >= limit);
    assert!(
        matches!(error.reason(), Cause::TimedOut(passed) if *passed == limit),
        "{error}"
    );
}

#[tokio::test]
async fn an_upstream_with_no_protocol_in_common() {
    let authority = Authority::new();
    let server = |alpn: &[&str]| authority.localhost().server(&VERSIONS, None, alpn);
    // (offered there, HTTP/2 asked for here, what comes of it)
    let cases: [(&[&str], bool, Option<TlsFailure>); 8] = [
        (&["h2"], false, Some(TlsFailure::NoCommonProtocol)),
        (&["h2", "http/1.1"], false, None),
        (&["http/1.1"], false, None),
        (&[], false, None),
        (&["h2"], true, None),
        (&["http/1.1", "h2"], true, None),
        (&["http/1.1"], true, Some(TlsFailure::NoCommonProtocol)),
        (&[], true, Some(TlsFailure::NoCommonProtocol)),
    ];
    for (offered, http2, expected) in cases {
        let mut origin = Origin::start(Some(server(offered))).await;
        // Whatever a configuration of the caller's own asks for.
        let mut config = authority.client(&VERSIONS, None);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"foo".to_vec()];
        let mut connect_to = to(origin.address, TlsClientConfig::from_rustls(config));
        if http2 {
            connect_to = connect_to.http2();
        }
        let connecting = connect_to_origin(&connect_to).await;
        let failure = match &connecting {
            Ok(()) => None,
            Err(ConnectError::Tls {
                error: source, hint, ..
            }) => {
                assert!(hint.contains("http/1.1"), "{hint}");
                TlsFailure::of(source)
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(failure, expected, "{offered:?}, http2: {http2}, {connecting:?}");
        let _ = origin.accepts().await;
    }
}

async fn connect_to_origin(connect: &TlsConnect) -> Result<(), ConnectError> {
    let (head, ()) = http::Request::new(()).into_parts();
    let request = ConnectRequest::new(&head, switchover::header::Hop::unknown());
    connect.connect(request).await.map(drop)
}

/// What becomes of an upgrade to an upstream that demands a certificate.
async fn demanded(server: Origin, config: TlsClientConfig) -> Result<Peer, (String, Error)> {
    let mut server = server;
    let mut front = Front::start(None, to(server.address, config)).await;
    let mut client = connect(front.address, None).await.unwrap();
    client.send(UPGRADE_REQUEST).await;
    if let Ok(mut origin) = server.accepts().await {
        origin.switch().await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        return Ok(client);
    }
    assert!(client.head().await.starts_with("HTTP/1.1 502 "));
    let public = String::from_utf8(client.rest().await.0).unwrap();
    drop(client);
    Err((public, front.served().await.expect_err("no tunnel")))
}

#[tokio::test]
async fn a_client_certificate_that_the_upstream_demands() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let me = clients.issue(&["gateway.example"], NOW);
    let unknown = Authority::new().issue(&["gateway.example"], NOW);
    let with = |identity: &Identity| {
        let builder = TlsClientConfig::builder().only_roots(authority.pem.as_str());
        let builder = builder.client_certificate(identity.chain.as_str(), identity.key.as_str());
        builder.build().unwrap()
    };
    for version in VERSIONS {
        let server = || async {
            let config = authority.localhost().server(&[version], Some(&clients), &[]);
            Origin::start(Some(config)).await
        };
        assert!(demanded(server().await, with(&me)).await.is_ok());

        let cases = [
            (
                "none given",
                believing(&authority),
                "asks for a client certificate",
                TlsFailure::CertificateRequired,
            ),
            (
                "another's given",
                with(&unknown),
                "does not accept the certificate",
                TlsFailure::CertificateRefused,
            ),
        ];
        for (kind, config, hint, expected) in cases {
            let Err((public, error)) = demanded(server().await, config).await else {
                panic!("{kind}: a tunnel");
            };
            // With TLS 1.3 the refusal comes when the connection stands already: as the answer to the request.
            let source = match error.reason() {
                Cause::Connect(ConnectError::Tls { error: source, .. })
                | Cause::Tls { error: source, .. } => source,
                other => panic!("{kind}: {other}"),
            };
            assert_eq!(TlsFailure::of(source), Some(expected), "{kind}: {error}");
            assert!(error.to_string().contains(hint), "{kind}: {error}");
            assert!(public.contains("no TLS can be spoken"), "{kind}: {public}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_tls_where_plain_http_is_spoken_to_it() {
    let authority = Authority::new();
    for version in VERSIONS {
        let origin = Origin::start(Some(authority.localhost().server(&[version], None, &[]))).await;
        let (public, error) = failed(TcpConnect::to(origin.address.to_string())).await;
        assert!(matches!(error.reason(), Cause::SpeaksTls), "{error}");
        assert!(error.to_string().contains("https:// or wss://"), "{error}");
        assert!(public.contains("speaks TLS"), "{public}");
    }
}

#[tokio::test]
async fn a_name_that_is_none() {
    let authority = Authority::new();
    for name in ["", "a b", "http://localhost", "-", "::", "a/b", "[::1"] {
        let made = TlsConnect::new(TcpConnect::to("127.0.0.1:1"), name, believing(&authority));
        if name == "::" {
            assert!(made.is_ok(), "an address is a name");
            continue;
        }
        let error = made.err().unwrap_or_else(|| panic!("{name:?} was taken"));
        assert!(matches!(error, TlsConfigError::Name { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn an_address_is_a_name_too() {
    let authority = Authority::new();
    let identity = authority.issue(&["127.0.0.1", "::1"], NOW);
    let mut origin = Origin::start(Some(identity.server(&VERSIONS, None, &[]))).await;
    let inner = || TcpConnect::to(origin.address.to_string());
    for name in ["127.0.0.1", "::1", "[::1]"] {
        let connect = TlsConnect::new(inner(), name, believing(&authority)).unwrap();
        connect.stream().await.unwrap();
    }
    let by_authority = TlsConnect::to(origin.address.to_string(), believing(&authority)).unwrap();
    by_authority.stream().await.unwrap();
    let other = TlsConnect::new(inner(), "127.0.0.2", believing(&authority)).unwrap();
    let Err(ConnectError::Tls { error: source, .. }) = other.stream().await else {
        panic!("another address was believed");
    };
    assert_eq!(TlsFailure::of(&source), Some(TlsFailure::WrongName));
    let _ = origin.accepts().await;
}

#[test]
fn an_error_that_is_none_of_tls() {
    for error in [
        io::Error::from(io::ErrorKind::ConnectionReset),
        io::Error::from(io::ErrorKind::UnexpectedEof),
        io::Error::other("certificate expired"),
    ] {
        assert_eq!(TlsFailure::of(&error), None, "{error}");
    }
}
