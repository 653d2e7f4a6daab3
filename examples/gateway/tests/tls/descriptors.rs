//! Descriptors are constant over hundreds of failed handshakes of each kind. Counted in a gateway that is a process of its
//! own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use crate::certificates::{Authority, Identity, NOW, VERSIONS};
use crate::peer::{Origin, connect, patiently};
use crate::program::{Files, Program};

const FAILURES: usize = 200;
const AT_ONCE: usize = 100;

/// What a client does whose connection comes to nothing.
#[derive(Clone, Copy, Debug)]
enum Failing {
    /// Sends this, and leaves when it has the reason.
    Sends(&'static [u8]),
    /// Sends this and leaves.
    Leaves(&'static [u8]),
    /// Does not accept the certificate.
    Refuses,
    /// Speaks a protocol that is not offered.
    OtherProtocol,
    /// Asks for an upgrade that leads to an upstream that TLS cannot be spoken with, and is answered so.
    Asks(&'static str, &'static str),
}

impl Failing {
    async fn fail(self, address: SocketAddr, believed: Arc<Authority>) {
        match self {
            Failing::Sends(bytes) => {
                let mut client = ScriptedClient::connect(address).await;
                client.send(bytes).await;
                let mut reported = Vec::new();
                // In order or reset, as the failure will have it.
                let _ = patiently("an end", client.stream().read_to_end(&mut reported)).await;
            }
            Failing::Leaves(bytes) => ScriptedClient::connect(address).await.send(bytes).await,
            Failing::Refuses => {
                let stranger = Authority::new().client(&VERSIONS, None);
                assert!(connect(address, Some(stranger)).await.is_err());
            }
            Failing::OtherProtocol => {
                let mut tls = believed.client(&VERSIONS, None);
                tls.alpn_protocols = vec![b"ftp".to_vec()];
                assert!(connect(address, Some(tls)).await.is_err());
            }
            Failing::Asks(path, status) => {
                let tls = believed.client(&VERSIONS, None);
                let mut client = connect(address, Some(tls)).await.unwrap();
                client.send(UPGRADE_REQUEST.replacen("/chat", path, 1)).await;
                let head = client.head().await;
                assert!(head.contains(status), "{self:?}: {head}");
            }
        }
    }
}

fn descriptors(program: &Program) -> usize {
    let id = program.child.id().expect("it runs");
    std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

/// The count when it has come down to the one expected, or has not when the test times out.
async fn settled(program: &Program, expected: usize) -> usize {
    let since = Instant::now();
    while descriptors(program) > expected && since.elapsed() < TIMEOUT {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    descriptors(program)
}

async fn descriptors_stay(program: &Program, believed: &Arc<Authority>, kinds: &[Failing]) {
    let before = descriptors(program);
    for how in kinds {
        for _ in 0..FAILURES / AT_ONCE {
            let mut clients = JoinSet::new();
            for _ in 0..AT_ONCE {
                clients.spawn(how.fail(program.address, believed.clone()));
            }
            while let Some(joined) = clients.join_next().await {
                joined.unwrap();
            }
        }
        let after = settled(program, before).await;
        assert!(
            after <= before,
            "{how:?}: {before} descriptors before, {after} after {FAILURES} failures"
        );
    }
}

fn route(path: &str, origin: SocketAddr) -> String {
    format!("--route={path}=wss://localhost:{}", origin.port())
}

#[tokio::test]
async fn over_hundreds_of_failed_handshakes_of_each_kind() {
    let files = Files::new("descriptors");
    let authority = &files.authority;
    let server =
        |identity: Identity, alpn: &[&str]| Origin::start(Some(identity.server(&VERSIONS, None, alpn)));
    let expired = server(authority.issue(&["localhost"], 2010..2011), &[]).await;
    let other_name = server(authority.issue(&["other.example"], NOW), &[]).await;
    let stranger = server(Authority::new().localhost(), &[]).await;
    let http2 = server(authority.localhost(), &["h2"]).await;
    let plain = Script::new().read(1).send("HTTP/1.1 400 x\r\n\r\n").close();
    let plain = ScriptedOrigin::start(plain).await;
    let closing = ScriptedOrigin::start(Script::new().read(1).close()).await;
    let resetting = ScriptedOrigin::start(Script::new().read(1).reset()).await;
    let mut arguments: Vec<String> = files.listener().into();
    arguments.extend([
        files.upstream_ca(),
        route("/expired", expired.address),
        route("/name", other_name.address),
        route("/issuer", stranger.address),
        route("/h2", http2.address),
        route("/plain", plain.address()),
        route("/closes", closing.address()),
        route("/resets", resetting.address()),
    ]);
    let patient = Program::start(&arguments).await;
    let authority = Arc::new(files.authority);
    let asks = |path| Failing::Asks(path, " 502 ");
    let kinds = [
        Failing::Sends(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Failing::Sends(b"\xff\xff\xff\xff\xff\xff"),
        Failing::Leaves(b""),
        Failing::Leaves(b"\x16\x03\x01"),
        Failing::Refuses,
        Failing::OtherProtocol,
        asks("/expired"),
        asks("/name"),
        asks("/issuer"),
        asks("/h2"),
        asks("/plain"),
        asks("/closes"),
        asks("/resets"),
    ];
    descriptors_stay(&patient, &authority, &kinds).await;
}

#[tokio::test]
async fn over_hundreds_of_handshakes_that_pass_a_deadline() {
    let files = Files::new("descriptors-deadlines");
    let silent = ScriptedOrigin::start(Script::new()).await;
    let mut arguments: Vec<String> = files.listener().into();
    arguments.extend([files.upstream_ca(), route("/silent", silent.address())]);
    let [slow_head, slow_upstream] = ["--header-timeout=1s", "--connect-timeout=200ms"]
        .map(|limit| [&arguments[..], &[limit.to_owned()]].concat());
    let believed = Arc::new(files.authority);
    // A gateway for each deadline: clients that do ask have their time on a busy machine.
    let hurried = Program::start(&slow_head).await;
    let kinds = [Failing::Sends(b""), Failing::Sends(b"\x16\x03\x01")];
    descriptors_stay(&hurried, &believed, &kinds).await;
    let hurried = Program::start(&slow_upstream).await;
    descriptors_stay(&hurried, &believed, &[Failing::Asks("/silent", " 504 ")]).await;
}

/// What a client of HTTP/2 sends after the TLS handshake, and then nothing.
fn held() -> [(&'static str, Vec<u8>); 6] {
    let begun = |settings: &[u8]| {
        let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        [preface, &frame(4, 0, 0, settings)].concat()
    };
    let no_window = begun(b"\0\x04\0\0\0\0");
    let get = b"\x82\x87\x44\x06/flood\x41\x09localhost";
    let connect = b"\x42\x07CONNECT\0\x09:protocol\x09websocket\x87\x44\x05/live\x41\x09localhost\
        \0\x15sec-websocket-version\x0213";
    [
        ("silence", vec![]),
        ("half a preface", b"PRI * HTTP/2".to_vec()),
        ("a preface", begun(b"")),
        ("half a head", [begun(b""), frame(1, 0, 1, &get[..2])].concat()),
        (
            "an answer that it does not take",
            [&no_window[..], &frame(1, 5, 1, get)].concat(),
        ),
        (
            "a tunnel that it does not take",
            [&no_window[..], &frame(1, 4, 1, connect)].concat(),
        ),
    ]
}

/// One frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
    [&head, payload].concat()
}

#[tokio::test]
async fn over_clients_of_http_2_that_hold_on() {
    const COUNT: usize = 25;
    let files = Files::new("descriptors-http2");
    let flood = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
    let answer = move |head: &http::request::Parts| match head.headers.contains_key("upgrade") {
        true => switchover::test_util::switching_protocols(head),
        false => flood.into(),
    };
    let script = Script::new()
        .read_head()
        .answer(answer)
        .send(vec![b'x'; 8_000_000]);
    let origin = ScriptedOrigin::start(script.pause(Duration::from_secs(60))).await;
    let mut arguments: Vec<String> = files.listener().into();
    arguments.push(format!("--route=/=http://{}", origin.address()));
    for limit in [
        "header-timeout=2s",
        "send-timeout=500ms",
        "keep-alive-timeout=500ms",
    ] {
        arguments.push(format!("--{limit}"));
    }
    let program = Program::start(&arguments).await;
    let before = descriptors(&program);
    let mut clients = JoinSet::new();
    for (how, bytes) in held() {
        for _ in 0..COUNT {
            let mut tls = files.authority.client(&VERSIONS, None);
            tls.alpn_protocols = vec![b"h2".to_vec()];
            let mut client = connect(program.address, Some(tls)).await.unwrap();
            client.send(&bytes).await;
            // They hold on: it is the gateway that ends them.
            clients.spawn(async move { patiently(how, client.rest()).await });
        }
    }
    while let Some(ended) = clients.join_next().await {
        let (_, _) = ended.unwrap();
    }
    assert_eq!(origin.connections(), 2 * COUNT);
    let after = settled(&program, before).await;
    assert!(after <= before, "{before} descriptors before, {after} after");
}
