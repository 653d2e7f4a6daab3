//! HTTP/2 on the TLS listener of the example gateway: what a browser speaks to it.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use switchover::test_util::{Script, ScriptedOrigin};
use tokio::process::Command;
use tokio::time::timeout;

use crate::certificates::VERSIONS;
use crate::peer::{connect, patiently};
use crate::program::{Files, Program};

/// One HTTP/2 connection to the gateway.
struct Client {
    send: SendRequest<Bytes>,
    driving: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    async fn connect(program: &Program, files: &Files) -> Self {
        let mut tls = files.authority.client(&VERSIONS, None);
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let peer = connect(program.address, Some(tls)).await.unwrap();
        let (send, mut connection) = h2::client::handshake(peer.stream).await.unwrap();
        let mut pings = connection.ping_pong().unwrap();
        let driving = tokio::spawn(connection);
        // The server's settings are before its first pong.
        pings.ping(h2::Ping::opaque()).await.unwrap();
        assert!(send.is_extended_connect_protocol_enabled());
        Client { send, driving }
    }

    async fn ask(&mut self, request: Request<()>) -> (Response<RecvStream>, SendStream<Bytes>) {
        let ends = request.method() != http::Method::CONNECT;
        let (response, send) = self.send.send_request(request, ends).unwrap();
        (patiently("a response", response).await.unwrap(), send)
    }

    async fn get(&mut self, uri: String) -> (u16, String) {
        let (response, _) = self.ask(Request::get(uri).body(()).unwrap()).await;
        let status = response.status().as_u16();
        (status, content(response.into_body()).await)
    }
}

async fn content(mut body: RecvStream) -> String {
    let mut content = Vec::new();
    while let Some(data) = patiently("a body", body.data()).await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        content.extend_from_slice(&data);
    }
    String::from_utf8(content).unwrap()
}

fn websocket(uri: String) -> Request<()> {
    Request::connect(uri)
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap()
}

/// A gateway with routes to an origin that echoes upgrades and answers the rest.
async fn gateway(files: &Files, more: &[&str]) -> (Program, ScriptedOrigin) {
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage";
    let answer = move |head: &http::request::Parts| match head.headers.contains_key("upgrade") {
        true => switchover::test_util::switching_protocols(head),
        false => page.into(),
    };
    let origin = ScriptedOrigin::start(Script::new().read_head().answer(answer).echo()).await;
    let mut arguments: Vec<String> = files.listener().into();
    arguments.push(format!("--route=/old=http://{}/new", origin.address()));
    arguments.push(format!("--route=/live=ws://{}", origin.address()));
    arguments.extend(more.iter().map(|&argument| argument.to_owned()));
    (Program::start(&arguments).await, origin)
}

#[tokio::test]
async fn requests_and_websockets_share_a_connection() {
    let files = Files::new("http2-both");
    let (program, origin) = gateway(&files, &["--set-header=X-Scheme: $scheme"]).await;
    let authority = format!("https://localhost:{}", program.address.port());
    let mut client = Client::connect(&program, &files).await;

    let (response, mut send) = client.ask(websocket(format!("{authority}/live?x"))).await;
    assert_eq!(response.status(), 200);
    let mut receive = response.into_body();
    assert_eq!(
        client.get(format!("{authority}/old/a?b")).await,
        (200, "page".into())
    );
    assert_eq!(client.get(format!("{authority}/elsewhere")).await.0, 404);
    let (declined, _) = client.ask(websocket(format!("{authority}/elsewhere"))).await;
    assert_eq!(declined.status(), 404);
    send.send_data(Bytes::from_static(b"hello"), true).unwrap();
    let mut received = Vec::new();
    while let Some(data) = patiently("the echo", receive.data()).await {
        received.extend_from_slice(&data.unwrap());
    }
    assert_eq!(received, b"hello");

    let upgrade = origin.connection(0).await.head().await;
    assert!(upgrade.starts_with("GET /live?x HTTP/1.1\r\n"), "{upgrade}");
    let ordinary = origin.connection(1).await.head().await;
    assert!(ordinary.starts_with("GET /new/a?b HTTP/1.1\r\n"), "{ordinary}");
    for head in [upgrade, ordinary] {
        let head = head.to_lowercase();
        for line in [
            format!("host: localhost:{}", program.address.port()),
            "x-forwarded-proto: https".to_owned(),
            "x-forwarded-for: 127.0.0.1".to_owned(),
            "x-scheme: https".to_owned(),
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
        }
    }
}

#[tokio::test]
async fn the_cap_counts_streams_and_connections_alike() {
    let files = Files::new("http2-cap");
    let (program, _origin) = gateway(&files, &["--max-tunnels=1"]).await;
    let uri = format!("https://localhost:{}/live", program.address.port());
    let (mut one, mut other) = (
        Client::connect(&program, &files).await,
        Client::connect(&program, &files).await,
    );
    let (response, _send) = one.ask(websocket(uri.clone())).await;
    assert_eq!(response.status(), 200);
    assert_eq!(other.ask(websocket(uri)).await.0.status(), 503);
}

#[tokio::test]
async fn told_to_end_it_lets_tunnels_go_on_until_the_drain_timeout() {
    let files = Files::new("http2-drain");
    let (mut program, _origin) = gateway(&files, &["--drain-timeout=500ms"]).await;
    let uri = format!("https://localhost:{}/live", program.address.port());
    let mut client = Client::connect(&program, &files).await;
    let (response, mut send) = client.ask(websocket(uri)).await;
    let mut receive = response.into_body();
    let pid = program.child.id().unwrap().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(told.unwrap().success());
    send.send_data(Bytes::from_static(b"still here"), false).unwrap();
    let data = patiently("the echo", receive.data()).await.unwrap().unwrap();
    assert_eq!(data, "still here");
    assert_eq!(content(receive).await, "", "an end in order");
    assert!(
        patiently("its end", program.child.wait())
            .await
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn a_connection_without_a_request_is_ended_in_order() {
    let files = Files::new("http2-idle");
    let (program, _origin) = gateway(&files, &["--header-timeout=300ms"]).await;
    let client = Client::connect(&program, &files).await;
    // In order, but the client may still have had something to say when the socket closed.
    let ended = timeout(Duration::from_secs(5), client.driving).await;
    let _ = ended.expect("an end").unwrap();
    drop(client.send);
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused_and_the_connection_goes_on() {
    let files = Files::new("http2-limit");
    let (program, _origin) = gateway(&files, &["--max-header-bytes=4096"]).await;
    let uri = format!("https://localhost:{}/old", program.address.port());
    let mut client = Client::connect(&program, &files).await;
    let large = Request::get(&uri).header("x-large", "x".repeat(6000));
    let (response, _) = client.ask(large.body(()).unwrap()).await;
    assert_eq!(response.status(), 431);
    assert_eq!(client.get(uri).await.0, 200);
}
