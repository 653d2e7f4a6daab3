//! The app under `axum::serve`, between scripted clients and origins.

use std::net::SocketAddr;
use std::time::Duration;

use axum_app::App;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::tunnel::Tunnels;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

struct Running {
    address: SocketAddr,
    lines: mpsc::UnboundedReceiver<String>,
    end: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    async fn start(chat: &ScriptedOrigin, old: &ScriptedOrigin) -> Self {
        let (log, lines) = mpsc::unbounded_channel();
        let app = App {
            chat: chat.address().to_string(),
            old: old.address().to_string(),
            session: "0123".to_owned(),
            spread: Duration::from_millis(100),
            log,
            tunnels: Tunnels::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(async move {
            let end = async { ended.await.unwrap_or_default() };
            app.serve(listener, end).await
        });
        Running {
            address,
            lines,
            end,
            task,
        }
    }

    async fn client_sending(&self, bytes: impl AsRef<[u8]>) -> ScriptedClient {
        let mut client = ScriptedClient::connect(self.address).await;
        client.send(bytes).await;
        client
    }

    /// The status and the body of the answer.
    async fn answer(&self, request: impl AsRef<[u8]>) -> (u16, String) {
        let (head, body) = self.client_sending(request).await.response().await;
        (head.status.as_u16(), String::from_utf8(body).unwrap())
    }

    async fn line(&mut self) -> String {
        timeout(TIMEOUT, self.lines.recv())
            .await
            .expect("a line in time")
            .expect("an app")
    }
}

/// An upgrade to a path, with lines more.
fn upgrade(path: &str, lines: &str) -> String {
    let request = UPGRADE_REQUEST.replacen("/chat", path, 1);
    request.replacen("\r\n\r\n", &format!("\r\n{lines}\r\n"), 1)
}

const SESSION: &str = "Cookie: theme=dark; session=0123\r\n";

async fn echo() -> ScriptedOrigin {
    ScriptedOrigin::start(Script::websocket_echo()).await
}

#[tokio::test]
async fn a_visitor_who_has_logged_in_chats() {
    let (chat, old) = (echo().await, echo().await);
    let mut app = Running::start(&chat, &old).await;
    let mut client = app.client_sending(upgrade("/live/room/7?x=1", SESSION)).await;
    assert_eq!(client.head().await.status, 101);
    client.send("hello").await;
    client.receives(b"hello").await;
    client.end_writes().await;
    client.ends().await;
    assert!(
        app.line()
            .await
            .starts_with("websocket: 5 B from downstream, 5 B from upstream")
    );

    let head = chat.connection(0).await.head().await;
    assert!(head.starts_with("GET /live/room/7?x=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{head}");
}

#[tokio::test]
async fn one_who_has_not_is_not_heard_of_upstream() {
    let (chat, old) = (echo().await, echo().await);
    let app = Running::start(&chat, &old).await;
    for lines in ["", "Cookie: session=012\r\n", "Cookie: xsession=0123\r\n"] {
        let answer = app.answer(upgrade("/live/room", lines)).await;
        assert_eq!(answer, (401, "log in first\n".to_owned()), "{lines:?}");
    }
    assert_eq!(chat.connections(), 0);
}

#[tokio::test]
async fn refusals_and_failures_are_logged_with_their_reason() {
    let chat = ScriptedOrigin::start(Script::new().read_head().close()).await;
    let mut app = Running::start(&chat, &chat).await;
    let version = upgrade("/live/room", SESSION).replace("Version: 13", "Version: 8");
    let page = format!("GET /live/room HTTP/1.1\r\nHost: a\r\n{SESSION}\r\n");
    for (request, status, reason) in [
        (version, 426, "the WebSocket version is not 13"),
        (page, 426, "served only over an upgraded connection"),
        (
            upgrade("/live/room", SESSION),
            502,
            "upstream failed, response head",
        ),
    ] {
        assert_eq!(app.answer(request).await.0, status, "{reason}");
        let line = app.line().await;
        assert!(line.contains(reason), "{line}");
    }
}

#[tokio::test]
async fn an_answer_of_the_chat_server_is_passed_on_whole() {
    let text = "the room is full\n".repeat(1_000);
    let declined = format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let chat = ScriptedOrigin::start(Script::answering(declined)).await;
    let app = Running::start(&chat, &chat).await;
    let (status, body) = app.answer(upgrade("/live/room", SESSION)).await;
    assert!((status, &body) == (403, &text), "{status}: {} bytes", body.len());
}

#[tokio::test]
async fn the_old_application_is_below_its_path_upgrades_and_all() {
    let old = ScriptedOrigin::start_with(|index| match index {
        0 => {
            Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nold").close()
        }
        _ => Script::websocket_echo(),
    })
    .await;
    let app = Running::start(&old, &old).await;
    let answer = app.answer("GET /old/page?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer, (200, "old".to_owned()));
    let head = old.connection(0).await.head().await;
    assert!(head.starts_with("GET /page?x=1 HTTP/1.1\r\n"), "{head}");

    let mut client = app.client_sending(upgrade("/old/socket", "")).await;
    assert_eq!(client.head().await.status, 101);
    client.send("hello").await;
    client.receives(b"hello").await;
    let head = old.connection(1).await.head().await;
    assert!(head.starts_with("GET /socket HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn the_apps_own_pages_are_its_own() {
    let (chat, old) = (echo().await, echo().await);
    let app = Running::start(&chat, &old).await;
    for (path, expected) in [
        ("/", (200, "the app's own page")),
        ("/ready", (200, "ready\n")),
        ("/no", (404, "")),
    ] {
        let (status, body) = app
            .answer(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        assert_eq!((status, &*body), expected, "{path}");
    }
    assert_eq!((chat.connections(), old.connections()), (0, 0));
}

#[tokio::test]
async fn the_end_is_waited_for() {
    let (chat, old) = (echo().await, echo().await);
    let mut app = Running::start(&chat, &old).await;
    let mut tunnels = Vec::new();
    for _ in 0..3 {
        let mut client = app.client_sending(upgrade("/live/room", SESSION)).await;
        assert_eq!(client.head().await.status, 101);
        tunnels.push(client);
    }
    app.end.send(()).unwrap();
    for client in &mut tunnels {
        client.ends().await;
    }
    drop(tunnels);
    let ended = timeout(TIMEOUT, app.task).await.expect("the app ends");
    ended.unwrap().unwrap();
    for _ in 0..3 {
        let line = timeout(TIMEOUT, app.lines.recv()).await.unwrap().unwrap();
        assert!(line.ends_with("drained"), "{line}");
    }
}

#[tokio::test]
async fn http_2_that_the_app_has_not_asked_for_is_not_spoken() {
    let (chat, old) = (echo().await, echo().await);
    let app = Running::start(&chat, &old).await;
    let mut client = app.client_sending("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let mut answer = Vec::new();
    let ended = timeout(TIMEOUT, client.stream().read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection stays open");
    // A server of HTTP/2 begins with a SETTINGS frame.
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
        "{answer:?}"
    );
}
