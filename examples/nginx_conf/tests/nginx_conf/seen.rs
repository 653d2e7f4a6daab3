//! What a client and an origin see of a proxy between them, in words that can be compared.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::{HeaderMap, response};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, switching_protocols};

use crate::program::{Folder, Kind};

/// The date of the origin's answers.
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// What was seen, each by its name.
pub(crate) type Seen = BTreeMap<String, String>;

/// A configuration that is kept here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) file: &'static str,
    /// A path that leads to the upstream.
    pub(crate) path: &'static str,
}

/// What a client does, and an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// An ordinary request with all kinds of fields, and its response.
    Ordinary,
    /// A form is sent, its length given.
    Posted,
    /// A handshake, bytes both ways, and the client's end.
    Upgrade,
    /// A handshake that the origin answers with 403.
    Declined,
    /// A handshake whose 101 has a head of 20 KiB.
    LargeHead,
    /// An ordinary response with a head of 20 KiB.
    LargeOrdinaryHead,
    /// `Upgrade: h2c`.
    OtherProtocol,
    /// A handshake of version 12.
    WrongVersion,
    /// A 101 with the wrong `Sec-WebSocket-Accept`.
    WrongAccept,
    /// A client that ends its write side, while the origin has something left to say.
    HalfClose,
    /// A tunnel that goes on beyond `proxy_read_timeout` by small messages, and is silent then.
    Idle,
    /// An origin that does not answer a handshake within `proxy_read_timeout`.
    Silent,
    /// Nobody listens where the origin should.
    Refused,
}

impl Scenario {
    pub(crate) const ALL: [Scenario; 13] = [
        Scenario::Ordinary,
        Scenario::Posted,
        Scenario::Upgrade,
        Scenario::Declined,
        Scenario::LargeHead,
        Scenario::LargeOrdinaryHead,
        Scenario::OtherProtocol,
        Scenario::WrongVersion,
        Scenario::WrongAccept,
        Scenario::HalfClose,
        Scenario::Idle,
        Scenario::Silent,
        Scenario::Refused,
    ];

    /// A line of a configuration as it is for this scene: `proxy_read_timeout` is two seconds where that matters.
    fn change(self, kept: Kept, line: &str) -> String {
        if !matches!(self, Scenario::Idle | Scenario::Silent) {
            return line.to_owned();
        }
        let has_none = ["fixed.conf", "map.conf"].contains(&kept.file);
        match (line.contains("proxy_read_timeout"), line.contains("proxy_pass")) {
            (true, _) => "proxy_read_timeout 2s;".to_owned(),
            (false, true) if has_none => format!("{line} proxy_read_timeout 2s;"),
            _ => line.to_owned(),
        }
    }

    fn script(self) -> Script {
        let page = format!(
            "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: {DATE}\r\nContent-Type: text/html\r\nSet-Cookie: a=1\r\n\
             Set-Cookie: b=2\r\nX-Origin: yes\r\nContent-Length: 4\r\n\r\npage"
        );
        let many = (0..200).fold(String::new(), |all, number| {
            all + &format!("X-Many-{number}: {}\r\n", "x".repeat(90))
        });
        let large = page.replacen("\r\n", &format!("\r\n{many}"), 1);
        let refusal = "HTTP/1.1 403 Forbidden\r\nX-Reason: tired\r\nContent-Length: 5\r\n\r\nnever";
        let script = Script::new().read_head();
        match self {
            Scenario::Ordinary | Scenario::OtherProtocol => script.send(page),
            Scenario::Posted => script.read(b"a=1&b=2".len()).send(page),
            Scenario::LargeOrdinaryHead => script.send(large),
            Scenario::Upgrade | Scenario::Idle => script.switch().echo(),
            Scenario::Declined => script.send(refusal),
            Scenario::LargeHead => script
                .answer(move |head| {
                    let switch = String::from_utf8_lossy(&switching_protocols(head)).into_owned();
                    switch.replacen("\r\n", &format!("\r\n{many}"), 1).into_bytes()
                })
                .echo(),
            Scenario::WrongVersion => script.send(
                "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\n\
                Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
            ),
            Scenario::WrongAccept => script.send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                Connection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
            ),
            Scenario::HalfClose => script.switch().echo().send("the last word").close(),
            Scenario::Silent | Scenario::Refused => script,
        }
    }

    fn request(self, path: &str) -> String {
        let fields = "Host: Site.Example:8080\r\nUser-Agent: test\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\
             Origin: https://page.example\r\nCookie: a=1; b=2\r\nX-Under_Score: 1\r\nX-Other: kept\r\n";
        let handshake = |version, token| {
            format!(
                "GET {path}?q=%20 HTTP/1.1\r\n{fields}Connection: keep-alive, Upgrade\r\nUpgrade: {token}\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: {version}\r\n\
                 Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
            )
        };
        match self {
            Scenario::Ordinary | Scenario::LargeOrdinaryHead => {
                format!("GET {path}?q=%20 HTTP/1.1\r\n{fields}Connection: keep-alive\r\n\r\n")
            }
            Scenario::Posted => format!(
                "POST {path} HTTP/1.1\r\n{fields}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\n\
                 a=1&b=2"
            ),
            Scenario::OtherProtocol => format!(
                "GET {path} HTTP/1.1\r\n{fields}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                 HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
            ),
            Scenario::WrongVersion => handshake("12", "websocket"),
            _ => handshake("13", "websocket"),
        }
    }

    /// Starts a program with a configuration and an origin behind it, and plays the scene.
    pub(crate) async fn play(self, kind: Kind, kept: Kept, flags: &[&str]) -> Seen {
        let origin = ScriptedOrigin::start(self.script()).await;
        let upstream = match self {
            Scenario::Refused => nobody(),
            _ => origin.address(),
        };
        let folder = Folder::kept(upstream, |line| self.change(kept, line));
        let program = folder.start(kind, kept.file, flags);
        let mut client = ScriptedClient::connect(program.address).await;
        client.send(self.request(kept.path)).await;
        let mut seen = Seen::new();
        match self {
            Scenario::Upgrade => echoes(&mut client, &mut seen, true).await,
            Scenario::LargeHead => echoes(&mut client, &mut seen, false).await,
            Scenario::HalfClose => half_close(&mut client, &mut seen).await,
            Scenario::Idle => idle(&mut client, &mut seen).await,
            Scenario::WrongAccept => {
                let head = client.head().await;
                client_head(&head, &mut seen);
            }
            _ => response(&mut client, &mut seen).await,
        }
        drop(client);
        sent_upstream(&origin, &mut seen).await;
        seen
    }
}

