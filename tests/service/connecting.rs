//! What a connector sees of a request, how long a connection is kept, where the tasks run, and what the end of a tunnel reports of
//! its upstream.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use axum::Router;
use http::{HeaderName, Request};
use http_body_util::BodyExt;
use switchover::TcpConnect;
use switchover::connect::{Connect, ConnectError, ConnectRequest, PoolKey, Pooling};
use switchover::header::{ForwardedRules, Forwarding, Hop};
use switchover::service::{Destination, ProxyBody, Relay, RelayConfig, ReverseProxy, ServiceConfig, Task};
use switchover::test_util::{Script, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::upstream::{Group, Server};
use tokio::net::TcpStream;

use crate::servers::Mounted;
use crate::{end_of, reporting};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const GET: &str = "GET /page HTTP/1.1\r\nHost: a.example\r\nX-Room: red\r\n\r\n";

fn to(origin: &ScriptedOrigin) -> TcpConnect {
    TcpConnect::to(origin.address().to_string())
}

/// One whose connections carry any number of requests.
async fn patient() -> ScriptedOrigin {
    ScriptedOrigin::start((0..9).fold(Script::new(), |script, _| script.read_head().send(OK))).await
}

/// What a layer has put among the extensions of a request.
#[derive(Clone, Debug, PartialEq)]
struct User(&'static str);

/// A connector that writes down what it sees: whether it is to choose or to connect, the user, the room, the client.
struct Seeing {
    inner: TcpConnect,
    pooling: Pooling,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Seen = (&'static str, Option<User>, Option<String>, Hop);

impl Seeing {
    fn sees(&self, what: &'static str, request: &ConnectRequest<'_>) {
        let head = request.head();
        let room = head
            .headers
            .get("x-room")
            .map(|room| room.to_str().unwrap().to_owned());
        let user = head.extensions.get().cloned();
        self.seen.lock().unwrap().push((what, user, room, request.hop()));
    }
}

impl Connect for Seeing {
    type Stream = TcpStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<TcpStream, ConnectError> {
        self.sees("connect", &request);
        self.inner.connect(request).await
    }

    fn pooling(&self) -> Pooling {
        self.pooling
    }

    async fn pool_key(&self, request: ConnectRequest<'_>) -> Option<PoolKey> {
        self.sees("choose", &request);
        (self.pooling != Pooling::Never).then_some(PoolKey::new(7))
    }
}

#[tokio::test]
async fn a_connector_sees_the_same_of_an_upgrade_and_of_a_request_pooled_or_not() {
    let client = SocketAddr::from(([127, 0, 0, 1], 0)).ip();
    for (request, status, pooling, calls) in [
        (
            &*with_room(UPGRADE_REQUEST),
            101,
            Pooling::Never,
            &["connect"][..],
        ),
        (GET, 200, Pooling::Never, &["choose", "connect"]),
        (GET, 200, Pooling::Shared, &["choose", "connect"]),
        (GET, 200, Pooling::Keyed, &["choose", "connect"]),
    ] {
        let origin = match status {
            101 => ScriptedOrigin::start(Script::websocket_echo()).await,
            _ => patient().await,
        };
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connect = Seeing {
            inner: to(&origin),
            pooling,
            seen: seen.clone(),
        };
        let named = axum::middleware::map_request(|mut request: axum::extract::Request| async {
            request.extensions_mut().insert(User("ada"));
            request
        });
        let app = Router::new()
            .fallback_service(ReverseProxy::new(connect))
            .layer(named);
        let mounted = Mounted::router(app).await;
        let mut client_stream = mounted.client_sending(request).await;
        assert_eq!(client_stream.head().await.status, status);
        let seen = seen.lock().unwrap();
        assert_eq!(
            seen.iter().map(|(what, ..)| *what).collect::<Vec<_>>(),
            calls,
            "{pooling:?}"
        );
        for (what, user, room, hop) in &*seen {
            assert_eq!(user, &Some(User("ada")), "{what}, {status}, {pooling:?}");
            assert_eq!(room.as_deref(), Some("red"), "{what}, {status}, {pooling:?}");
            assert_eq!(hop.client(), Some(client), "{what}, {status}, {pooling:?}");
        }
    }
}

fn with_room(request: &str) -> String {
    request.replacen("\r\n\r\n", "\r\nX-Room: red\r\n\r\n", 1)
}

#[tokio::test]
async fn a_connection_is_kept_as_long_as_is_said() {
    let config = RelayConfig::default;
    let (minute, moment) = (Duration::from_secs(60), Duration::from_millis(1));
    for (config, connections) in [
        (config(), 1),
        (config().idle_timeout(minute), 1),
        (config().idle_timeout(Duration::ZERO), 3),
        (config().idle_timeout(moment), 3),
        (config().max_requests_per_connection(3), 1),
        (config().max_requests_per_connection(1), 3),
        (config().max_requests_per_connection(2), 2),
        (config().max_requests_per_connection(None), 1),
        (config().max_connection_age(minute), 1),
        (config().max_connection_age(Duration::ZERO), 3),
    ] {
        let origin = patient().await;
        let what = format!("{config:?}");
        let mounted =
            Mounted::router(Router::new().fallback_service(ReverseProxy::new(to(&origin)).relay(config)))
                .await;
        for at in 0..3 {
            let mut client = mounted.client_sending(GET).await;
            assert_eq!(client.response().await.1, b"hi");
            let is_last_of_its_connection = connections == 3 || connections == 2 && at == 1;
            if is_last_of_its_connection {
                // The origin sees that the connection is not kept, before the next request.
                origin.connection(at * (connections - 1) / 2).await.end().await;
            }
        }
        assert_eq!(origin.connections(), connections, "{what}");
    }
}

#[tokio::test]
async fn the_tasks_of_a_relay_run_on_the_given_executor() {
    let origin = patient().await;
    let executed = Arc::new(AtomicUsize::new(0));
    let counting = Counting(executed.clone());
    let destination = Destination::new(origin.address().to_string().parse().unwrap());
    let named = Relay::new(RelayConfig::default()).executor(counting.clone());
    let response = named.respond(page(), destination, Hop::unknown()).await;
    takes(response, &executed).await;
    let through = Relay::through(to(&origin), RelayConfig::default()).executor(counting);
    let response = through
        .respond(page(), Destination::default(), Hop::unknown())
        .await;
    takes(response, &executed).await;
}

/// An executor that counts its tasks.
#[derive(Clone)]
struct Counting(Arc<AtomicUsize>);

impl hyper::rt::Executor<Task> for Counting {
    fn execute(&self, task: Task) {
        self.0.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(task);
    }
}

fn page() -> Request<String> {
    Request::get("/").header("host", "a").body(String::new()).unwrap()
}

/// Reads an answer to its end. Its connection is then watched by a task.
async fn takes(response: http::Response<ProxyBody>, executed: &AtomicUsize) {
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        drop(frame.unwrap());
    }
    assert!(executed.swap(0, Ordering::Relaxed) >= 1);
}

#[tokio::test]
async fn start_and_end_of_a_tunnel_report_its_upstream_and_each_attempt() {
    let (closed, origin) = (
        closed().await,
        ScriptedOrigin::start(Script::websocket_echo()).await,
    );
    let group = Group::of([
        Server::to(closed.to_string()),
        Server::to(origin.address().to_string()),
    ]);
    let (config, ends) = reporting();
    let (sender, starts) = mpsc::channel();
    let config = config.on_start(move |started| {
        let attempts = started.trace.attempts().len();
        let _ = sender.send((started.upstream.map(str::to_owned), attempts));
    });
    let mounted =
        Mounted::router(Router::new().fallback_service(ReverseProxy::new(group).config(config))).await;
    let mut client = mounted.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    drop(client);
    let ended = end_of(ends).await;
    let name = origin.address().to_string();
    assert_eq!(ended.upstream.as_deref(), Some(&*name));
    let attempts = ended.trace.attempts();
    let named: Vec<_> = attempts
        .iter()
        .map(|attempt| attempt.upstream.clone().unwrap())
        .collect();
    assert_eq!(named, [closed.to_string(), name.clone()]);
    assert!(attempts[0].connected_after.is_none() && attempts[1].connected_after.is_some());
    assert_eq!(starts.recv_timeout(TIMEOUT).unwrap(), (Some(name), 2));
}

/// An address that refuses connections.
async fn closed() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn what_a_layer_says_of_the_client_passes_where_it_is_named() {
    let user = HeaderName::from_static("x-forwarded-user");
    for (rules, arrives) in [
        (ForwardedRules::default(), false),
        (ForwardedRules::default().keep([user]), true),
    ] {
        for (request, status) in [(GET.to_owned(), 200), (UPGRADE_REQUEST.to_owned(), 101)] {
            let origin = match status {
                101 => ScriptedOrigin::start(Script::websocket_echo()).await,
                _ => patient().await,
            };
            let config = ServiceConfig::default().forwarding(Forwarding::default().forwarded(rules.clone()));
            let named = axum::middleware::map_request(|mut request: axum::extract::Request| async {
                request
                    .headers_mut()
                    .insert("x-forwarded-user", "ada".parse().unwrap());
                request
            });
            let proxy = ReverseProxy::new(to(&origin)).config(config);
            let mounted = Mounted::router(Router::new().fallback_service(proxy).layer(named)).await;
            // Nor can the client have it removed, or pass its own look-alike.
            let lines = "\r\nConnection: x-forwarded-user\r\nX_Forwarded_User: eve\r\nX-Forwarded-Prefix: /eve\r\n\r\n";
            let mut client = mounted
                .client_sending(request.replacen("\r\n\r\n", lines, 1))
                .await;
            assert_eq!(client.head().await.status, status);
            let head = origin.connection(0).await.head().await.to_ascii_lowercase();
            assert_eq!(head.contains("x-forwarded-user: ada\r\n"), arrives, "{head}");
            assert!(!head.contains("eve"), "{head}");
        }
    }
}
