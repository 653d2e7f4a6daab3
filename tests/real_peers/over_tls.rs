//! The same peers over TLS on both sides of the program gateway, and curl, with certificates made for each test.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::certificates::Authority;
use crate::programs::{Server, executable, has_curl, has_node, has_python, node, passes, python};

/// Files of one test: who is believed, and a certificate for `localhost` with its key.
pub(crate) struct Files {
    pub(crate) ca: PathBuf,
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    pub(crate) fn new(test: &str) -> Self {
        let authority = Authority::new();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        std::fs::create_dir_all(&directory).expect("a folder for certificates");
        let ca = directory.join("ca.pem");
        std::fs::write(&ca, &authority.pem).expect("the authority is written");
        let (chain, key) = authority.localhost().write(&directory, "server");
        Files { ca, chain, key }
    }

    /// The gateway with these, in front of what the route says.
    pub(crate) fn gateway(&self, more: &[String]) -> Server {
        let flags = [("--tls-cert", &self.chain), ("--tls-key", &self.key)];
        let flags = flags.map(|(flag, file)| format!("{flag}={}", file.display()));
        let flags: Vec<&str> = flags.iter().chain(more).map(String::as_str).collect();
        Server::gateway(&flags)
    }
}

fn through_the_gateway(test: &str, server: &mut Command, client: &mut Command) {
    let files = Files::new(test);
    let server = Server::start(server.env("TLS_CERT", &files.chain).env("TLS_KEY", &files.key));
    let gateway = files.gateway(&[
        format!("--route=/=wss://localhost:{}", server.address.port()),
        format!("--upstream-ca={}", files.ca.display()),
    ]);
    let believing = client
        .env("NODE_EXTRA_CA_CERTS", &files.ca)
        .env("SSL_CERT_FILE", &files.ca);
    passes(believing.arg(format!("wss://{}/", gateway.address)));
}

#[test]
fn node_client_and_python_server() {
    if has_node() && has_python() {
        let (mut server, mut client) = (python("websockets_server.py"), node("ws_client.mjs"));
        through_the_gateway("node-python", &mut server, &mut client);
    }
}

#[test]
fn python_client_and_node_server() {
    if has_node() && has_python() {
        let (mut server, mut client) = (node("ws_server.mjs"), python("websockets_client.py"));
        through_the_gateway("python-node", &mut server, &mut client);
    }
}

/// The example `tls_gateway`: `wss` to plain WebSocket, and to `wss`.
#[test]
fn python_client_and_node_server_and_the_short_gateway() {
    if !has_node() || !has_python() {
        return;
    }
    let files = Files::new("short-gateway");
    let (chain, key) = (files.chain.as_path(), files.key.as_path());
    for server_speaks_tls in [false, true] {
        let mut server = node("ws_server.mjs");
        let mut gateway = Command::new(executable("tls_gateway"));
        if server_speaks_tls {
            server.env("TLS_CERT", chain).env("TLS_KEY", key);
        }
        let server = Server::start(&mut server);
        let upstream = format!("localhost:{}", server.address.port());
        gateway.args(["127.0.0.1:0", &upstream]).args([chain, key]);
        if server_speaks_tls {
            gateway.arg("--upstream-ca").arg(&files.ca);
        }
        let gateway = Server::start(&mut gateway);
        let url = format!("wss://{}/", gateway.address);
        passes(
            python("websockets_client.py")
                .env("SSL_CERT_FILE", &files.ca)
                .arg(url),
        );
    }
}

#[test]
fn curl_reads_the_demo_page() {
    if !has_curl() {
        return;
    }
    let files = Files::new("curl");
    let gateway = files.gateway(&[]);
    for (flag, status) in [
        ("--http1.1", "HTTP/1.1 200 OK\r\n"),
        ("--http2", "HTTP/2 200 \r\n"),
    ] {
        let output = Command::new("curl")
            .args(["--silent", "--include", "--max-time", "20", flag, "--cacert"])
            .arg(&files.ca)
            .arg(format!("https://{}/", gateway.address))
            .output()
            .expect("curl starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.starts_with(status), "{flag}: {text}");
        assert!(text.contains("</html>"), "{flag}: {text}");
    }
}

/// The listener of the example is no better than its slowest client, if it does one handshake after the other.
#[test]
fn a_client_that_says_nothing_holds_up_no_other() {
    if !has_curl() {
        return;
    }
    let files = Files::new("dawdler");
    let mut example = Command::new(executable("http2_websocket"));
    let example = Server::start(
        example
            .args(["127.0.0.1:0", "echo"])
            .args([&files.chain, &files.key]),
    );
    let silent = TcpStream::connect(example.address).expect("a connection");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
        .arg(&files.ca)
        .arg(format!("https://{}/", example.address))
        .output()
        .expect("curl starts");
    let (text, errors) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with(b"<!doctype html>"), "{errors}");
    drop(silent);
}
