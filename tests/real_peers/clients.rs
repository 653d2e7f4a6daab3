//! Node's `ws` and Python's `websockets` as client and as server of the program gateway, and curl.

use std::process::Command;

use crate::programs::{Server, has_curl, has_node, has_python, node, passes, python};

fn through_the_gateway(server: &mut Command, mut client: Command) {
    let server = Server::start(server);
    let gateway = Server::gateway_to(server.address);
    passes(client.arg(format!("ws://{}/", gateway.address)));
}

#[test]
fn node_client_and_node_server() {
    if has_node() {
        through_the_gateway(&mut node("ws_server.mjs"), node("ws_client.mjs"));
    }
}

#[test]
fn python_client_and_node_server() {
    if has_node() && has_python() {
        through_the_gateway(&mut node("ws_server.mjs"), python("websockets_client.py"));
    }
}

#[test]
fn node_client_and_python_server() {
    if has_node() && has_python() {
        through_the_gateway(&mut python("websockets_server.py"), node("ws_client.mjs"));
    }
}

#[test]
fn python_client_and_python_server() {
    if has_python() {
        through_the_gateway(
            &mut python("websockets_server.py"),
            python("websockets_client.py"),
        );
    }
}

#[test]
fn both_clients_and_the_demo() {
    if has_node() && has_python() {
        let gateway = Server::gateway(&[]);
        let url = format!("ws://{}/echo", gateway.address);
        passes(node("ws_client.mjs").args([&url, "--without-deflate"]));
        passes(python("websockets_client.py").args([&url, "--without-deflate"]));
    }
}

#[test]
fn curl_shows_the_101() {
    if !has_curl() {
        return;
    }
    let gateway = Server::gateway(&[]);
    let output = Command::new("curl")
        .args(["--silent", "--include", "--max-time", "2", "--http1.1"])
        .args([
            "--header",
            "Connection: Upgrade",
            "--header",
            "Upgrade: websocket",
        ])
        .args([
            "--header",
            "Sec-WebSocket-Version: 13",
            "--header",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ])
        .arg(format!("http://{}/echo", gateway.address))
        .output()
        .expect("curl starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{text}");
    assert!(
        text.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
        "{text}"
    );
}
