//! What an upstream says on a kept connection without having been asked.
#![cfg(unix)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use http::Request;
use http_body_util::BodyExt;
use support::certificates::{Authority, VERSIONS};
use switchover::TcpConnect;
use switchover::connect::{AnyConnect, Connect, UnixConnect};
use switchover::header::Hop;
use switchover::service::{Destination, Relay, RelayConfig};
use switchover::test_util::TIMEOUT;
use switchover::tls::{TlsClientConfig, TlsConnect};
use switchover::upstream::{Group, Server};
use tokio_rustls::rustls::{ServerConnection, StreamOwned};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// An origin on threads of its own, which the runtime of a test does not hold up.
struct Origin {
    connections: Arc<AtomicUsize>,
    say: Sender<&'static [u8]>,
    said: Receiver<()>,
}

impl Origin {
    /// Each request is answered. What the test has it say is said on the first connection, or is its end where that is nothing.
    fn on<S: Read + Write + Send + 'static>(mut accept: impl FnMut() -> S + Send + 'static) -> Self {
        let (say, wanted) = mpsc::channel();
        let (saying, said) = mpsc::channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        thread::spawn(move || {
            let mut first = accept();
            counted.fetch_add(1, Ordering::SeqCst);
            answer(&mut first);
            let Ok(bytes): Result<&[u8], _> = wanted.recv() else {
                return;
            };
            match bytes.is_empty() {
                true => drop(first),
                false => first.write_all(bytes).unwrap(),
            }
            saying.send(()).unwrap();
            loop {
                let mut next = accept();
                counted.fetch_add(1, Ordering::SeqCst);
                answer(&mut next);
            }
        });
        Origin {
            connections,
            say,
            said,
        }
    }
}

/// What is written is sent at once, whatever has not been acknowledged.
fn accepted(listener: &TcpListener) -> TcpStream {
    let stream = listener.accept().unwrap().0;
    stream.set_nodelay(true).unwrap();
    stream
}

fn answer(stream: &mut (impl Read + Write)) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap() == 0 {
            return;
        }
        head.push(byte[0]);
    }
    stream.write_all(OK).unwrap();
}

async fn body<C: Connect + 'static>(relay: &Relay<C>, method: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri("/").header("host", "a");
    let request = request.body(String::new()).unwrap();
    let response = relay
        .respond(request, Destination::default(), Hop::unknown())
        .await;
    let (status, body) = (response.status().as_u16(), response.into_body().collect().await);
    (
        status,
        String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap(),
    )
}

/// The test holds the runtime up, as other tasks may: it is not notified of what arrives meanwhile.
async fn stays_unread<C: Connect + 'static>(connect: C, origin: &Origin, says: &'static [u8], method: &str) {
    let relay = Relay::through(connect, RelayConfig::default());
    assert_eq!(body(&relay, "GET").await, (200, "hi".to_owned()));
    origin.say.send(says).unwrap();
    origin.said.recv_timeout(TIMEOUT).unwrap();
    let what = String::from_utf8_lossy(says);
    assert_eq!(body(&relay, method).await, (200, "hi".to_owned()), "{what:?}");
    assert_eq!(origin.connections.load(Ordering::SeqCst), 2, "{what:?}");
}

/// How a connector may be wrapped.
const WAYS: [&str; 4] = ["plain", "boxed", "group", "group of boxed"];

async fn on_way<C: Connect + Clone + 'static>(
    way: &str,
    connect: C,
    origin: &Origin,
    says: &'static [u8],
    method: &str,
) {
    let boxed = || AnyConnect::new(connect.clone());
    match way {
        "plain" => stays_unread(connect, origin, says, method).await,
        "boxed" => stays_unread(boxed(), origin, says, method).await,
        "group" => stays_unread(Group::of([Server::new("a", connect)]), origin, says, method).await,
        _ => stays_unread(Group::of([Server::new("a", boxed())]), origin, says, method).await,
    }
}

/// An answer without a request, less than one, and the end, behind which a POST would be lost.
const SAYS: [(&[u8], &str); 3] = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL", "GET"),
    (b"H", "GET"),
    (b"", "POST"),
];

#[tokio::test]
async fn it_is_no_answer_to_the_next_request_whatever_the_runtime_knows() {
    for (says, method) in SAYS {
        for way in WAYS {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let connect = TcpConnect::to(listener.local_addr().unwrap().to_string());
            let origin = Origin::on(move || accepted(&listener));
            on_way(way, connect, &origin, says, method).await;
        }
    }
}

#[tokio::test]
async fn nor_is_it_on_a_unix_socket() {
    for (at, (says, method)) in SAYS.into_iter().enumerate() {
        let path = std::env::temp_dir().join(format!("switchover-unasked-{}-{at}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let connect = UnixConnect::to(&path);
        let origin = Origin::on(move || listener.accept().unwrap().0);
        stays_unread(connect, &origin, says, method).await;
        let _ = std::fs::remove_file(&path);
    }
}

/// What arrives below TLS is not known to be payload, and the connection is not used.
#[tokio::test]
async fn nor_is_it_over_tls() {
    let authority = Authority::new();
    let config = Arc::new(authority.localhost().server(&VERSIONS, None, &["http/1.1"]));
    let believing = TlsClientConfig::builder().only_roots(authority.pem.as_str());
    let believing = believing.build().unwrap();
    for (says, method) in SAYS {
        for way in WAYS {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let name = format!("localhost:{}", listener.local_addr().unwrap().port());
            let connect = TlsConnect::to(name, believing.clone()).unwrap();
            let config = config.clone();
            let origin = Origin::on(move || {
                let session = ServerConnection::new(config.clone()).unwrap();
                StreamOwned::new(session, accepted(&listener))
            });
            on_way(way, connect, &origin, says, method).await;
        }
    }
}
