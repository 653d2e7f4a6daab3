//! Written by nginx_conf --to-rust from location.conf: what the configuration says, on the crate `switchover`.
//!
//! Lines that have no equivalent are named in comments. Locations that such lines may guard are closed.
//!
//! ```toml
//! http = "1.4"
//! socket2 = "0.6"
//! switchover = { version = "0.1", features = ["hyper", "ring"] }
//! tokio = { version = "1.50", features = ["macros", "net", "rt-multi-thread", "time"] }
//! ```
#![allow(unused_imports, unused_mut, unused_variables, dead_code, reason = "not every configuration wants all of it")]

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, HeaderMap, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use socket2::{Domain, Socket, Type};
use switchover::connect::{AnyConnect, TcpConnect, UnixConnect};
use switchover::gateway::{Accepted, Acceptor, GatewayConfig, next_connection};
use switchover::handshake::{HandshakePolicy, wants_upgrade};
use switchover::header::rules::{Statuses, Template, Underscores, Variables};
use switchover::header::{ForwardedRules, Forwarding, HeaderRules, Hop, Inbound, TrustedProxies};
use switchover::http1::HeadLimits;
use switchover::proxy_protocol::ProxyProtocolAcceptor;
use switchover::route::{Hosts, Locations, NoRoute, PathPattern};
use switchover::service::{Destination, Relay, RelayConfig};
use switchover::tls::{TlsAcceptor, TlsClientConfig, TlsConnect, TlsServerConfig};
use switchover::tunnel::{AnyStream, Cap, TunnelConfig};
use switchover::upstream::{Balance, Group, Key, Retry, Server};
use tokio::net::{TcpListener, UnixListener};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Servers = Hosts<Site>;
type Upstreams = HashMap<&'static str, Group<AnyConnect>>;

/// A `server`.
pub(crate) struct Site {
    /// `$server_name`.
    pub(crate) name: &'static str,
    pub(crate) locations: Locations<Content>,
}

/// An address, and what is served there.
pub(crate) struct Listener {
    /// Of a Unix socket, with `unix:` in front.
    pub(crate) address: &'static str,
    /// One of IPv6 that is for IPv4 as well.
    dual: bool,
    /// Connections begin with the header of the PROXY protocol. Its client is believed of these.
    announced: Option<TrustedProxies>,
    tls: Option<TlsAcceptor>,
    /// For the heads of requests. Their locations let upgrades through.
    acceptor: Acceptor,
    pub(crate) servers: Servers,
}

/// What answers at a location.
pub(crate) enum Content {
    Proxy(Box<Proxy>),
    /// `return`: a text, or where the client is sent.
    Answer { status: u16, text: &'static str, kind: &'static str, rules: HeaderRules },
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
    real_ip: Option<RealIp>,
}

/// Who the client is behind proxies: what they say in a field.
pub(crate) struct RealIp {
    proxies: TrustedProxies,
    field: &'static str,
}

