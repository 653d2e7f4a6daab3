//! Clients of HTTP/2: which of their requests are answered how, and how long one may hold a connection that says nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::named::kinds;
use crate::program::{Folder, Kind, Program};

/// What a connection begins with: the preface, and settings that change nothing.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A server whose deadlines are short.
const SERVER: &str = "location / { return 200 in; } location /none { return 444; } location /up { proxy_pass http://127.0.0.1:9; }";

fn program(kind: Kind, deadlines: &str) -> Program {
    let text = format!(
        "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
         server {{ listen LISTEN http2; {deadlines} {SERVER} }} }}\n"
    );
    Folder::of(([127, 0, 0, 1], 9).into(), &text).start(kind, "test.conf", &[])
}

fn connected(program: &Program) -> TcpStream {
    let stream = TcpStream::connect(program.address).unwrap();
    // Longer than any deadline here, and shorter than one of nginx's own.
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// One that has asked for nothing does not stay, wherever it has stopped.
#[test]
fn a_client_that_says_nothing_is_ended() {
    for kind in kinds() {
        let program = program(kind, "client_header_timeout 1s; keepalive_timeout 1s;");
        for begun in [0, 3, 24, PREFACE.len()] {
            let mut stream = connected(&program);
            stream.write_all(&PREFACE[..begun]).unwrap();
            let mut given = Vec::new();
            let ended = stream.read_to_end(&mut given);
            assert!(ended.is_ok(), "{kind:?} {begun} bytes: {ended:?}");
        }
    }
}

/// One whose request has been answered does not stay either.
#[tokio::test]
async fn a_client_that_asks_for_nothing_more_is_ended() {
    for kind in kinds() {
        let program = program(kind, "keepalive_timeout 1s;");
        let stream = tokio::net::TcpStream::connect(program.address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::get("http://a/").body(()).unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200, "{kind:?}");
        // The sender is kept: it is not the client that lets go.
        let ended = tokio::time::timeout(Duration::from_secs(20), connection).await;
        assert!(ended.is_ok(), "{kind:?}");
        drop(client);
    }
}

#[tokio::test]
async fn what_is_answered() {
    for kind in kinds() {
        let program = program(kind, "");
        let stream = tokio::net::TcpStream::connect(program.address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        // A browser that was offered them would make its WebSockets by it.
        assert!(!client.is_extended_connect_protocol_enabled(), "{kind:?}");
        for (method, path, expected) in [
            ("GET", "/", Some(200)),
            ("TRACE", "/", Some(405)),
            ("GET", "/up", Some(502)),
            ("GET", "/", Some(200)),
        ] {
            let request = http::Request::builder()
                .method(method)
                .uri(format!("http://a{path}"));
            let (response, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
            let status = response.await.ok().map(|response| response.status().as_u16());
            assert_eq!(status, expected, "{kind:?} {method} {path}");
            client = client.ready().await.unwrap();
        }
        let request = http::Request::get("http://a/none").body(()).unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        assert!(response.await.is_err(), "{kind:?}");
    }
}

/// The same limits as over HTTP/1.1.
#[tokio::test]
async fn heads_within_the_limits_of_the_configuration_are_answered() {
    for kind in kinds() {
        let program = program(kind, "large_client_header_buffers 8 64k;");
        let stream = tokio::net::TcpStream::connect(program.address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        for (fields, length) in [(200, 1), (3, 30_000)] {
            let request = (0..fields).fold(http::Request::get("http://a/"), |request, index| {
                request.header(format!("x-{index}"), "x".repeat(length))
            });
            let mut client = client.clone().ready().await.unwrap();
            let (response, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
            let status = response.await.unwrap().status();
            assert_eq!(status, 200, "{kind:?}: {fields} of {length}");
        }
    }
}
