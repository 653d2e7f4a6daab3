//! A gateway that knows frames, between peers that are strict about them: they live with its pings, and are sent away in
//! order.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::over_tls::Files;
use crate::programs::{Server, has_chromium, has_node, has_python, node, passes, python};

/// Pings so often that they come between everything else.
const FLAGS: [&str; 4] = ["--tunnel-mode", "websocket", "--ping-interval", "20ms"];

fn gateway_to(server: &Server, more: &[&str]) -> Server {
    let route = format!("/=http://{}", server.address);
    let flags = [&["--route", &route], &FLAGS[..], more].concat();
    Server::gateway(&flags)
}

/// A client that is open and waits.
struct Waiting {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Waiting {
    fn open(client: &mut Command) -> Waiting {
        let mut child = client.stdout(Stdio::piped()).spawn().expect("the client starts");
        let output = child.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(output).lines();
        let line = lines.next().expect("a line").unwrap();
        assert_eq!(line, "open");
        Waiting { child, lines }
    }

    /// The client ends by itself, at the latest after a minute.
    fn says(mut self, expected: &str) {
        let line = self.lines.next().expect("it was sent away").unwrap();
        assert_eq!(line, expected);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn everything_passes_among_pings_and_compressed_frames() {
    if !has_node() || !has_python() {
        return;
    }
    for server in [
        &mut node("ws_server.mjs") as &mut Command,
        &mut python("websockets_server.py"),
    ] {
        let server = Server::start(server);
        let gateway = gateway_to(&server, &[]);
        for client in [&mut node("ws_client.mjs"), &mut python("websockets_client.py")] {
            passes(client.arg(format!("ws://{}/", gateway.address)));
        }
    }
}

#[test]
fn everything_passes_over_tls_too() {
    if !has_node() || !has_python() {
        return;
    }
    let files = Files::new("frames-over-tls");
    let mut server = python("websockets_server.py");
    let server = Server::start(server.env("TLS_CERT", &files.chain).env("TLS_KEY", &files.key));
    let gateway = files.gateway(
        &[
            format!("--route=/=wss://localhost:{}", server.address.port()),
            format!("--upstream-ca={}", files.ca.display()),
        ]
        .into_iter()
        .chain(FLAGS.map(str::to_owned))
        .collect::<Vec<_>>(),
    );
    let mut client = node("ws_client.mjs");
    let believing = client.env("NODE_EXTRA_CA_CERTS", &files.ca);
    passes(believing.arg(format!("wss://{}/", gateway.address)));
}

/// Both ends, in the middle of an idle connection that pings keep, hear 1001 and nothing that is no frame.
#[test]
fn a_drain_is_a_going_away_for_both_ends() {
    if !has_node() || !has_python() {
        return;
    }
    for server in [
        &mut node("ws_server.mjs") as &mut Command,
        &mut python("websockets_server.py"),
    ] {
        let server = Server::start(server);
        for client in [&mut node("ws_waits.mjs"), &mut python("websockets_waits.py")] {
            let gateway = gateway_to(&server, &["--drain-timeout", "300ms", "--read-timeout", "200ms"]);
            let client = Waiting::open(client.arg(format!("ws://{}/", gateway.address)));
            gateway.terminate();
            client.says("closed 1001 shutting down");
            let closed = server.prints("closed", 1).pop();
            assert_eq!(closed.as_deref(), Some("closed 1001 shutting down"));
        }
    }
}

#[test]
fn an_idle_connection_is_a_going_away_too() {
    if !has_node() {
        return;
    }
    let server = Server::start(&mut node("ws_server.mjs"));
    let route = format!("/=http://{}", server.address);
    let flags = [
        "--route",
        &route,
        "--tunnel-mode",
        "websocket",
        "--read-timeout",
        "500ms",
    ];
    let gateway = Server::gateway(&flags);
    let client = Waiting::open(node("ws_waits.mjs").arg(format!("ws://{}/", gateway.address)));
    client.says("closed 1001 idle");
    let closed = server.prints("closed", 1).pop();
    assert_eq!(closed.as_deref(), Some("closed 1001 idle"));
}

#[test]
fn a_drain_is_a_going_away_for_chromium() {
    if !has_chromium() {
        return;
    }
    let flags = [&FLAGS[..], &["--drain-timeout", "300ms"]].concat();
    let gateway = Server::gateway(&flags);
    let (page, url) = (
        format!("http://{}/", gateway.address),
        format!("ws://{}/echo", gateway.address),
    );
    let client = Waiting::open(node("browser_waits.mjs").args([&page, &url]));
    gateway.terminate();
    client.says("closed 1001 shutting down");

    // Over HTTP/2, where each end of the stream is an end of the WebSocket.
    let files = Files::new("frames-chromium");
    let more: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    let gateway = files.gateway(&more);
    let port = gateway.address.port();
    let (page, url) = (
        format!("https://localhost:{port}/"),
        format!("wss://localhost:{port}/echo"),
    );
    let mut client = node("browser_waits.mjs");
    let client = Waiting::open(client.env("TLS_CERT", &files.chain).args([&page, &url]));
    gateway.terminate();
    client.says("closed 1001 shutting down");
}
