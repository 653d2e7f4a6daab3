//! Docker's command line: `docker exec` and `docker attach` ask for an upgrade by a POST with `Upgrade: tcp`.
//!
//! The other end is scripted. The exchanges were recorded from Docker 28.2 and are repeated byte for byte; where the command line is
//! installed, it runs too.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use switchover::test_util::TIMEOUT;

use crate::programs::{Server, runs};

/// A request that a scripted server has received: its head and its body.
pub(crate) type Received = (String, Vec<u8>);

/// A server of one kind: what it answers to a request, and how it goes on after a 101. True ends the connection.
pub(crate) type Answer = fn(&str, &mut TcpStream) -> bool;

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

pub(crate) fn json(stream: &mut TcpStream, status: &str, body: &str) {
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

/// The gateway in front of a server. The protocols that may be switched to are the one line that these clients need.
pub(crate) fn gateway(answer: Answer, protocols: &[&str]) -> (Server, Receiver<Received>) {
    let (address, received) = serve(answer);
    let route = format!("/=http://{address}");
    let mut arguments = vec!["--route", &route];
    for protocol in protocols {
        arguments.extend(["--allow-upgrade", protocol]);
    }
    (Server::gateway(&arguments), received)
}

/// The head that the gateway answers to a request.
pub(crate) fn answered(gateway: &Server, request: &str) -> (String, TcpStream) {
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
pub(crate) fn exchanged(gateway: &Server, request: &str, input: &[u8]) -> (String, Vec<u8>) {
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

/// Whether a command line can be had. One that is missing is no failure anywhere: its exchange is beside its test.
pub(crate) fn is_installed(name: &str, arguments: &[&str]) -> bool {
    let found = runs(command_line(name).args(arguments));
    if !found {
        println!("skipped: {name} is not installed");
    }
    found
}

/// A command line, which is ended where it takes too long.
pub(crate) fn command_line(name: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60", name]);
    command
}

/// Where command lines find no configuration of somebody's.
pub(crate) fn home() -> PathBuf {
    support::scratch("command_lines")
}

/// What it printed, given a line of input.
pub(crate) fn given_a_line(command: &mut Command) -> Output {
    let mut child = command
        .env("HOME", home())
        .env("KUBECONFIG", home().join("none"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("an input");
    input.write_all(b"input\n").expect("it takes a line");
    drop(input);
    support::bounded::output_of(child, "the command line")
}

#[test]
fn docker_itself() {
    if !is_installed("docker", &["--version"]) {
        return;
    }
    let (gateway, received) = gateway(docker, &["tcp"]);
    let host = format!("tcp://{}", gateway.address);
    for arguments in [&["exec", "-i", "c1", "cat"][..], &["attach", "c1"]] {
        let output = given_a_line(command_line("docker").args(["-H", &host]).args(arguments));
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert_eq!(output.stdout, b"input\n", "{arguments:?}: {output:?}");
        received.recv_timeout(TIMEOUT).expect("an upgrade");
    }
}
