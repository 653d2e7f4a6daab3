//! Written by nginx_conf --to-rust from whole.conf: what the configuration says, on the crate `switchover`.
//!
//! Lines that have no equivalent are named in comments. Locations that such lines may guard are closed.
//!
//! ```toml
//! http = "1.4"
//! switchover = { version = "0.1", features = ["hyper", "ring"] }
//! tokio = { version = "1.50", features = ["macros", "net", "rt-multi-thread"] }
//! ```
#![allow(unused_imports, unused_mut, dead_code, reason = "not every configuration wants all of it")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use switchover::connect::{AnyConnect, TcpConnect, UnixConnect};
use switchover::gateway::{Accepted, Acceptor, GatewayConfig, next_connection};
use switchover::handshake::{HandshakePolicy, wants_upgrade};
use switchover::header::rules::{Statuses, Template, Underscores, Variables};
use switchover::header::{ForwardedRules, Forwarding, HeaderRules, Hop, Inbound};
use switchover::http1::HeadLimits;
use switchover::route::{Hosts, Locations, NoRoute, PathPattern};
use switchover::service::{Destination, Relay, RelayConfig};
use switchover::tls::{TlsAcceptor, TlsClientConfig, TlsConnect, TlsServerConfig};
use switchover::tunnel::{AnyStream, TunnelConfig};
use switchover::upstream::{Balance, Group, Key, Retry, Server};
use tokio::net::TcpListener;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Servers = Hosts<Locations<Content>>;
type Upstreams = HashMap<&'static str, Group<AnyConnect>>;

/// An address, and what is served there.
pub(crate) struct Listener {
    pub(crate) address: &'static str,
    tls: Option<TlsAcceptor>,
    /// For the heads of requests. Their locations let upgrades through.
    acceptor: Acceptor,
    pub(crate) servers: Servers,
}

/// What answers at a location.
pub(crate) enum Content {
    Proxy(Box<Proxy>),
    /// `return`: a text, or where the client is sent.
    Answer { status: u16, text: &'static str, kind: &'static str },
    /// It is guarded by what this program does not do. Write the guard, and put the content here.
    Closed,
}

pub(crate) struct Proxy {
    backend: Group<AnyConnect>,
    /// What takes the place of the matched prefix.
    replacement: Option<&'static str>,
    /// For what goes up, and what comes back.
    rules: HeaderRules,
    /// Of a location that carries no upgrades, none.
    upgrades: Option<Acceptor>,
    relay: Relay<Group<AnyConnect>>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut listening = tokio::task::JoinSet::new();
    for listener in listeners()? {
        let socket = TcpListener::bind(listener.address).await?;
        println!("listening on {}", socket.local_addr()?);
        listening.spawn(accept(socket, Arc::new(listener)));
    }
    while listening.join_next().await.is_some() {}
    Ok(())
}

pub(crate) async fn accept(socket: TcpListener, listener: Arc<Listener>) {
    loop {
        let (client, peer) = next_connection(&socket).await;
        let listener = listener.clone();
        let port = client.local_addr().map_or(0, |address| address.port());
        tokio::spawn(async move {
            let hop = Hop::from(peer).at_port(port).tls(listener.tls.is_some());
            let served = match &listener.tls {
                None => serve(AnyStream::from(client), hop, &listener).await,
                Some(tls) => match tls.accept(client).await {
                    Ok(client) => serve(AnyStream::new(client), hop, &listener).await,
                    Err(why) => Err(why.into()),
                },
            };
            if let Err(why) = served {
                eprintln!("{peer}: {why}");
            }
        });
    }
}

/// Serves a connection: ordinary requests as long as they come, and at most one upgrade.
async fn serve(client: AnyStream, hop: Hop, listener: &Listener) -> Result<(), Failure> {
    let acceptor = &listener.acceptor;
    let mut accepted = Box::pin(acceptor.accept(client, hop)).await?;
    while let Accepted::Ordinary(head, mut stream) = accepted {
        let in_target = head.uri.authority().map(|authority| authority.as_str());
        let host = in_target.or_else(|| head.headers.get(HOST)?.to_str().ok());
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let locations = listener.servers.find(host).ok_or("there is no server")?;
        if let Some(path) = locations.redirect(target) {
            let here = "$scheme://$http_host".parse::<Template>()?.value(&Variables::new(&head, &hop));
            let here = here.as_ref().and_then(|here| here.to_str().ok()).unwrap_or_default();
            let to = format!("{here}{path}");
            return Ok(acceptor.respond(stream, &head, answer(301, "", "", Some(&to))).await?);
        }
        let found = match locations.find(target) {
            Ok(found) => found,
            Err(why) => {
                let status = if why == NoRoute::Ambiguous { 400 } else { 404 };
                return Ok(acceptor.respond(stream, &head, answer(status, "", "", None)).await?);
            }
        };
        let proxy = match found.value {
            Content::Proxy(proxy) => proxy,
            Content::Closed => {
                return Ok(acceptor.respond(stream, &head, answer(503, "closed\n", "text/plain", None)).await?);
            }
            Content::Answer { status, text, kind } => {
                let text = text.parse::<Template>()?.value(&Variables::new(&head, &hop));
                let text = text.as_ref().and_then(|text| text.to_str().ok()).unwrap_or_default();
                let response = match status {
                    301 | 302 | 303 | 307 | 308 => answer(*status, "", "", Some(text)),
                    status => answer(*status, text, kind, None),
                };
                return Ok(acceptor.respond(stream, &head, response).await?);
            }
        };
        let replaced = match proxy.replacement {
            None => None,
            Some(replacement) => match found.replace_prefix(replacement, target) {
                Some(replaced) => Some(replaced),
                None => return Ok(acceptor.respond(stream, &head, answer(400, "", "", None)).await?),
            },
        };
        if let Some(upgrades) = proxy.upgrades.as_ref().filter(|_| wants_upgrade(&head)) {
            match Box::pin(upgrades.resume(stream, hop)).await? {
                Accepted::Upgrade(mut incoming) => {
                    incoming.set_header_rules(proxy.rules.clone());
                    if let Some(replaced) = replaced {
                        incoming.set_target(replaced);
                    }
                    return Ok(incoming.proxy(&proxy.backend).await.map(drop)?);
                }
                // A protocol that does not pass.
                Accepted::Ordinary(_, ordinary) => stream = ordinary,
                _ => return Ok(()),
            }
        }
        let mut destination = Destination::default().header_rules(proxy.rules.clone());
        if let Some(replaced) = replaced {
            destination = destination.target(replaced);
        }
        let relayed = Box::pin(proxy.relay.serve(stream, &head, destination, hop)).await?;
        let Some(stream) = relayed.stream else {
            return Ok(());
        };
        accepted = Box::pin(acceptor.resume(stream, hop)).await?;
    }
    Ok(())
}

