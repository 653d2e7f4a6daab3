//! OpenSSL's client of the program gateway: it changes its keys in the middle of a tunnel, and asks the gateway to do the same.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;

use switchover::test_util::{TIMEOUT, UPGRADE_REQUEST};

use crate::over_tls::Files;
use crate::programs::{has, runs};

/// An origin that accepts the upgrade of [`UPGRADE_REQUEST`], and sends back what comes.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || echo(stream));
        }
    });
    address
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    )?;
    let mut bytes = [0; 4096];
    loop {
        match reader.read(&mut bytes)? {
            0 => return Ok(()),
            count => stream.write_all(&bytes[..count])?,
        }
    }
}

struct Client {
    child: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Client {
    fn connect(files: &Files, gateway: SocketAddr, version: &str) -> Client {
        let mut child = Command::new("openssl")
            .args([
                "s_client",
                "-servername",
                "localhost",
                "-verify_return_error",
                version,
            ])
            .arg("-CAfile")
            .arg(&files.ca)
            .arg("-connect")
            .arg(gateway.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl starts");
        let output = child.stdout.take().expect("its output is piped");
        let errors = child.stderr.take().expect("its errors are piped");
        let (sender, lines) = mpsc::channel();
        // What it does by a command is reported among the errors.
        for source in [Box::new(output) as Box<dyn Read + Send>, Box::new(errors)] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(source).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        let input = child.stdin.take().expect("its input is piped");
        Client { child, input, lines }
    }

    fn types(&mut self, line: &str) {
        self.input.write_all(line.as_bytes()).expect("openssl reads");
        self.input.flush().expect("openssl reads");
    }

    fn shows(&self, expected: &str) {
        let mut shown = Vec::new();
        loop {
            let line = self.lines.recv_timeout(TIMEOUT);
            let Ok(line) = line else {
                panic!("no {expected:?} among {shown:#?}");
            };
            if line.contains(expected) {
                return;
            }
            shown.push(line);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_client_that_changes_its_keys() {
    if !has("openssl", runs(Command::new("openssl").arg("version"))) {
        return;
    }
    let files = Files::new("openssl");
    let gateway = files.gateway(&[format!("--route=/=http://{}", origin())]);
    for version in ["-tls1_2", "-tls1_3"] {
        let mut client = Client::connect(&files, gateway.address, version);
        client.shows("Verify return code: 0");
        client.types(UPGRADE_REQUEST);
        client.shows("101 Switching Protocols");
        for turn in 0..20 {
            if version == "-tls1_3" {
                // `K` asks the gateway for new keys as well, `k` only says that there are some.
                client.types(if turn % 2 == 0 { "K\n" } else { "k\n" });
                client.shows("KEYUPDATE");
            }
            let message = format!("message {turn}");
            client.types(&format!("{message}\n"));
            client.shows(&message);
        }
        client.types("Q\n");
    }
}
