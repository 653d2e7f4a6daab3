//! HTTP/2 on the TLS listener of the program gateway: what a browser speaks to it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use serde_json::{Value, json};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin};
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

/// What the administration answers.
async fn asked(admin: SocketAddr, method: &str, target: &str) -> Value {
    let mut client = ScriptedClient::connect(admin).await;
    client
        .send(format!(
            "{method} {target} HTTP/1.1\r\nHost: {admin}\r\nX-Switchover-Admin: 1\r\n\r\n"
        ))
        .await;
    let (head, text) = client.response().await;
    assert_eq!(head.status, 200, "{target}");
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test]
async fn a_websocket_over_http_2_is_listed_and_ended_by_an_operator() {
    let files = Files::new("http2-admin");
    let more = ["--admin=0", "--tunnel-mode=websocket", "--access-log=-"];
    let (mut program, origin) = gateway(&files, &more).await;
    let admin = administration(&mut program).await;
    let uri = format!("https://localhost:{}/live?token=x", program.address.port());
    let mut client = Client::connect(&program, &files).await;
    let (response, _send) = client.ask(websocket(uri)).await;
    let mut receive = response.into_body();
    let list = asked(admin, "GET", "/tunnels").await;
    let tunnel = &list["tunnels"][0];
    for (name, value) in [
        ("server", json!(origin.address().to_string())),
        ("group", json!("/live")),
        ("path", json!("/live")),
        ("protocol", json!("websocket")),
        ("client", json!("127.0.0.1")),
    ] {
        assert_eq!(tunnel[name], value, "{name}: {list}");
    }
    let id = tunnel["id"].as_str().unwrap();
    let ended = asked(
        admin,
        "POST",
        &format!("/tunnels/end?id={id}&code=4001&reason=bye"),
    )
    .await;
    assert_eq!(ended["ended"], 1);
    let close = patiently("a Close", receive.data()).await.unwrap().unwrap();
    assert_eq!(&close[..], b"\x88\x05\x0f\xa1bye");
    assert_eq!(record(&mut program).await["tunnel"], id);
    drop((receive, client));
    let end = record(&mut program).await;
    assert_eq!(
        (
            &end["event"],
            &end["tunnel"],
            &end["reason"],
            &end["close_to_downstream"]
        ),
        (&json!("ended"), &json!(id), &json!("requested"), &json!(4001)),
        "{end}"
    );
}

