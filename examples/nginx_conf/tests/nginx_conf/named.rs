//! Servers of a group, each of which says who it is, and fails on request.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Request;
use switchover::test_util::{ScriptedClient, UPGRADE_REQUEST, switching_protocols};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::program::{Folder, Kind, Program, has_nginx};

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// 200, or 101 and an echo, with its name in a field.
    Answers,
    /// It closes without a byte.
    Closes,
    Says(&'static str),
    /// The head of an answer and half of its body; the rest on request.
    Begins,
    /// Nothing, for as long as the connection lasts.
    Waits,
}

/// A server on an address of its own.
pub(crate) struct Named {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    name: &'static str,
    does: Mutex<Does>,
    asked: AtomicUsize,
    /// Connections that are open.
    open: AtomicUsize,
    finish: Notify,
}

impl Named {
    pub(crate) async fn start(name: &'static str) -> Named {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State::new(name);
        let served = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served.clone().serve(stream));
            }
        });
        Named { address, state }
    }

    /// One that speaks TLS.
    pub(crate) async fn over_tls(name: &'static str, acceptor: TlsAcceptor) -> Named {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State::new(name);
        let served = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, served) = (acceptor.clone(), served.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        served.serve(stream).await;
                    }
                });
            }
        });
        Named { address, state }
    }

    pub(crate) async fn three() -> [Named; 3] {
        [
            Named::start("a").await,
            Named::start("b").await,
            Named::start("c").await,
        ]
    }

    pub(crate) fn now(&self, does: Does) {
        *self.state.does.lock().unwrap() = does;
    }

    pub(crate) fn finishes(&self) {
        self.state.finish.notify_one();
    }

    /// How many requests it was asked since the last look.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.swap(0, Ordering::Relaxed)
    }

    /// Waits until it was asked something.
    pub(crate) async fn is_asked(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.state.asked.load(Ordering::Acquire) == 0 {
            assert!(Instant::now() < deadline, "it is not asked");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// A client whose request waits here for its answer, while others get theirs. The server has to have the next turn.
    pub(crate) async fn holds_a_request(&self, program: &Program) -> ScriptedClient {
        self.now(Does::Waits);
        self.asked();
        let mut client = ScriptedClient::connect(program.address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        self.is_asked().await;
        self.now(Does::Answers);
        client
    }

    /// Waits until so many connections are open.
    pub(crate) async fn has_open(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.state.open.load(Ordering::Acquire) != count {
            assert!(Instant::now() < deadline, "not {count} are open");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// One that listens at a path.
pub(crate) fn on_unix_socket(name: &'static str, path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    let state = State::new(name);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(state.clone().serve(stream));
        }
    });
}

impl State {
    fn new(name: &'static str) -> Arc<State> {
        Arc::new(State {
            name,
            does: Mutex::new(Does::Answers),
            asked: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            finish: Notify::new(),
        })
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self: Arc<Self>, stream: S) {
        self.open.fetch_add(1, Ordering::AcqRel);
        let _ = self.converse(stream).await;
        self.open.fetch_sub(1, Ordering::AcqRel);
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S) -> io::Result<()> {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let does = *self.does.lock().unwrap();
            self.asked.fetch_add(1, Ordering::AcqRel);
            match does {
                Does::Closes => return Ok(()),
                Does::Begins => {
                    let begun = format!(
                        "HTTP/1.1 200 OK\r\nX-Name: {}\r\nContent-Length: 2\r\n\r\nx",
                        self.name
                    );
                    stream.write_all(begun.as_bytes()).await?;
                    self.finish.notified().await;
                    stream.write_all(b"y").await?;
                }
                Does::Waits => std::future::pending().await,
                Does::Says(text) => {
                    stream.write_all(text.as_bytes()).await?;
                    return stream.shutdown().await;
                }
                Does::Answers if head.to_lowercase().contains("\r\nupgrade: websocket") => {
                    let switch = String::from_utf8_lossy(&switch(&head)).into_owned();
                    let switch = switch.replacen("\r\n", &format!("\r\nX-Name: {}\r\n", self.name), 1);
                    stream.write_all(switch.as_bytes()).await?;
                    let (mut from, mut to) = tokio::io::split(stream);
                    return tokio::io::copy(&mut from, &mut to).await.map(drop);
                }
                Does::Answers => {
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nX-Name: {}\r\nContent-Length: 0\r\n\r\n",
                        self.name
                    );
                    stream.write_all(answer.as_bytes()).await?;
                }
            }
        }
    }
}

