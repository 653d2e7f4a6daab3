//! The program gateway with its flags for TLS.

use std::time::{Duration, Instant};

use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::tls::TlsFailure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio_rustls::rustls::HandshakeKind;

use crate::certificates::{Authority, VERSIONS};
use crate::peer::{Origin, Peer, Visitor, connect, patiently};
use support::executable;

use crate::program::{Files, Program};

/// A client, the gateway and an origin, with a tunnel.
async fn opened(files: &Files, downstream: bool, upstream: bool) -> (Program, Peer, Peer) {
    let server = files.authority.localhost().server(&VERSIONS, None, &["http/1.1"]);
    let mut origin = Origin::start(upstream.then_some(server)).await;
    let scheme = if upstream { "wss" } else { "ws" };
    let mut arguments = vec![format!(
        "--route=/={scheme}://localhost:{}",
        origin.address.port()
    )];
    if upstream {
        arguments.push(files.upstream_ca());
    }
    if downstream {
        arguments.extend(files.listener());
    }
    let program = Program::start(&arguments).await;
    let tls = downstream.then(|| files.authority.client(&VERSIONS, None));
    let mut client = connect(program.address, tls).await.unwrap();
    client.send(format!("{UPGRADE_REQUEST}early")).await;
    let mut origin = origin.accepts().await.unwrap();
    let head = origin.switch().await.to_lowercase();
    let proto = if downstream { "https" } else { "http" };
    assert!(
        head.contains(&format!("\r\nx-forwarded-proto: {proto}\r\n")),
        "{head}"
    );
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    origin.receives("early").await;
    (program, client, origin)
}

const LEGS: [(bool, bool); 3] = [(true, false), (false, true), (true, true)];

#[tokio::test]
async fn bulk_both_ways_through_every_pair_of_legs() {
    let files = Files::new("bulk");
    let content: Vec<u8> = (0..3_000_001_usize)
        .map(|index| (index % 251 + index / 251) as u8)
        .collect();
    for (downstream, upstream) in LEGS {
        let (_program, client, origin) = opened(&files, downstream, upstream).await;
        let exchange = |peer: Peer| {
            let content = &content;
            async move {
                let (mut reader, mut writer) = tokio::io::split(peer.stream);
                let sending = async {
                    writer.write_all(content).await.unwrap();
                    writer.shutdown().await.unwrap();
                };
                let mut received = Vec::new();
                let (end, ()) = tokio::join!(reader.read_to_end(&mut received), sending);
                end.unwrap();
                assert!(received == *content, "{} bytes", received.len());
            }
        };
        tokio::join!(exchange(client), exchange(origin));
    }
}

#[tokio::test]
async fn half_closes_through_every_pair_of_legs() {
    let files = Files::new("half-close");
    for (downstream, upstream) in LEGS {
        for client_first in [true, false] {
            let (_program, client, origin) = opened(&files, downstream, upstream).await;
            let (mut near, mut far) = match client_first {
                true => (client, origin),
                false => (origin, client),
            };
            near.send("the last").await;
            near.end_writes().await;
            far.receives("the last").await;
            far.ends().await;
            far.send("and yet it moves").await;
            near.receives("and yet it moves").await;
            far.end_writes().await;
            near.ends().await;
        }
    }
}

#[tokio::test]
async fn ordinary_requests_from_https_to_https() {
    let files = Files::new("ordinary");
    let server = files
        .authority
        .localhost()
        .server(&VERSIONS, None, &["h2", "http/1.1"]);
    let mut origin = Origin::start(Some(server)).await;
    let [cert, key] = files.listener();
    let route = format!("--route=/app=https://localhost:{}/inner", origin.address.port());
    let program = Program::start(&[route, files.upstream_ca(), cert, key]).await;
    let tls = files.authority.client(&VERSIONS, None);
    let mut client = connect(program.address, Some(tls)).await.unwrap();
    let mut connection = None;
    for _ in 0..2 {
        client
            .send("GET /app/x HTTP/1.1\r\nHost: app.example\r\n\r\n")
            .await;
        if connection.is_none() {
            connection = Some(origin.accepts().await.unwrap());
        }
        let origin = connection.as_mut().unwrap();
        let head = origin.head().await.to_lowercase();
        assert!(head.starts_with("get /inner/x http/1.1\r\n"), "{head}");
        assert!(
            head.contains("\r\nhost: app.example\r\n") && head.contains("\r\nx-forwarded-proto: https\r\n"),
            "{head}"
        );
        origin
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
        client.receives("hi").await;
    }
}

/// The system's roots, which are these here.
#[tokio::test]
async fn without_a_flag_the_roots_of_the_system_are_believed() {
    let files = Files::new("system-roots");
    let ca = files.write("ca.pem", &files.authority.pem);
    for (identity, status) in [
        (files.authority.localhost(), "HTTP/1.1 101 "),
        (Authority::new().localhost(), "HTTP/1.1 502 "),
    ] {
        let mut origin = Origin::start(Some(identity.server(&VERSIONS, None, &[]))).await;
        let route = format!("--route=/=wss://localhost:{}", origin.address.port());
        let mut command = Command::new(executable("gateway"));
        command
            .arg(route)
            .env("SSL_CERT_FILE", &ca)
            .env_remove("SSL_CERT_DIR");
        let program = Program::started(&mut command).await;
        let mut client = connect(program.address, None).await.unwrap();
        client.send(UPGRADE_REQUEST).await;
        if let Ok(mut origin) = origin.accepts().await {
            origin.switch().await;
        }
        let head = client.head().await;
        assert!(head.starts_with(status), "{head}");
    }
}