impl RealIp {
    fn locate(&self, hop: Hop, headers: &HeaderMap) -> Hop {
        let mut said = HeaderMap::new();
        for line in headers.get_all(self.field) {
            said.append("x-forwarded-for", line.clone());
        }
        self.proxies.locate(hop, &said)
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut listening = tokio::task::JoinSet::new();
    for listener in listeners()? {
        let listener = Arc::new(listener);
        match listener.address.strip_prefix("unix:") {
            None => {
                let socket = bind(listener.address.parse()?, listener.dual)?;
                println!("listening on {}", socket.local_addr()?);
                listening.spawn(accept(socket, listener));
            }
            Some(path) => {
                let socket = UnixListener::bind(path)?;
                println!("listening on {path}");
                listening.spawn(accept_local(socket, listener));
            }
        }
    }
    while listening.join_next().await.is_some() {}
    Ok(())
}

/// As nginx: an address of IPv6 is for IPv6 alone, unless it says otherwise.
fn bind(address: SocketAddr, dual: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(!dual)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(511)?;
    TcpListener::from_std(socket.into())
}

pub(crate) async fn accept(socket: TcpListener, listener: Arc<Listener>) {
    loop {
        let (client, peer) = next_connection(&socket).await;
        let port = client.local_addr().map_or(0, |address| address.port());
        let hop = Hop::from(peer).at_port(port);
        tokio::spawn(open(AnyStream::from(client), hop, listener.clone()));
    }
}

async fn accept_local(socket: UnixListener, listener: Arc<Listener>) {
    loop {
        match socket.accept().await {
            Ok((client, _)) => drop(tokio::spawn(open(AnyStream::new(client), Hop::unknown(), listener.clone()))),
            // Out of descriptors: what is open goes on, and some of it will end.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// What comes before the first request of a connection: whose it is, and TLS.
async fn open(client: AnyStream, hop: Hop, listener: Arc<Listener>) {
    let opened = async {
        let (client, hop) = match &listener.announced {
            None => (client, hop),
            Some(balancers) => {
                let everyone = ["0.0.0.0/0".parse()?, "::/0".parse()?];
                let anyone = TrustedProxies::new(everyone).trust_unknown(true);
                let announced = ProxyProtocolAcceptor::new(anyone).accept(client, hop).await?;
                let is_believed = balancers.trusts(&hop);
                (AnyStream::new(announced.stream), if is_believed { announced.hop } else { hop })
            }
        };
        match &listener.tls {
            None => serve(client, hop, &listener).await,
            Some(tls) => {
                let client = tls.accept(client).await?;
                serve(AnyStream::new(client), hop.tls(true), &listener).await
            }
        }
    };
    let served: Result<(), Failure> = opened.await;
    if let Err(why) = served {
        eprintln!("{:?}: {why}", hop.peer());
    }
}

/// Serves a connection: ordinary requests as long as they come, and at most one upgrade.
async fn serve(client: AnyStream, hop: Hop, listener: &Listener) -> Result<(), Failure> {
    let (acceptor, connected) = (&listener.acceptor, hop);
    let mut accepted = Box::pin(acceptor.accept(client, connected)).await?;
    while let Accepted::Ordinary(head, mut stream) = accepted {
        let in_target = head.uri.authority().map(|authority| authority.as_str());
        let host = in_target.or_else(|| head.headers.get(HOST)?.to_str().ok());
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let Site { name, locations } = listener.servers.find(host).ok_or("there is no server")?;
        let here = "$scheme://$http_host".parse::<Template>()?.value(&Variables::new(&head, &hop));
        let here = here.as_ref().and_then(|here| here.to_str().ok()).unwrap_or_default();
        if let Some(path) = locations.redirect(target) {
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
            Content::Answer { status, text, kind, rules } => {
                let variables = Variables::new(&head, &hop).server_name(name);
                let text = text.parse::<Template>()?.value(&variables);
                let text = text.as_ref().and_then(|text| text.to_str().ok()).unwrap_or_default();
                let mut response = match status {
                    // A path is one of this server's.
                    301 | 302 | 303 | 307 | 308 if text.starts_with('/') => {
                        answer(*status, "", "", Some(&format!("{here}{text}")))
                    }
                    301 | 302 | 303 | 307 | 308 => answer(*status, "", "", Some(text)),
                    status => answer(*status, text, kind, None),
                };
                let status = response.status();
                rules.apply_to_response(response.headers_mut(), status, &variables);
                return Ok(acceptor.respond(stream, &head, response).await?);
            }
        };
        let hop = match &proxy.real_ip {
            Some(real_ip) => real_ip.locate(hop, &head.headers),
            None => hop,
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
        accepted = Box::pin(acceptor.resume(stream, connected)).await?;
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

/// As in nginx: fields with an underscore, or with names that are none of a variable, end here, and the upstream's own name is its `Host`.
fn plain_rules(server: &str, upstream: &str) -> Result<HeaderRules, Failure> {
    let rules = HeaderRules::default().underscores(Underscores::DropAll).only_plain_names(true);
    Ok(rules.server_name(server).upstream(upstream).host("$proxy_host".parse()?))
}

fn no_upgrades() -> GatewayConfig {
    GatewayConfig::default().policy(HandshakePolicy::default().allow_only([]))
}

fn upstreams() -> Result<Upstreams, Failure> {
    let mut upstreams = Upstreams::new();
    let group = Group::builder()
        .server(Server::new("127.0.0.1:9000", AnyConnect::new(TcpConnect::to("127.0.0.1:9000"))).max_fails(0))
        .build();
    upstreams.insert("http://127.0.0.1:9000", group);
    Ok(upstreams)
}

// location.conf:2: error_log error.log has no equivalent here

/// `listen 127.0.0.1:8080`
fn listener_0(upstreams: &Upstreams, tunnels: &Cap) -> Result<Listener, Failure> {
    let mut servers = Servers::default();

    // location.conf:14: server
    let mut locations = Locations::default();
    // location.conf:18: location /ws/
    let backend = upstreams["http://127.0.0.1:9000"].clone();
    let backend = backend.retry(Retry::default().invalid_heads(false));
    let mut rules = plain_rules("yourdomain.com", "127.0.0.1:9000")?;
    rules = rules.host("$host".parse()?);
    rules = rules.remove_on_response("X-Accel-Buffering")?;
    rules = rules.remove_on_response("X-Accel-Charset")?;
    rules = rules.remove_on_response("X-Accel-Expires")?;
    rules = rules.remove_on_response("X-Accel-Limit-Rate")?;
    rules = rules.remove_on_response("X-Accel-Redirect")?;
    rules = rules.remove_on_response("X-Pad")?;
    rules = rules.redirect("http://127.0.0.1:9000/", "/")?;
    rules = rules.add_on_response("Access-Control-Allow-Origin", "*", Statuses::Usual)?;
    rules = rules.add_on_response("Access-Control-Allow-Methods", "GET, POST, OPTIONS", Statuses::Usual)?;
    rules = rules.add_on_response("Access-Control-Allow-Headers", "Origin, X-Requested-With, Content-Type, Accept, Authorization", Statuses::Usual)?;
    let relay = RelayConfig::default()
        .connect_timeout(Duration::from_secs(60))
        .read_timeout(Duration::from_secs(86400))
        .send_timeout(Duration::from_secs(60))
        .request_body_timeout(Duration::from_secs(60))
        .max_request_body(1048576)
        .response_limits(HeadLimits::default().max_bytes(65536));
    let tunnel = TunnelConfig::default().idle_timeout(Duration::from_secs(86400)).write_timeout(Duration::from_secs(60));
    let upgrades = GatewayConfig::default()
        .forwarding(forwarding())
        .tunnel(tunnel)
        .cap(tunnels.clone())
        .connect_timeout(Duration::from_secs(60))
        .handshake_timeout(Duration::from_secs(86400))
        .read_timeout(Duration::from_secs(86400))
        .response_limits(HeadLimits::default().max_bytes(65536));
    locations.add(PathPattern::prefix("/ws/")?, Content::Proxy(Box::new(Proxy {
        relay: Relay::through(backend.clone(), relay).forwarding(forwarding()),
        backend,
        replacement: None,
        rules,
        upgrades: Some(Acceptor::new(upgrades)),
        real_ip: None,
    })))?;
    servers.add(["yourdomain.com".parse()?], Site { name: "yourdomain.com", locations })?;

    let config = no_upgrades()
        .header_timeout(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(65))
        .send_timeout(Duration::from_secs(60))
        .request_limits(HeadLimits::default().max_bytes(65536));
    Ok(Listener {
        address: "127.0.0.1:8080",
        dual: false,
        announced: None,
        tls: None,
        acceptor: Acceptor::new(config),
        servers,
    })
}

pub(crate) fn listeners() -> Result<Vec<Listener>, Failure> {
    let upstreams = upstreams()?;
    let tunnels = Cap::new(5120);
    Ok(vec![listener_0(&upstreams, &tunnels)?])
}