#[tokio::test]
async fn asked_to_end_it_lets_tunnels_go_on_until_the_drain_timeout() {
    let files = Files::new("http2-drain");
    let (mut program, _origin) = gateway(&files, &["--drain-timeout=500ms"]).await;
    let uri = format!("https://localhost:{}/live", program.address.port());
    let mut client = Client::connect(&program, &files).await;
    let (response, mut send) = client.ask(websocket(uri)).await;
    let mut receive = response.into_body();
    let pid = program.child.id().unwrap().to_string();
    let reported = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(reported.unwrap().success());
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
    // By the count of HTTP/2, which has 32 bytes more for each field, it would be too large.
    let many = (0..120).fold(Request::get(&uri), |request, index| {
        request.header(format!("x-{index}"), "1")
    });
    let (response, _) = client.ask(many.body(()).unwrap()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(client.get(uri).await.0, 200);
}

/// Where the administration of a program is.
async fn administration(program: &mut Program) -> SocketAddr {
    let line = program.line().await.expect("where the administration is");
    let admin = line
        .strip_prefix("administration on http://")
        .and_then(|line| line.strip_suffix('/'))
        .unwrap_or_else(|| panic!("{line}"));
    admin.parse().unwrap()
}

/// As over HTTP/1.1: with a date, and seen by the operator.
#[tokio::test]
async fn a_head_with_too_many_fields_is_refused_and_seen() {
    let files = Files::new("http2-fields");
    let (mut program, _origin) = gateway(&files, &["--admin=0", "--access-log=-"]).await;
    let admin = administration(&mut program).await;
    let uri = format!("https://localhost:{}/old", program.address.port());
    let mut client = Client::connect(&program, &files).await;
    let request = (0..130).fold(Request::get(&uri), |request, index| {
        request.header(format!("x-{index}"), "1")
    });
    let (response, _) = client.ask(request.body(()).unwrap()).await;
    assert_eq!(response.status(), 431);
    assert!(response.headers().contains_key("date"));
    let record = record(&mut program).await;
    let reported = ["event", "status", "path", "reason"].map(|name| record[name].clone());
    let expected = json!(["refused", 431, "/old", "too-many-fields"]);
    assert_eq!(json!(reported), expected, "{record}");
    let failures = asked(admin, "GET", "/failures").await;
    assert_eq!(failures[0]["reason"], "too-many-fields", "{failures}");
    let mut scraper = ScriptedClient::connect(admin).await;
    scraper
        .send(format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n"))
        .await;
    let metrics = String::from_utf8(scraper.response().await.1).unwrap();
    let counted = "switchover_refused_total{reason=\"too-many-fields\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    assert_eq!(client.get(uri).await.0, 200, "the connection goes on");
}

/// A tunnel over HTTP/2 may end after its connection: its upstream still gets its Close, and the log its line.
#[tokio::test]
async fn the_end_of_a_drain_waits_for_a_tunnel_whose_connection_has_gone() {
    let files = Files::new("http2-drain-last");
    // Its Close comes when the gateway has long been able to end.
    let origin = Script::new().read_head().switch().read(1);
    let origin = origin
        .pause(Duration::from_millis(300))
        .send(b"\x88\x02\x03\xe9")
        .echo();
    let origin = ScriptedOrigin::start(origin).await;
    let mut arguments: Vec<String> = files.listener().into();
    arguments.push(format!("--route=/=ws://{}", origin.address()));
    arguments.extend(["--tunnel-mode=websocket", "--access-log=-", "--drain-timeout=20s"].map(str::to_owned));
    let mut program = Program::start(&arguments).await;
    let uri = format!("https://localhost:{}/live", program.address.port());
    let mut client = Client::connect(&program, &files).await;
    let (response, send) = client.ask(websocket(uri)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(record(&mut program).await["event"], "opened");
    let pid = program.child.id().unwrap().to_string();
    let reported = Command::new("kill").args(["-TERM", &pid]).status().await;
    assert!(reported.unwrap().success());
    let refused = async { while tokio::net::TcpStream::connect(program.address).await.is_ok() {} };
    patiently("the drain", refused).await;
    client.driving.abort();
    drop((client, response, send));
    let ended = async {
        loop {
            // There may be one of the connection, too.
            let record = record(&mut program).await;
            if record["event"] == "ended" {
                break record;
            }
        }
    };
    let ended = ended.await;
    let reported = ["reason", "close_to_upstream"].map(|name| ended[name].clone());
    assert_eq!(json!(reported), json!(["reset", 1001]), "{ended}");
    let status = patiently("its end", program.child.wait()).await.unwrap();
    assert!(status.success());
}

/// The next record of the access log, without what is another each time.
async fn record(program: &mut Program) -> Value {
    let line = program.line().await.expect("a record");
    let mut record: Value = serde_json::from_str(&line).unwrap();
    let fields = record.as_object_mut().unwrap();
    assert_eq!(fields["listener"], program.address.to_string());
    assert_eq!(fields["peer"], fields["client"]);
    for name in [
        "time",
        "listener",
        "peer",
        "client",
        "server",
        "servers",
        "connect_ms",
        "head_ms",
        "duration_ms",
    ] {
        fields.remove(name);
    }
    record
}

#[tokio::test]
async fn the_access_log_tells_of_streams_as_of_connections() {
    let files = Files::new("http2-log");
    let (mut program, _origin) = gateway(&files, &["--access-log=-"]).await;
    let host = format!("localhost:{}", program.address.port());
    let authority = format!("https://{host}");
    let expected = |event: &str, id: u64, more: Value| {
        let mut record =
            json!({"event": event, "id": id, "connection": 1, "version": "HTTP/2.0", "host": host});
        let Value::Object(more) = more else {
            panic!("fields")
        };
        record.as_object_mut().unwrap().extend(more);
        record
    };
    let mut client = Client::connect(&program, &files).await;

    let (response, mut send) = client.ask(websocket(format!("{authority}/live?token=x"))).await;
    assert_eq!(response.status(), 200);
    let mut receive = response.into_body();
    let opened = record(&mut program).await;
    let tunnel = json!({
        "method": "CONNECT", "path": "/live?", "upgrade": "websocket", "protocol": "websocket", "status": 200,
        "tunnel": opened["tunnel"],
    });
    assert!(opened["tunnel"].is_string(), "{opened}");
    assert_eq!(opened, expected("opened", 1, tunnel.clone()));

    assert_eq!(client.get(format!("{authority}/old/a?b")).await.0, 200);
    let page = json!({"method": "GET", "path": "/old/a?", "status": 200, "body_bytes_sent": 4});
    assert_eq!(record(&mut program).await, expected("request", 2, page));

    assert_eq!(client.get(format!("{authority}/elsewhere")).await.0, 404);
    let detail = "there is no route for this host and path. \
        Ask for a host and path that a route names, or add a route for this one.";
    let refused = json!({
        "method": "GET", "path": "/elsewhere", "status": 404, "reason": "no-route", "detail": detail,
    });
    assert_eq!(record(&mut program).await, expected("refused", 3, refused));

    let (declined, _) = client.ask(websocket(format!("{authority}/old/x"))).await;
    assert_eq!(
        declined.status(),
        200,
        "it is the other upstream's, and switches too"
    );
    assert_eq!(record(&mut program).await["event"], "opened");

    send.send_data(Bytes::from_static(b"hello"), true).unwrap();
    while let Some(data) = patiently("the echo", receive.data()).await {
        data.unwrap();
    }
    let mut ended = tunnel;
    ended.as_object_mut().unwrap().extend(
        [
            ("reason", json!("closed")),
            ("detail", json!("closed, downstream first")),
            ("side", json!("downstream")),
            ("phase", json!("tunnel")),
            ("from_downstream", json!(5)),
            ("from_upstream", json!(5)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    assert_eq!(record(&mut program).await, expected("ended", 1, ended));
}

#[tokio::test]
async fn the_access_log_tells_of_streams_that_come_to_nothing() {
    let files = Files::new("http2-log-failed");
    let forbidden = "HTTP/1.1 403 x\r\nContent-Length: 3\r\n\r\nno\n";
    let declining = ScriptedOrigin::start(Script::answering(forbidden)).await;
    let silent = ScriptedOrigin::start(Script::new().read_head().pause(Duration::from_secs(60))).await;
    let refusing = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut arguments: Vec<String> = files.listener().into();
    for (path, address) in [
        ("no", declining.address()),
        ("silent", silent.address()),
        ("nobody", refusing),
    ] {
        arguments.push(format!("--route=/{path}=http://{address}"));
    }
    arguments.push("--access-log=-".to_owned());
    let mut program = Program::start(&arguments).await;
    let authority = format!("https://localhost:{}", program.address.port());
    let mut client = Client::connect(&program, &files).await;
    let mut reported = async |names: [&str; 6]| {
        let record = record(&mut program).await;
        json!(names.map(|name| record[name].clone()))
    };
    const NAMES: [&str; 6] = ["event", "status", "reason", "side", "phase", "body_bytes_sent"];

    let (response, _) = client.ask(websocket(format!("{authority}/no"))).await;
    assert_eq!(response.status(), 403);
    assert_eq!(content(response.into_body()).await, "no\n");
    assert_eq!(
        reported(NAMES).await,
        json!(["declined", 403, null, null, null, 3])
    );

    let (response, _) = client.ask(websocket(format!("{authority}/nobody"))).await;
    assert_eq!(response.status(), 502);
    let text = content(response.into_body()).await;
    let expected = json!(["failed", 502, "refused", "upstream", "connect", text.len()]);
    assert_eq!(reported(NAMES).await, expected);

    // The client gives up one stream, and keeps its connection.
    let (response, mut send) = client
        .send
        .send_request(websocket(format!("{authority}/silent")), false)
        .unwrap();
    silent.connection(0).await.head().await;
    send.send_reset(h2::Reason::CANCEL);
    assert!(patiently("an end", response).await.is_err());
    assert_eq!(
        reported(NAMES).await,
        json!(["failed", null, "given-up", null, null, null])
    );
}

#[tokio::test]
async fn the_access_log_tells_of_clients_that_do_not_come_to_http() {
    let files = Files::new("tls-log");
    let (mut program, _origin) = gateway(&files, &["--access-log=-"]).await;
    let address = program.address;
    let cases: [(&[u8], Value); 2] = [
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            json!(["refused", 400, "plain-http", "downstream", "tls"]),
        ),
        (
            b"\x16\x03\x01\x00\x05hello",
            json!(["failed", null, "handshake", "downstream", "tls"]),
        ),
    ];
    for (bytes, expected) in cases {
        let mut client = ScriptedClient::connect(address).await;
        client.send(bytes).await;
        let record = record(&mut program).await;
        let reported = ["event", "status", "reason", "side", "phase"].map(|name| record[name].clone());
        assert_eq!(json!(reported), expected, "{record}");
    }
}
