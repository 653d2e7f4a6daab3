//! Upgrades beside WebSocket, as the command lines of Docker and Kubernetes ask for them: `docker exec` and `docker attach` by a POST
//! with `Upgrade: tcp`, `kubectl exec` by a WebSocket with a subprotocol of its own or by SPDY.
//!
//! The other end is scripted. The exchanges were recorded from Docker 28.2 and kubectl 1.32 and are repeated byte for byte; where the
//! command lines are installed, they run too.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use switchover::http1::{HeadLimits, Parsed, parse_request};
use switchover::test_util::{TIMEOUT, switching_protocols};

use crate::programs::{Server, runs};

/// A request that a scripted server has received: its head and its body.
type Received = (String, Vec<u8>);

/// A server of one kind: what it answers to a request, and how it goes on after a 101. True ends the connection.
type Answer = fn(&str, &mut TcpStream) -> bool;

/// Serves on a port of its own, and reports all upgrade requests.
fn serve(answer: Answer) -> (SocketAddr, Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, sender) = (stream.expect("a connection"), sender.clone());
            stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
            std::thread::spawn(move || {
                while let Some((head, body)) = request(&mut stream) {
                    if head.to_ascii_lowercase().contains("\r\nupgrade: ") {
                        let _ = sender.send((head.clone(), body));
                    }
                    if answer(&head, &mut stream) {
                        return;
                    }
                }
            });
        }
    });
    (address, receiver)
}

/// The next request; none at the end.
fn request(stream: &mut TcpStream) -> Option<Received> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn json(stream: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    let _ = stream.write_all((head + body).as_bytes());
}

const CONTAINER: &str = r#"{"Id":"c1","Name":"/c1","State":{"Status":"running","Running":true,"ExitCode":0},
    "Config":{"Tty":false,"OpenStdin":true,"AttachStdin":true}}"#;

/// Docker's daemon, whose containers run `cat`: it answers what it has received when the client has ended its input.
fn docker(head: &str, stream: &mut TcpStream) -> bool {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    match path.rsplit('/').next().unwrap_or_default() {
        "_ping" => {
            let pong = b"HTTP/1.1 200 OK\r\nApi-Version: 1.49\r\nOstype: linux\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(pong);
        }
        "start" | "attach" => {
            let switch = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
                Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
            let _ = stream.write_all(switch.as_bytes());
            let mut input = Vec::new();
            let _ = stream.read_to_end(&mut input);
            // One frame of standard output.
            let length = u8::try_from(input.len()).expect("a short text");
            let frame = [&[1, 0, 0, 0, 0, 0, 0, length], &input[..]].concat();
            let _ = stream.write_all(&frame);
            let _ = stream.shutdown(Shutdown::Write);
            return true;
        }
        "exec" => json(stream, "201 Created", r#"{"Id":"e1"}"#),
        "wait" => json(stream, "200 OK", r#"{"StatusCode":0}"#),
        "json" if path.contains("/exec/") => {
            json(stream, "200 OK", r#"{"ID":"e1","Running":false,"ExitCode":0}"#)
        }
        _ => json(stream, "200 OK", CONTAINER),
    }
    false
}

const RESOURCES: &str = r#"{"kind":"APIResourceList","groupVersion":"v1","resources":[
    {"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get"]},
    {"name":"pods/exec","namespaced":true,"kind":"PodExecOptions","verbs":["create","get"]}]}"#;
const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p1","namespace":"default"},
    "spec":{"containers":[{"name":"c1","image":"i"}]},"status":{"phase":"Running"}}"#;

