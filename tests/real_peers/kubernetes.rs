//! `kubectl exec` and `kubectl port-forward`: by a WebSocket with a subprotocol of its own, or by a POST with `Upgrade: SPDY/3.1`.
//!
//! The API server is scripted. The exchanges were recorded from kubectl 1.32; where the command line is installed, it runs too.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use switchover::http1::{HeadLimits, Parsed, parse_request};
use switchover::test_util::{TIMEOUT, switching_protocols};

use crate::containers::{command_line, exchanged, gateway, given_a_line, home, is_installed, json};
use crate::programs::Server;
use crate::spdy;

const RESOURCES: &str = r#"{"kind":"APIResourceList","groupVersion":"v1","resources":[
    {"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get"]},
    {"name":"pods/exec","namespaced":true,"kind":"PodExecOptions","verbs":["create","get"]}]}"#;
const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p1","namespace":"default"},
    "spec":{"containers":[{"name":"c1","image":"i"}]},"status":{"phase":"Running"}}"#;

/// Kubernetes' API server, with a pod whose command is `cat`, and whose port sends back what it is sent.
fn kubernetes(head: &str, stream: &mut TcpStream) -> bool {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let is_spdy = head.contains("\r\nUpgrade: SPDY/3.1\r\n");
    match path {
        "/api" => json(stream, "200 OK", r#"{"kind":"APIVersions","versions":["v1"]}"#),
        "/apis" => json(
            stream,
            "200 OK",
            r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#,
        ),
        "/api/v1" => json(stream, "200 OK", RESOURCES),
        "/api/v1/namespaces/default/pods/p1" => json(stream, "200 OK", POD),
        "/api/v1/namespaces/default/pods/p1/exec" => {
            match is_spdy {
                true => {
                    switch_to_spdy(stream, "v5.channel.k8s.io");
                    spdy::cat(stream);
                }
                false => {
                    switch_to_websocket(head, stream, "v5.channel.k8s.io");
                    said(stream);
                }
            }
            return true;
        }
        "/api/v1/namespaces/default/pods/p1/portforward" => {
            match is_spdy {
                true => {
                    switch_to_spdy(stream, "portforward.k8s.io");
                    spdy::echo(stream);
                }
                false => {
                    switch_to_websocket(head, stream, "SPDY/3.1+portforward.k8s.io");
                    spdy::echo(spdy::InFrames::of(stream));
                }
            }
            return true;
        }
        _ => json(stream, "404 Not Found", "{}"),
    }
    false
}

fn switch_to_spdy(stream: &mut TcpStream, version: &str) {
    let switch = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: {version}\r\n\r\n"
    );
    let _ = stream.write_all(switch.as_bytes());
}

fn switch_to_websocket(head: &str, stream: &mut TcpStream, subprotocol: &str) {
    let parsed = parse_request(head.as_bytes(), &HeadLimits::default());
    let Ok(Parsed::Complete { parts, .. }) = parsed else {
        panic!("no head: {head}");
    };
    let switch = String::from_utf8(switching_protocols(&parts)).expect("a head");
    let chosen = format!("\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n");
    let _ = stream.write_all(switch.replacen("\r\n\r\n", &chosen, 1).as_bytes());
}

/// The output of a command, and that it has succeeded, in frames that begin with the number of their channel.
fn said(stream: &mut TcpStream) {
    let success = br#"{"metadata":{},"status":"Success"}"#;
    let mut frames = b"\x82\x03\x01hi\x82".to_vec();
    frames.extend([u8::try_from(success.len() + 1).expect("a short text"), 3]);
    frames.extend(success);
    frames.extend(b"\x88\x02\x03\xe8");
    let _ = stream.write_all(&frames);
    // Until the client has closed.
    let _ = stream.read_to_end(&mut Vec::new());
}

const SPDY: &str = "POST /api/v1/namespaces/default/pods/p1/exec?command=cat&container=c1&stderr=true&stdin=true&stdout=true \
    HTTP/1.1\r\nHost: 127.0.0.1:6443\r\nUser-Agent: kubectl/v1.32.4 (linux/amd64) kubernetes/4cb5f07\r\n\
    Content-Length: 0\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v5.channel.k8s.io\r\n\
    X-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: v3.channel.k8s.io\r\n\
    X-Stream-Protocol-Version: v2.channel.k8s.io\r\nX-Stream-Protocol-Version: channel.k8s.io\r\n\r\n";