/// An address at which nobody listens, and nobody will.
fn nobody() -> SocketAddr {
    crate::program::own_address()
}

fn fields(side: &str, headers: &HeaderMap, seen: &mut Seen) {
    for name in headers.keys() {
        let lines = headers.get_all(name).iter();
        let values: Vec<&str> = lines.map(|line| line.to_str().unwrap()).collect();
        let shown = values.join(" | ");
        match name.as_str() {
            // What only fills the head is there, or not.
            name if name.starts_with("x-many-") => {
                seen.insert(format!("{side} many fields"), "there".to_owned())
            }
            "date" if shown != DATE => seen.insert(format!("{side} date"), "now".to_owned()),
            name => seen.insert(format!("{side} {name}"), shown),
        };
    }
}

fn client_head(head: &response::Parts, seen: &mut Seen) {
    seen.insert("client status".to_owned(), head.status.as_str().to_owned());
    fields("client", &head.headers, seen);
}

async fn response(client: &mut ScriptedClient, seen: &mut Seen) {
    let (head, body) = client.response().await;
    client_head(&head, seen);
    let mut body = String::from_utf8(body).unwrap();
    if head.status.is_server_error() || head.status.is_client_error() && !body.is_empty() && body != "never" {
        // The pages of the proxies differ; what the text says is looked at elsewhere.
        body = "a text of the proxy's".to_owned();
    }
    seen.insert("client body".to_owned(), body);
}

async fn echoes(client: &mut ScriptedClient, seen: &mut Seen, ends: bool) {
    let head = client.head().await;
    client_head(&head, seen);
    if head.status != 101 {
        return;
    }
    for message in ["hello", "x"] {
        client.send(message).await;
        client.receives(message.as_bytes()).await;
    }
    seen.insert("tunnel".to_owned(), "echoes".to_owned());
    if ends {
        client.end_writes().await;
        client.ends().await;
    }
}

async fn half_close(client: &mut ScriptedClient, seen: &mut Seen) {
    assert_eq!(client.head().await.status, 101);
    client.send("hello").await;
    client.receives(b"hello").await;
    client.end_writes().await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    seen.insert("tunnel after the client's end".to_owned(), rest);
}

/// Eight messages in 2.8 seconds, where two seconds of silence are the limit.
async fn idle(client: &mut ScriptedClient, seen: &mut Seen) {
    assert_eq!(client.head().await.status, 101);
    for _ in 0..8 {
        client.send("ping").await;
        client.receives(b"ping").await;
        tokio::time::sleep(Duration::from_millis(350)).await;
    }
    let since = Instant::now();
    client.ends().await;
    let end = match since.elapsed() {
        silent if silent > Duration::from_secs(1) => "after the silence".to_owned(),
        silent => format!("after {silent:?}"),
    };
    seen.insert("tunnel ends".to_owned(), end);
}

async fn sent_upstream(origin: &ScriptedOrigin, seen: &mut Seen) {
    if origin.connections() == 0 {
        seen.insert("upstream".to_owned(), "not asked".to_owned());
        return;
    }
    seen.insert("upstream".to_owned(), "asked".to_owned());
    let connection = origin.connection(0).await;
    let head = connection.head().await;
    let mut lines = head.lines();
    seen.insert(
        "upstream line".to_owned(),
        lines.next().unwrap_or_default().to_owned(),
    );
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: http::HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    fields("upstream", &headers, seen);
}