fn switch(head: &str) -> Vec<u8> {
    let mut request = Request::get("/");
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    switching_protocols(&request.body(()).unwrap().into_parts().0)
}

/// One after the other, where it is there.
pub(crate) fn kinds() -> impl Iterator<Item = Kind> {
    [Kind::Ours, Kind::Nginx]
        .into_iter()
        .filter(|kind| *kind == Kind::Ours || has_nginx())
}

/// A location that carries upgrades to the group `servers`.
pub(crate) const TO_SERVERS: &str =
    "proxy_pass http://servers; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;";

/// What starts with these servers, each with what follows it, these lines among them, and these locations.
pub(crate) fn grouped(
    kind: Kind,
    servers: &[(&Named, &str)],
    lines: &str,
    locations: &str,
    flags: &[&str],
) -> Program {
    let servers = servers.iter().fold(String::new(), |all, (server, parameters)| {
        all + &format!("server {} {parameters};\n", server.address)
    });
    configured(
        kind,
        &format!("upstream servers {{ {lines}\n{servers} }}"),
        locations,
        flags,
    )
}

pub(crate) fn configured(kind: Kind, upstreams: &str, locations: &str, flags: &[&str]) -> Program {
    folder(upstreams, locations).start(kind, "test.conf", flags)
}

pub(crate) fn folder(upstreams: &str, locations: &str) -> Folder {
    let text = format!(
        "pid FOLDER/nginx.pid; error_log FOLDER/error.log;\nevents {{}}
         http {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
         map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
         {upstreams}\nserver {{ listen LISTEN; {locations} }} }}\n"
    );
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    Folder::of(nowhere, &text)
}

/// Both ways in which a server can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Get,
    Upgrade,
}

pub(crate) const WAYS: [Way; 2] = [Way::Get, Way::Upgrade];

impl Way {
    /// The status, and the name of the server where it was not refused; and the connection, for who wants to keep it.
    pub(crate) async fn asks(
        self,
        program: &Program,
        target: &str,
        fields: &str,
    ) -> (u16, String, ScriptedClient) {
        self.asks_by(ScriptedClient::connect(program.address).await, target, fields)
            .await
    }

    /// From another address of this machine.
    pub(crate) async fn asks_from(self, program: &Program, from: &str, target: &str) -> (u16, String) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(program.address).await.unwrap();
        let (status, name, _) = self.asks_by(stream.into(), target, "").await;
        (status, name)
    }

    async fn asks_by(
        self,
        client: ScriptedClient,
        target: &str,
        fields: &str,
    ) -> (u16, String, ScriptedClient) {
        let mut client = client.timeout(Duration::from_secs(20));
        let head = match self {
            Way::Get => {
                let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
                client.send(request).await;
                client.response().await.0
            }
            Way::Upgrade => {
                let request = UPGRADE_REQUEST
                    .replacen("GET /chat", &format!("GET {target}"), 1)
                    .replacen("\r\n", &format!("\r\n{fields}"), 1);
                client.send(request).await;
                client.head().await
            }
        };
        let name = head.headers.get("x-name");
        let name = name.map_or("", |name| name.to_str().unwrap()).to_owned();
        (head.status.as_u16(), name, client)
    }

    /// The name of the server that a request gets, or the status where that is neither 200 nor 101.
    pub(crate) async fn served_by(self, program: &Program, target: &str) -> String {
        let (status, name, _) = self.asks(program, target, "").await;
        match status {
            200 | 101 => name,
            other => other.to_string(),
        }
    }
}