fn answer(status: u16, text: &str, kind: &str, to: Option<&str>) -> Response<String> {
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let fields = [(CONTENT_TYPE, Some(kind).filter(|kind| !kind.is_empty())), (LOCATION, to)];
    for (name, value) in fields {
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// As in nginx: no field beside those that the configuration names.
fn forwarding() -> Forwarding {
    let nothing = ForwardedRules::default()
        .inbound(Inbound::Trust)
        .x_forwarded(false)
        .forwarded(false)
        .without_via();
    Forwarding::default().forwarded(nothing)
}

/// As in nginx: fields with an underscore end here, and the upstream's own name is its `Host`.
fn plain_rules(upstream: &str) -> Result<HeaderRules, Failure> {
    let rules = HeaderRules::default().underscores(Underscores::DropAll).upstream(upstream);
    Ok(rules.host("$proxy_host".parse()?))
}

fn no_upgrades() -> GatewayConfig {
    GatewayConfig::default().policy(HandshakePolicy::default().allow_only([]))
}

fn upstreams() -> Result<Upstreams, Failure> {
    let mut upstreams = Upstreams::new();
    let group = Group::builder()
        .server(Server::new("127.0.0.1:9000", AnyConnect::new("127.0.0.1:9000".parse::<TcpConnect>()?)))
        .build();
    upstreams.insert("http://test.com", group);
    Ok(upstreams)
}

// whole.conf:6: error_log logs/error.log has no equivalent here
// mime.types:1: types has no equivalent here
// whole.conf:27: access_log off has no equivalent here
// whole.conf:32: client_header_buffer_size 4k has no equivalent here
// whole.conf:39: client_body_timeout 5 has no equivalent here
// whole.conf:68: gzip on has no equivalent here

/// `listen 127.0.0.1:8080`
fn listener_0(upstreams: &Upstreams) -> Result<Listener, Failure> {
    let mut servers = Servers::default();

    // test.com:5: server
    let mut locations = Locations::default();
    // test.com:13: location ^~ /websocket
    let backend = upstreams["http://test.com"].clone();
    let mut rules = plain_rules("test.com")?;
    rules = rules.set_on_request("X-Real-IP", "$remote_addr")?;
    rules = rules.host("$host".parse()?);
    rules = rules.set_on_request("X-Forwarded-For", "$proxy_add_x_forwarded_for")?;
    let relay = RelayConfig::default()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(60))
        .send_timeout(Duration::from_secs(5))
        .max_request_body(83886080)
        .response_limits(HeadLimits::default().max_bytes(16384));
    let tunnel = TunnelConfig::default().idle_timeout(Duration::from_secs(60)).write_timeout(Duration::from_secs(5));
    let upgrades = GatewayConfig::default()
        .forwarding(forwarding())
        .tunnel(tunnel)
        .connect_timeout(Duration::from_secs(5))
        .handshake_timeout(Duration::from_secs(60))
        .read_timeout(Duration::from_secs(60))
        .response_limits(HeadLimits::default().max_bytes(16384));
    locations.add(PathPattern::prefix("/websocket")?, Content::Proxy(Box::new(Proxy {
        relay: Relay::through(backend.clone(), relay).forwarding(forwarding()),
        backend,
        replacement: None,
        rules,
        upgrades: Some(Acceptor::new(upgrades)),
    })))?;
    servers.add(["test.com".parse()?], locations)?;

    let config = no_upgrades()
        .header_timeout(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5))
        .request_limits(HeadLimits::default().max_bytes(131072));
    Ok(Listener {
        address: "127.0.0.1:8080",
        tls: None,
        acceptor: Acceptor::new(config),
        servers,
    })
}

pub(crate) fn listeners() -> Result<Vec<Listener>, Failure> {
    let upstreams = upstreams()?;
    Ok(vec![listener_0(&upstreams)?])
}
