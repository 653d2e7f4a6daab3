//! What probes are answered: whether the gateway lives, whether it wants more connections, and how its servers do.
//!
//! On a thread of its own, which outlasts the listeners and the workers: the load balancer is answered to the end.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode, request};
use serde_json::{Value, json};
use switchover::Error;
use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
use switchover::handshake::Rejection;
use switchover::upstream::{Group, Health, ServerStatus};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::settings::Settings;
use super::worker;

/// Connections at a time. Each is answered at once, or closed when its request does not come; and sooner if there are so many
/// that came later, since those who only hold a connection must not keep out a probe.
const PROBES: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Listens for probes, and answers them until the process ends.
pub(crate) fn start(address: SocketAddr, settings: Arc<Settings>) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("--health {address}: {error}"));
    let listener = TcpListener::bind(address).map_err(named)?;
    listener.set_nonblocking(true)?;
    let runtime = worker::runtime()?;
    std::thread::spawn(move || runtime.block_on(serve(listener, settings)));
    Ok(())
}

async fn serve(listener: TcpListener, settings: Arc<Settings>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let config = GatewayConfig::default()
        .header_timeout(TIMEOUT)
        .keep_alive_timeout(TIMEOUT);
    let acceptor = Acceptor::new(config);
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                open.retain(|probe| !probe.is_finished());
                if open.len() >= PROBES {
                    open.pop_front().inspect(AbortHandle::abort);
                }
                let probe = tokio::spawn(probe(stream, peer, acceptor.clone(), settings.clone()));
                open.push_back(probe.abort_handle());
            }
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn probe(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Acceptor,
    settings: Arc<Settings>,
) -> Result<(), Error> {
    match acceptor.accept(stream, peer).await? {
        Accepted::Ordinary(head, stream) => {
            let response = answer(&head, &settings);
            acceptor.respond(stream, &head, response).await
        }
        Accepted::Upgrade(incoming) => incoming.reject(Rejection::NoUpgradeHere).await.map(drop),
        Accepted::Rejected(..) | Accepted::Closed => Ok(()),
    }
}

fn answer(head: &request::Parts, settings: &Settings) -> Response<String> {
    const TEXT: &str = "text/plain";
    let is_leaving = settings.is_leaving();
    let (status, kind, text) = match (&head.method, head.uri.path()) {
        (&Method::GET | &Method::HEAD, "/live") => (StatusCode::OK, TEXT, "live\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/ready") => match is_leaving {
            false => (StatusCode::OK, TEXT, "ready\n".to_owned()),
            true => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".to_owned()),
        },
        (&Method::GET | &Method::HEAD, "/status") => {
            (StatusCode::OK, "application/json", status(settings, is_leaving))
        }
        (_, "/live" | "/ready" | "/status") => {
            (StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD\n".to_owned())
        }
        _ => (
            StatusCode::NOT_FOUND,
            TEXT,
            "/live, /ready or /status\n".to_owned(),
        ),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        fields.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// All routes and their servers.
fn status(settings: &Settings, is_leaving: bool) -> String {
    let routes = settings.upstreams().into_iter().map(|upstream| {
        let servers = upstream.group.servers();
        let servers: Value = servers.iter().map(|one| server(one, false)).collect();
        json!({ "route": upstream.pattern, "servers": servers })
    });
    let state = if is_leaving { "draining" } else { "serving" };
    json!({ "state": state, "routes": routes.collect::<Value>() }).to_string() + "\n"
}

/// The servers of a group, and those that it has lost and that still have tunnels.
pub(crate) fn servers<C, V>(group: &Group<C, V>) -> Value {
    let there = group.servers().into_iter().map(|one| server(&one, false));
    let removed = group.removed_servers().into_iter().map(|one| server(&one, true));
    there.chain(removed).collect()
}

fn server(server: &ServerStatus, is_removed: bool) -> Value {
    let out_for = match server.health {
        Health::Ejected { remaining, .. } => Some(remaining.as_secs()),
        _ => None,
    };
    json!({
        "name": server.name,
        "place": server.place,
        "state": match () {
            () if is_removed => "removed",
            () if server.down => "down",
            () => server.health.name(),
        },
        "health": server.health.name(),
        "down": server.down,
        "removed": is_removed,
        "out_for_seconds": out_for,
        "tunnels": server.tunnels,
        "max_tunnels": server.max_tunnels,
        "weight": server.weight,
        "backup": server.backup,
        "tried": server.tried,
        "failed": server.failed,
    })
}