const WEBSOCKET: &str = "GET /api/v1/namespaces/default/pods/p1/exec?command=cat&container=c1&stderr=true&stdin=true&stdout=true \
    HTTP/1.1\r\nHost: 127.0.0.1:6443\r\nUser-Agent: kubectl/v1.32.4 (linux/amd64) kubernetes/4cb5f07\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: FMP0MuouPvpYyxzpls7q4A==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\
    Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn the_exchanges_of_kubectl() {
    let (gateway, received) = gateway(kubernetes, &["websocket", "SPDY/3.1"]);
    let (head, output) = exchanged(&gateway, SPDY, &spdy::of_a_client(b"input\n"));
    assert!(
        head.contains("\r\nX-Stream-Protocol-Version: v5.channel.k8s.io\r\n"),
        "{head}"
    );
    assert_eq!(spdy::on_stream(spdy::OUTPUT, &output), b"input\n", "{output:?}");
    let (head, _) = received.recv_timeout(TIMEOUT).expect("an upgrade");
    let offered = head.matches("\r\nX-Stream-Protocol-Version: ").count();
    assert_eq!(offered, 5, "{head}");

    let (head, output) = exchanged(&gateway, WEBSOCKET, b"");
    assert!(
        head.contains("\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n"),
        "{head}"
    );
    let output = String::from_utf8_lossy(&output);
    assert!(
        output.contains("\x01hi") && output.contains("Success"),
        "{output:?}"
    );
}

/// How it asks: by a WebSocket, or as it did before version 1.31.
const WAYS: [(&str, &str); 2] = [
    ("true", "\r\nUpgrade: websocket\r\n"),
    ("false", "\r\nUpgrade: SPDY/3.1\r\n"),
];

#[test]
fn kubectl_exec_itself() {
    if !is_installed("kubectl", &["version", "--client"]) {
        return;
    }
    let (gateway, received) = gateway(kubernetes, &["websocket", "SPDY/3.1"]);
    let server = format!("http://{}", gateway.address);
    for ((by_websocket, upgrade), expected) in WAYS.into_iter().zip([&b"hi"[..], b"input\n"]) {
        let mut exec = command_line("kubectl");
        exec.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", by_websocket)
            .args(["--server", &server, "exec", "-i", "p1", "--", "cat"]);
        let output = given_a_line(&mut exec);
        assert!(output.status.success(), "{upgrade:?}: {output:?}");
        assert_eq!(output.stdout, expected, "{upgrade:?}: {output:?}");
        let (head, _) = received.recv_timeout(TIMEOUT).expect("an upgrade");
        assert!(head.contains(upgrade), "{head}");
    }
}

#[test]
fn kubectl_port_forward_itself() {
    if !is_installed("kubectl", &["version", "--client"]) {
        return;
    }
    let (gateway, received) = gateway(kubernetes, &["websocket", "SPDY/3.1"]);
    for (by_websocket, upgrade) in WAYS {
        let forwarded = Forwarded::start(&gateway, by_websocket);
        for text in ["the first", "the second"] {
            assert_eq!(forwarded.echo(text), text, "{upgrade:?}");
        }
        let (head, _) = received.recv_timeout(TIMEOUT).expect("an upgrade");
        assert!(head.contains(upgrade), "{head}");
    }
}

/// A port of this machine that `kubectl` forwards to one of the pod. It ends with this value.
struct Forwarded {
    kubectl: Child,
    port: u16,
}

impl Forwarded {
    fn start(gateway: &Server, by_websocket: &str) -> Self {
        let server = format!("http://{}", gateway.address);
        let mut kubectl = Command::new("kubectl")
            .args([
                "--server",
                &server,
                "port-forward",
                "--address",
                "127.0.0.1",
                "p1",
                ":80",
            ])
            .env("KUBECTL_PORT_FORWARD_WEBSOCKETS", by_websocket)
            .env("HOME", home())
            .env("KUBECONFIG", home().join("none"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(kubectl.stdout.take().expect("an output"));
        // Read to its end, so that it never waits for that.
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut forwarded = Forwarded { kubectl, port: 0 };
        let line = lines.recv_timeout(Duration::from_secs(30)).expect("a line");
        let place = line.split(' ').find_map(|word| word.strip_prefix("127.0.0.1:"));
        forwarded.port = place.and_then(|port| port.parse().ok()).expect("a port");
        forwarded
    }

    /// What comes back of a text whose sender has ended its direction.
    fn echo(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        stream.write_all(text.as_bytes()).expect("it is sent");
        stream.shutdown(Shutdown::Write).expect("half a close");
        let mut received = String::new();
        stream.read_to_string(&mut received).expect("an end in order");
        received
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}
