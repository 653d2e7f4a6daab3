//! The spans and events that the crate reports to a subscriber of `tracing`, held against a subscriber that writes them down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use support::bounded::within;
use switchover::TcpConnect;
use switchover::gateway::Gateway;
use switchover::handshake::Rejection;
use switchover::service::ReverseProxy;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::upstream::{Group, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

type Fields = BTreeMap<String, String>;

/// A span or an event: its name or message, the name of the span that it is in, and its fields.
#[derive(Clone, Debug, Default)]
struct Written {
    name: String,
    parent: Option<String>,
    fields: Fields,
}

/// Of each span and event, by name: the level, and all fields that it has.
type Kinds = BTreeMap<String, (String, BTreeSet<String>)>;

fn kind(metadata: &Metadata<'_>) -> (String, BTreeSet<String>) {
    let names = metadata.fields().iter().map(|field| field.name().to_owned());
    let names = names.filter(|name| name != "message").collect();
    (metadata.level().as_str().to_ascii_lowercase(), names)
}

#[derive(Clone, Default)]
struct Recorder {
    kinds: Arc<Mutex<[Kinds; 2]>>,
    spans: Arc<Mutex<BTreeMap<u64, Written>>>,
    events: Arc<Mutex<Vec<Written>>>,
}

struct Visitor<'a>(&'a mut Fields);

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let parent = context.span(id).and_then(|span| span.parent());
        let mut span = Written {
            name: attributes.metadata().name().to_owned(),
            parent: parent.map(|parent| parent.name().to_owned()),
            ..Written::default()
        };
        attributes.record(&mut Visitor(&mut span.fields));
        if attributes.metadata().target() == "switchover" {
            self.kinds.lock().unwrap()[0].insert(span.name.clone(), kind(attributes.metadata()));
        }
        self.spans.lock().unwrap().insert(id.into_u64(), span);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(span) = self.spans.lock().unwrap().get_mut(&id.into_u64()) {
            values.record(&mut Visitor(&mut span.fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != "switchover" {
            return;
        }
        let mut written = Written {
            parent: context.event_span(event).map(|span| span.name().to_owned()),
            ..Written::default()
        };
        event.record(&mut Visitor(&mut written.fields));
        written.name = written.fields.remove("message").unwrap_or_default();
        self.kinds.lock().unwrap()[1].insert(written.name.clone(), kind(event.metadata()));
        self.events.lock().unwrap().push(written);
    }
}

impl Recorder {
    fn span(&self, name: &str) -> Written {
        let spans = self.spans.lock().unwrap();
        let found = spans.values().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {spans:#?}")).clone()
    }

    fn event(&self, name: &str) -> Written {
        let events = self.events.lock().unwrap();
        let found = events.iter().find(|event| event.name == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {events:#?}"))
            .clone()
    }
}

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// An upgrade with a query, a credential and a place in a trace.
fn request() -> String {
    let fields = format!("\r\nAuthorization: Bearer hidden\r\ntraceparent: {TRACEPARENT}\r\n");
    let request = UPGRADE_REQUEST.replacen("/chat ", "/chat?token=hidden ", 1);
    request.replacen("\r\n", &fields, 1)
}

/// Serves a client that sends an upgrade until it has read a head; then it leaves. Returns what it has read.
async fn served(group: &Group) -> String {
    let gateway = Gateway::builder(group.clone()).build();
    let (mut client, stream): (DuplexStream, _) = duplex(4096);
    let peer = std::net::SocketAddr::from(([192, 0, 2, 1], 5000));
    let talk = async move {
        client.write_all(request().as_bytes()).await.unwrap();
        let mut read = Vec::new();
        while !read.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(
                within("bytes, or the end", client.read_buf(&mut read))
                    .await
                    .unwrap()
                    > 0,
                "{read:?}"
            );
        }
        String::from_utf8(read).unwrap()
    };
    let (_, read) = tokio::join!(gateway.serve(stream, peer), talk);
    read
}

#[tokio::test]
async fn an_upgrade_and_its_tunnel_are_spans_and_what_fails_is_an_event() {
    let recorder = Recorder::default();
    let subscriber = tracing_subscriber::registry().with(recorder.clone());
    let _guard = tracing::subscriber::set_default(subscriber);

    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let group = Group::builder()
        .name("chat")
        .server(Server::to(gone.to_string()))
        .server(Server::to(origin.address().to_string()))
        .build();
    let head = served(&group).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");

    let upgrade = recorder.span("upgrade");
    for (field, expected) in [
        ("http.request.method", "GET"),
        ("url.path", "/chat"),
        ("network.protocol.version", "1.1"),
        ("server.address", "example.com"),
        ("client.address", "192.0.2.1"),
        ("traceparent", TRACEPARENT),
        ("http.response.status_code", "101"),
    ] {
        assert_eq!(
            upgrade.fields.get(field).map(String::as_str),
            Some(expected),
            "{field}"
        );
    }
    let tunnel = recorder.span("tunnel");
    assert_eq!(tunnel.parent.as_deref(), Some("upgrade"));
    assert!(tunnel.fields.contains_key("switchover.reason"), "{tunnel:?}");
    assert_eq!(recorder.event("tunnel ended").parent.as_deref(), Some("tunnel"));
    let next = recorder.event("next server");
    assert_eq!(next.parent.as_deref(), Some("upgrade"));
    assert_eq!(next.fields["switchover.server"], origin.address().to_string());
    let changed = recorder.event("server state");
    assert_eq!(changed.fields["switchover.server"], gone.to_string());
    assert_eq!(changed.fields["switchover.state"], "ejected");
    assert_eq!(changed.fields["switchover.group"], "chat");
    assert_eq!(changed.parent.as_deref(), Some("upgrade"));

    // Nobody is left.
    let head = served(&Group::of([Server::to(gone.to_string())])).await;
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    let failed = recorder.event("failed");
    assert_eq!(failed.parent.as_deref(), Some("upgrade"));
    assert_eq!(failed.fields["error.type"], "refused");
    assert_eq!(failed.fields["switchover.phase"], "connect");

    let all = format!(
        "{:?}{:?}",
        recorder.spans.lock().unwrap(),
        recorder.events.lock().unwrap()
    );
    assert!(!all.contains("hidden"), "{all}");
}

/// A service in front of an origin, on this thread.
async fn mounted(origin: &ScriptedOrigin) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = ReverseProxy::new(TcpConnect::to(origin.address().to_string()));
    let app = Router::new().fallback_service(proxy);
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

/// Waits until the task of the tunnel has written its end.
async fn ended(recorder: &Recorder) {
    let written = async {
        while !recorder
            .events
            .lock()
            .unwrap()
            .iter()
            .any(|event| event.name == "tunnel ended")
        {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, written).await.expect("an end");
}

fn recording() -> (Recorder, tracing::subscriber::DefaultGuard) {
    let recorder = Recorder::default();
    let subscriber = tracing_subscriber::registry().with(recorder.clone());
    (recorder, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn a_service_has_the_same_spans_and_the_tunnel_in_another_task_is_below_its_upgrade() {
    let (recorder, _guard) = recording();
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut client = ScriptedClient::connect(mounted(&origin).await).await;
    client.send(request()).await;
    assert_eq!(client.head().await.status, 101);
    drop(client);
    ended(&recorder).await;
    let upgrade = recorder.span("upgrade");
    assert_eq!(upgrade.fields["url.path"], "/chat");
    assert_eq!(upgrade.fields["client.address"], "127.0.0.1");
    assert_eq!(upgrade.fields["http.response.status_code"], "101");
    assert_eq!(recorder.span("tunnel").parent.as_deref(), Some("upgrade"));
}

#[tokio::test]
async fn a_websocket_over_http_2_has_them_too() {
    let (recorder, _guard) = recording();
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let stream = TcpStream::connect(mounted(&origin).await).await.unwrap();
    let (mut send, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    let driving = tokio::spawn(async move { drop(connection.await) });
    // The server's settings are before its first pong.
    pings.ping(h2::Ping::opaque()).await.unwrap();
    let request = http::Request::connect("http://example.com/chat?token=hidden")
        .extension(h2::ext::Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13");
    let (response, stream) = send.send_request(request.body(()).unwrap(), false).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    drop((stream, send));
    driving.abort();
    ended(&recorder).await;
    let upgrade = recorder.span("upgrade");
    assert_eq!(upgrade.fields["network.protocol.version"], "2");
    assert_eq!(upgrade.fields["url.path"], "/chat");
    assert_eq!(upgrade.fields["http.response.status_code"], "200");
    assert_eq!(recorder.span("tunnel").parent.as_deref(), Some("upgrade"));
}

#[tokio::test]
async fn an_ordinary_request_is_a_span_with_its_status_and_its_error() {
    let (recorder, _guard) = recording();
    let answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::answering(answer)).await;
    let address = mounted(&origin).await;
    for (method, status, error) in [
        ("GET", "204", None),
        ("TRACE", "405", Some(Rejection::Trace.name())),
    ] {
        let mut client = ScriptedClient::connect(address).await;
        client
            .send(format!(
                "{method} /a?token=hidden HTTP/1.1\r\nHost: example.com\r\n\r\n"
            ))
            .await;
        assert_eq!(client.head().await.status.as_str(), status);
        let spans = recorder.spans.lock().unwrap();
        let is_it = |span: &&Written| span.fields["http.request.method"] == method;
        let span = spans.values().find(is_it).unwrap();
        assert_eq!(span.name, "request");
        assert_eq!(span.fields["url.path"], "/a");
        assert_eq!(span.fields["http.response.status_code"], status);
        assert_eq!(span.fields.get("error.type").map(String::as_str), error);
    }
}

/// The table of the manual that begins with this head: name, level, fields.
fn table(head: &str) -> Kinds {
    let manual = include_str!("../src/manual/operators.md");
    let (_, rows) = manual.split_once(head).expect("the table is there");
    let rows = rows.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut kinds = Kinds::new();
    let mut former = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (name, level, fields) = (cells[0], cells[1], cells[2]);
        // What stands behind a colon are values.
        let parts = fields
            .split("; ")
            .map(|part| part.split_once(": ").map_or(part, |(name, _)| name));
        let mut names: BTreeSet<String> = parts
            .flat_map(|part| part.split('`').skip(1).step_by(2))
            .map(str::to_owned)
            .collect();
        if fields == "the same" {
            names = former;
        }
        kinds.insert(
            name.trim_matches('`').to_owned(),
            (level.to_owned(), names.clone()),
        );
        former = names;
    }
    kinds
}

/// The tables of the manual are what is reported, by name, level and fields.
#[tokio::test]
async fn the_manual_has_every_span_and_event_with_its_fields() {
    let (recorder, _guard) = recording();
    // A server that is gone, then a tunnel by the next; a refusal; an upgrade that is declined; nobody; ordinary requests.
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    let servers = [
        Server::to(gone.to_string()),
        Server::to(origin.address().to_string()),
    ];
    let head = served(&Group::of(servers)).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let forbidden = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let declining = ScriptedOrigin::start(Script::answering(forbidden)).await;
    let head = served(&Group::of([Server::to(declining.address().to_string())])).await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    let head = served(&Group::of([Server::to(gone.to_string())])).await;
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    let no_content = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    let answering = ScriptedOrigin::start(Script::answering(no_content)).await;
    let address = mounted(&answering).await;
    let switch = "Connection: upgrade\r\nUpgrade: tcp\r\n";
    for (method, fields, status) in [("GET", "", 204), ("TRACE", "", 405), ("POST", switch, 204)] {
        let mut client = ScriptedClient::connect(address).await;
        client
            .send(format!(
                "{method} / HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n"
            ))
            .await;
        assert_eq!(client.head().await.status, status);
    }
    let [spans, events] = recorder.kinds.lock().unwrap().clone();
    assert_eq!(spans, table("| span | level | fields | where |"));
    assert_eq!(events, table("| event | level | fields |"));
}
