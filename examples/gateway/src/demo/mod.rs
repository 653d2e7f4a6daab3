//! The origin that is built into the program gateway: a page to try a WebSocket with, an echo and a chat room.
//!
//! It must not know that a gateway stands in front of it: it is an ordinary HTTP/1.1 server, so that what works
//! through the gateway works because of the gateway.
//!
//! - `GET /` is the page.
//! - `GET /echo` as a WebSocket sends every message back. The text `close 4999 some reason` makes it close so.
//! - `GET /chat?name=Ada` as a WebSocket is the room: a line from one goes to all others.

mod chat;
mod echo;

use std::convert::Infallible;
use std::future::ready;
use std::sync::Mutex;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use switchover::websocket::SecWebSocketKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use chat::Room;
use echo::echo;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

const PAGE: &str = include_str!("page.html");

/// Nothing from elsewhere; WebSockets to anywhere, because the URL field of the page is free.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                           connect-src ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves `listener` until the future is dropped, which ends the connections too.
pub(crate) async fn serve_upstream(listener: TcpListener) {
    let room = Room::open();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, room.clone()));
                }
                // Out of descriptors, most likely: give some connection the time to end.
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What a connection becomes after its 101.
enum Endpoint {
    Echo,
    Chat { name: Option<String> },
}

/// The upgrade that a connection's 101 promised, if it sent one.
type Switched = Mutex<Option<(OnUpgrade, Endpoint)>>;

async fn serve_connection(stream: TcpStream, room: Room) {
    // Small messages are the point of the demo. A failure only means that they may be delayed.
    let _ = stream.set_nodelay(true);
    // The WebSocket runs in this task after hyper is done with the connection, so that no task is left without owner.
    let switched: Switched = Mutex::new(None);
    let service = service_fn(|request| ready(Ok::<_, Infallible>(answer(request, &switched))));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    let switched = switched.into_inner().ok().flatten();
    let (Ok(()), Some((upgrade, endpoint))) = (served, switched) else {
        return;
    };
    let Ok(upgraded) = upgrade.await else { return };

    let config = WebSocketConfig::default().read_buffer_size(16 * 1024);
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    match endpoint {
        Endpoint::Echo => echo(socket).await,
        Endpoint::Chat { name } => room.chat(socket, name).await,
    }
}

fn answer(request: Request<Incoming>, switched: &Switched) -> Response<Full<Bytes>> {
    let endpoint = match request.uri().path() {
        "/" => return page(request.method()),
        "/echo" => Endpoint::Echo,
        "/chat" => Endpoint::Chat {
            name: name_in(request.uri().query()),
        },
        _ => {
            return plain(
                StatusCode::NOT_FOUND,
                "There is a page at /, and WebSockets at /echo and /chat.\n",
            );
        }
    };
    match handshake(&request) {
        Ok(response) => {
            if let Ok(mut switched) = switched.lock() {
                *switched = Some((hyper::upgrade::on(request), endpoint));
            }
            response
        }
        Err(refusal) => *refusal,
    }
}

fn page(method: &Method) -> Response<Full<Bytes>> {
    // hyper leaves the body out where the method is HEAD.
    if method != Method::GET && method != Method::HEAD {
        return method_not_allowed("GET, HEAD");
    }
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    response(StatusCode::OK, PAGE, headers)
}

/// The server's side of the opening handshake (RFC 6455 4.2): the 101, or why not.
fn handshake(request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Box<Response<Full<Bytes>>>> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(method_not_allowed("GET").into());
    }
    let upgrade = request.version() == Version::HTTP_11
        && tokens(headers, header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && tokens(headers, header::UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"));
    if !upgrade
        || headers
            .get(header::SEC_WEBSOCKET_VERSION)
            .is_none_or(|version| version != "13")
    {
        // RFC 9110 15.5.22: a 426 "MUST send an Upgrade header field"; RFC 6455 4.4: with the versions supported.
        let mut refusal = plain(
            StatusCode::UPGRADE_REQUIRED,
            "This is a WebSocket: ask for an upgrade, version 13.\n",
        );
        refusal
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        refusal
            .headers_mut()
            .insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        refusal
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(refusal.into());
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let key = SecWebSocketKey::parse(key)
        .map_err(|error| plain(StatusCode::BAD_REQUEST, format!("{error}\n")))
        .map_err(Box::new)?;

    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = HeaderValue::from_str(key.accept().as_str()).map_err(|_| internal_error())?;
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response
        .headers_mut()
        .insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response
        .headers_mut()
        .insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    // An echo and a room of plain lines fit under any subprotocol, so the client's first choice it is.
    if let Some(subprotocol) = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).next() {
        let subprotocol = HeaderValue::from_str(subprotocol).map_err(|_| internal_error())?;
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    Ok(response)
}

/// The elements of a list-valued header, over all of its lines.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// `Ada` for `/chat?name=Ada`.
fn name_in(query: Option<&str>) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    pairs
        .find(|(key, _)| key == "name")
        .map(|(_, name)| name.into_owned())
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(
        status,
        text,
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
    )
}

fn method_not_allowed(allowed: &'static str) -> Response<Full<Bytes>> {
    let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, format!("Only {allowed} here.\n"));
    refusal
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allowed));
    refusal
}

fn internal_error() -> Box<Response<Full<Bytes>>> {
    plain(
        StatusCode::INTERNAL_SERVER_ERROR,
        "A value did not fit in a header.\n",
    )
    .into()
}

fn response(
    status: StatusCode,
    body: impl Into<Bytes>,
    headers: impl IntoIterator<Item = (HeaderName, &'static str)>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_static(value)));
    response.headers_mut().extend(headers);
    response
}
