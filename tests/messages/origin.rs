//! An origin that reads each request to the end of its body, by the framing that it announces, and keeps it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::request;
use switchover::http1::{BodyLength, BodyScanner, HeadLimits, Parsed, parse_request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) head: request::Parts,
    pub(crate) body: Vec<u8>,
}

impl Arrived {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The content of the body, and its trailer section as it came.
    pub(crate) fn content(&self) -> (String, String) {
        let body = std::str::from_utf8(&self.body).unwrap();
        match self.field("transfer-encoding") {
            Some(_) => unchunked(body),
            None => (body.to_owned(), String::new()),
        }
    }
}

/// The content of a chunked body, and its trailer section.
pub(crate) fn unchunked(mut body: &str) -> (String, String) {
    let mut content = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").expect("a chunk size");
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        if size == 0 {
            return (
                content,
                rest.strip_suffix("\r\n").expect("an empty line").to_owned(),
            );
        }
        content.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
}

pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    _serving: JoinSet<()>,
}

impl Origin {
    /// Answers every request with these bytes.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arrived = Arc::<Mutex<Vec<_>>>::default();
        let record = arrived.clone();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, answer, record.clone()));
            }
        });
        Origin {
            address,
            arrived,
            _serving: serving,
        }
    }

    /// The requests that have arrived whole since this was called last.
    pub(crate) fn take(&self) -> Vec<Arrived> {
        std::mem::take(&mut self.arrived.lock().unwrap())
    }
}

async fn serve(mut stream: TcpStream, answer: &str, record: Arc<Mutex<Vec<Arrived>>>) {
    let mut buffer = Vec::new();
    loop {
        let (head, consumed) = loop {
            match parse_request(&buffer, &HeadLimits::default()).unwrap() {
                Parsed::Complete { parts, consumed } => break (parts, consumed),
                Parsed::Partial if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 => return,
                Parsed::Partial => {}
            }
        };
        buffer.drain(..consumed);
        let mut scanner = BodyScanner::new(BodyLength::of_request(&head).unwrap());
        let mut body = Vec::new();
        loop {
            let taken = scanner.advance(&buffer).unwrap();
            body.extend(buffer.drain(..taken));
            if scanner.is_complete() {
                break;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        record.lock().unwrap().push(Arrived { head, body });
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        if answer.starts_with("HTTP/1.0") || answer.contains("Connection: close") {
            return;
        }
    }
}