#[tokio::test]
async fn the_wrong_language_on_either_kind_of_listener() {
    let files = Files::new("wrong-language");
    let secure = Program::start(&files.listener()).await;
    let mut client = ScriptedClient::connect(secure.address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (head, body) = client.response().await;
    assert_eq!(head.status, 400);
    assert!(String::from_utf8(body).unwrap().contains("https:// or wss://"));
    client.ends().await;

    let plain = Program::start::<&str>(&[]).await;
    let tls = files.authority.client(&VERSIONS, None);
    let error = connect(plain.address, Some(tls))
        .await
        .err()
        .expect("no handshake");
    assert_eq!(TlsFailure::of(&error), Some(TlsFailure::NotTls));
}

#[tokio::test]
async fn a_slow_handshake_ends_at_the_header_deadline_and_holds_up_nobody() {
    let files = Files::new("slow");
    let [cert, key] = files.listener();
    let program = Program::start(&[cert, key, "--header-timeout=500ms".to_owned()]).await;
    let since = Instant::now();
    let mut silent = ScriptedClient::connect(program.address).await;
    let mut slow = ScriptedClient::connect(program.address).await;
    slow.send(b"\x16\x03\x01\x02").await;
    for _ in 0..3 {
        let tls = files.authority.client(&VERSIONS, None);
        let mut client = connect(program.address, Some(tls)).await.unwrap();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    }
    silent.ends().await;
    slow.ends().await;
    assert!(since.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn asked_to_end_it_waits_for_no_handshake() {
    let files = Files::new("drain");
    let mut program = Program::start(&files.listener()).await;
    let mut slow = ScriptedClient::connect(program.address).await;
    slow.send(b"\x16\x03\x01\x02").await;
    // The next one is served: the slow one has been accepted.
    let tls = files.authority.client(&VERSIONS, None);
    drop(connect(program.address, Some(tls)).await.unwrap());
    let id = program.child.id().expect("it runs").to_string();
    let reported = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(reported.unwrap().success());
    let ended = patiently("the gateway to end", program.child.wait()).await;
    assert!(ended.unwrap().success());
    slow.ends().await;
}

#[tokio::test]
async fn flags_that_are_wrong_are_told_at_the_start() {
    let files = Files::new("flags");
    let [cert, key] = files.listener();
    let empty = files.write("empty.pem", "");
    let other = files.write("other.key.pem", &files.authority.localhost().key);
    let nowhere = files.directory.join("nowhere.pem").display().to_string();
    let route = "--route=/=wss://localhost:1".to_owned();
    let cases = [
        (vec![cert.clone()], "--tls-cert and --tls-key need each other"),
        (vec![key.clone()], "--tls-cert and --tls-key need each other"),
        (vec![format!("--tls-cert={nowhere}"), key.clone()], "--tls-cert "),
        (
            vec![cert.clone(), format!("--tls-key={nowhere}")],
            "nowhere.pem: No such file",
        ),
        (
            vec![format!("--tls-cert={empty}"), key],
            "the PEM holds no certificate chain",
        ),
        (
            vec![cert.clone(), format!("--tls-key={empty}")],
            "the PEM holds no private key",
        ),
        (
            vec![cert, format!("--tls-key={other}")],
            "the private key is not the key",
        ),
        (
            vec![route.clone(), format!("--upstream-ca={nowhere}")],
            "--upstream-ca ",
        ),
        (
            vec![route.clone(), format!("--upstream-ca={empty}")],
            "the PEM holds no root certificates",
        ),
        (vec![route], "the system has no root certificates"),
        (
            vec!["--route=/=gopher://localhost:1".to_owned()],
            "https, ws and wss",
        ),
    ];
    for (arguments, words) in cases {
        let output = Command::new(executable("gateway"))
            .args(&arguments)
            .args(["--listen", "127.0.0.1:0"])
            .env("SSL_CERT_FILE", &empty)
            .env_remove("SSL_CERT_DIR")
            .kill_on_drop(true)
            .output();
        let output = patiently("the gateway to end", output).await.unwrap();
        let reported = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(
            reported.starts_with("gateway: ") && reported.contains(words) && reported.lines().count() == 1,
            "{arguments:?}: {reported}"
        );
    }
}

#[tokio::test]
async fn each_of_a_thousand_clients_resumes_its_session_with_whichever_worker() {
    let files = Files::new("resumption");
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut arguments = vec![
        format!("--route=/=ws://{}", origin.address()),
        "--workers=2".to_owned(),
    ];
    arguments.extend(files.listener());
    let program = Program::start(&arguments).await;
    for version in VERSIONS {
        let visitors: Vec<Visitor> = (0..500)
            .map(|_| Visitor::new(&files.authority, version))
            .collect();
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            for visitor in &visitors {
                assert_eq!(visitor.visit(program.address).await, expected, "{version:?}");
            }
        }
    }
}