/// Kubernetes' API server: over a WebSocket the output of a command and its success; over SPDY it reads what opens a stream, and ends.
fn kubernetes(head: &str, stream: &mut TcpStream) -> bool {
    let target = head.split(' ').nth(1).unwrap_or_default();
    match target.split('?').next().unwrap_or_default() {
        "/api" => json(stream, "200 OK", r#"{"kind":"APIVersions","versions":["v1"]}"#),
        "/apis" => json(
            stream,
            "200 OK",
            r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#,
        ),
        "/api/v1" => json(stream, "200 OK", RESOURCES),
        "/api/v1/namespaces/default/pods/p1" => json(stream, "200 OK", POD),
        path if !path.ends_with("/exec") => json(stream, "404 Not Found", "{}"),
        _ if head.contains("\r\nUpgrade: SPDY/3.1\r\n") => {
            let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                X-Stream-Protocol-Version: v5.channel.k8s.io\r\n\r\n";
            let _ = stream.write_all(switch.as_bytes());
            let mut opening = [0; 8];
            let _ = stream.read_exact(&mut opening);
            // It sends back what has arrived, for a client that can tell.
            let _ = stream.write_all(&opening);
            return true;
        }
        _ => {
            let parsed = parse_request(head.as_bytes(), &HeadLimits::default());
            let Ok(Parsed::Complete { parts, .. }) = parsed else {
                panic!("no head: {head}");
            };
            let switch = String::from_utf8(switching_protocols(&parts)).expect("a head");
            let chosen = "\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n";
            let switch = switch.replacen("\r\n\r\n", chosen, 1);
            let success = br#"{"metadata":{},"status":"Success"}"#;
            let mut frames = b"\x82\x03\x01hi\x82".to_vec();
            frames.extend([u8::try_from(success.len() + 1).expect("a short text"), 3]);
            frames.extend(success);
            frames.extend(b"\x88\x02\x03\xe8");
            let _ = stream.write_all(switch.as_bytes());
            let _ = stream.write_all(&frames);
            // Until the client has closed.
            let _ = stream.read_to_end(&mut Vec::new());
            return true;
        }
    }
    false
}

/// The gateway in front of a server. The protocols that may be switched to are the one line that these clients need.
fn gateway(answer: Answer, protocols: &[&str]) -> (Server, Receiver<Received>) {
    let (address, received) = serve(answer);
    let route = format!("/=http://{address}");
    let mut arguments = vec!["--route", &route];
    for protocol in protocols {
        arguments.extend(["--allow-upgrade", protocol]);
    }
    (Server::gateway(&arguments), received)
}

/// The head that the gateway answers to a request.
fn answered(gateway: &Server, request: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(gateway.address).expect("the gateway");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    stream.write_all(request.as_bytes()).expect("a request is sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    (String::from_utf8(head).expect("a text"), stream)
}

/// The head, and what comes behind it when the client has ended its input.
fn exchanged(gateway: &Server, request: &str, input: &[u8]) -> (String, Vec<u8>) {
    let (head, mut stream) = answered(gateway, request);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream.write_all(input).expect("input is sent");
    stream.shutdown(Shutdown::Write).expect("half a close");
    let mut output = Vec::new();
    stream.read_to_end(&mut output).expect("an end in order");
    (head, output)
}

const EXEC: &str = "POST /v1.49/exec/e1/start HTTP/1.1\r\nHost: 127.0.0.1:2375\r\n\
    User-Agent: Docker-Client/28.2.2 (linux)\r\nContent-Length: 29\r\nConnection: Upgrade\r\n\
    Content-Type: application/json\r\nUpgrade: tcp\r\n\r\n{\"Detach\":false,\"Tty\":false}\n";
const ATTACH: &str = "POST /v1.49/containers/c1/attach?stderr=1&stdin=1&stdout=1&stream=1 HTTP/1.1\r\n\
    Host: 127.0.0.1:2375\r\nUser-Agent: Docker-Client/28.2.2 (linux)\r\nContent-Length: 0\r\nConnection: Upgrade\r\n\
    Content-Type: text/plain\r\nUpgrade: tcp\r\n\r\n";
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
fn the_exchanges_of_docker() {
    let (gateway, received) = gateway(docker, &["tcp"]);
    for (request, body) in [(EXEC, &b"{\"Detach\":false,\"Tty\":false}\n"[..]), (ATTACH, b"")] {
        let (head, output) = exchanged(&gateway, request, b"input\n");
        let kind = "\r\nContent-Type: application/vnd.docker.raw-stream\r\n";
        assert!(head.contains(kind), "{head}");
        assert_eq!(output, b"\x01\0\0\0\0\0\0\x06input\n");
        let (head, sent) = received.recv_timeout(TIMEOUT).expect("an upgrade");
        assert!(head.starts_with("POST /v1.49/") && sent == body, "{head}");
    }
    // Where it is not allowed, the request goes up without its upgrade, and the daemon's 101 is none that was asked for.
    let (closed, received) = self::gateway(docker, &[]);
    let (head, _) = answered(&closed, EXEC);
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    assert!(received.try_recv().is_err());
}

#[test]
fn the_exchanges_of_kubectl() {
    let (gateway, received) = gateway(kubernetes, &["websocket", "SPDY/3.1"]);
    let opening = b"\x80\x03\0\x01\0\0\0\x29";
    let (head, output) = exchanged(&gateway, SPDY, opening);
    assert!(
        head.contains("\r\nX-Stream-Protocol-Version: v5.channel.k8s.io\r\n"),
        "{head}"
    );
    assert_eq!(output, opening);
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

/// Whether a command line can be had. One that is missing is no failure anywhere: its exchange is in this file.
fn is_installed(name: &str, arguments: &[&str]) -> bool {
    let found = runs(Command::new(name).args(arguments));
    if !found {
        println!("skipped: {name} is not installed");
    }
    found
}

/// What it printed, given a line of input.
fn given_a_line(command: &mut Command) -> Output {
    let mut child = started(command);
    let mut input = child.stdin.take().expect("an input");
    input.write_all(b"input\n").expect("it takes a line");
    drop(input);
    child.wait_with_output().expect("it ends")
}

fn started(command: &mut Command) -> Child {
    let home = support::scratch("command_lines");
    command
        .env("HOME", &home)
        .env("KUBECONFIG", home.join("none"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

#[test]
fn docker_itself() {
    if !is_installed("docker", &["--version"]) {
        return;
    }
    let (gateway, received) = gateway(docker, &["tcp"]);
    let host = format!("tcp://{}", gateway.address);
    for arguments in [&["exec", "-i", "c1", "cat"][..], &["attach", "c1"]] {
        let output = given_a_line(Command::new("docker").args(["-H", &host]).args(arguments));
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert_eq!(output.stdout, b"input\n", "{arguments:?}: {output:?}");
        received.recv_timeout(TIMEOUT).expect("an upgrade");
    }
}

#[test]
fn kubectl_itself() {
    if !is_installed("kubectl", &["version", "--client"]) {
        return;
    }
    let (gateway, received) = gateway(kubernetes, &["websocket", "SPDY/3.1"]);
    let server = format!("http://{}", gateway.address);
    let exec = ["--server", &server, "exec", "-i", "p1", "--", "cat"];
    let output = given_a_line(Command::new("kubectl").args(exec));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"hi", "{output:?}");
    let (head, _) = received.recv_timeout(TIMEOUT).expect("an upgrade");
    assert!(head.contains("\r\nUpgrade: websocket\r\n"), "{head}");

    // The script speaks no SPDY beyond its first bytes, and the command waits for more.
    let spdy = ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false");
    let mut child = started(Command::new("kubectl").env(spdy.0, spdy.1).args(exec));
    let upgrade = received.recv_timeout(TIMEOUT);
    let _ = child.kill();
    let _ = child.wait();
    let (head, _) = upgrade.expect("an upgrade");
    assert!(
        head.starts_with("POST ") && head.contains("\r\nUpgrade: SPDY/3.1\r\n"),
        "{head}"
    );
}
