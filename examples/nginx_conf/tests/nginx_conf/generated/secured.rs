//! Written by nginx_conf --to-rust from test.conf: what the configuration says, on the crate `switchover`.
//!
//! Lines that have no equivalent are named in comments. Locations that such lines may guard are closed.
//!
//! ```toml
//! http = "1.4"
//! http-body-util = "0.1"
//! socket2 = "0.6"
//! switchover = { version = "0.1", features = ["http2", "hyper", "ring"] }
//! tokio = { version = "1.50", features = ["macros", "net", "rt-multi-thread", "signal", "time"] }
//! tower-service = "0.3"
//! ```
#![allow(unused_imports, unused_mut, unused_variables, dead_code, reason = "not every configuration wants all of it")]

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, HeaderMap, LOCATION};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use socket2::{Domain, Socket, Type};
use switchover::connect::{AnyConnect, TcpConnect, UnixConnect};
use switchover::gateway::{Accepted, Acceptor, GatewayConfig, next_connection};
use switchover::handshake::{HandshakePolicy, wants_upgrade};
use switchover::header::rules::{Statuses, Template, Underscores, Variables};
use switchover::header::{ForwardedRules, Forwarding, HeaderRules, Hop, Inbound, TrustedProxies};
use switchover::http1::{HeadLimits, check_request};
use switchover::http2::{Http2Server, Http2ServerConfig, RequestBody};
use switchover::proxy_protocol::ProxyProtocolAcceptor;
use switchover::route::{Hosts, Locations, NoRoute, PathPattern};
use switchover::service::{Destination, ProxyBody, Relay, RelayConfig};
use switchover::tls::{TlsAcceptor, TlsClientConfig, TlsConnect, TlsServerConfig};
use switchover::tunnel::{AnyStream, Cap, Drain, PeerCap, PeerPermit, Permit, Rewind, Schedule, TunnelConfig};
use switchover::upstream::{Balance, Group, Key, Retry, Server};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tower_service::Service;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Servers = Hosts<Site>;
type Upstreams = HashMap<&'static str, Group<AnyConnect>>;

/// What all listeners share.
pub(crate) struct Shared {
    upstreams: Upstreams,
    /// `worker_connections`.
    tunnels: Cap,
    /// `limit_conn_zone`, with what `limit_conn` allows each client in it.
    /// A /64 of IPv6 is one client here, and each address is one in nginx.
    zones: HashMap<&'static str, PeerCap>,
    /// Starts with SIGQUIT: nobody is let in any more.
    pub(crate) drain: Drain,
    /// The listeners that let somebody in, and the connections that are open.
    pub(crate) connections: Cap,
}

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
    /// Over TLS, for clients that choose it by ALPN.
    http2: Option<Http2Server>,
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
    /// `limit_conn`: a request counts for its client until it has been answered, or its tunnel has ended.
    places: Vec<PeerCap>,
    /// `limit_conn_status`.
    crowded: u16,
}

impl Proxy {
    /// A place in each zone, if there is one.
    fn admit(&self, hop: &Hop) -> Option<Vec<PeerPermit>> {
        // As nginx: those without an address, as on a Unix socket, count as one client.
        let client = hop.client().unwrap_or(IpAddr::from([0; 4]));
        self.places.iter().map(|zone| zone.try_acquire(client)).collect()
    }
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
    let shared = Arc::new(shared()?);
    // Caught before anyone can know that it listens.
    let mut quit = signal(SignalKind::quit())?;
    for listener in listeners(&shared)? {
        let listener = Arc::new(listener);
        match listener.address.strip_prefix("unix:") {
            None => {
                let socket = bind(listener.address.parse()?, listener.dual)?;
                println!("listening on {}", socket.local_addr()?);
                tokio::spawn(accept(socket, listener, shared.clone()));
            }
            Some(path) => {
                let socket = UnixListener::bind(path)?;
                println!("listening on {path}");
                tokio::spawn(accept_local(socket, listener, shared.clone()));
            }
        }
    }
    // As nginx: requests are answered, and tunnels go on for as long as `worker_shutdown_timeout`.
    quit.recv().await;
    shared.drain.start(Schedule::default().grace(SHUTDOWN));
    shared.connections.emptied().await;
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

pub(crate) async fn accept(socket: TcpListener, listener: Arc<Listener>, shared: Arc<Shared>) {
    let _listens = shared.connections.try_acquire();
    let mut ended = shared.drain.started();
    loop {
        let (client, peer) = tokio::select! {
            biased;
            () = &mut ended => return,
            accepted = next_connection(&socket) => accepted,
        };
        let port = client.local_addr().map_or(0, |address| address.port());
        let hop = Hop::from(peer).at_port(port);
        let place = shared.connections.try_acquire();
        tokio::spawn(open(AnyStream::from(client), hop, listener.clone(), shared.clone(), place));
    }
}

async fn accept_local(socket: UnixListener, listener: Arc<Listener>, shared: Arc<Shared>) {
    let _listens = shared.connections.try_acquire();
    let mut ended = shared.drain.started();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut ended => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((client, _)) => {
                let place = shared.connections.try_acquire();
                drop(tokio::spawn(open(AnyStream::new(client), Hop::unknown(), listener.clone(), shared.clone(), place)));
            }
            // Out of descriptors: what is open goes on, and some of it will end.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// What comes before the first request of a connection: whose it is, and TLS.
/// Its place is taken before this begins, so that nothing ends in between.
async fn open(client: AnyStream, hop: Hop, listener: Arc<Listener>, shared: Arc<Shared>, _place: Option<Permit>) {
    let drain = &shared.drain;
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
        let Some(tls) = &listener.tls else {
            return serve(client, hop, &listener, drain).await;
        };
        let client = tls.accept(client).await?;
        let is_http2 = client.get_ref().1.alpn_protocol() == Some(b"h2");
        let (client, hop) = (AnyStream::new(client), hop.tls(true));
        match &listener.http2 {
            Some(server) if is_http2 => {
                let requests = Http2Requests { listener: listener.clone(), hop: hop.version(Version::HTTP_2) };
                server.serve(client, requests, drain.started()).await?;
                Ok(())
            }
            _ => serve(client, hop, &listener, drain).await,
        }
    };
    let served: Result<(), Failure> = opened.await;
    if let Err(why) = served {
        eprintln!("{:?}: {why}", hop.peer());
    }
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

/// What a request comes to.
enum Step<'a> {
    Answer(Response<String>),
    Ask(Ask<'a>),
}

/// An upstream that is asked.
struct Ask<'a> {
    proxy: &'a Proxy,
    /// What it is asked for; none is the client's target.
    target: Option<PathAndQuery>,
    hop: Hop,
    /// As long as it lasts, the request counts for its client.
    places: Vec<PeerPermit>,
}

impl Listener {
    /// The location of a request, and what that says.
    fn step(&self, head: &Parts, hop: Hop) -> Result<Step<'_>, Failure> {
        let in_target = head.uri.authority().map(|authority| authority.as_str());
        let host = in_target.or_else(|| head.headers.get(HOST)?.to_str().ok());
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let Site { name, locations } = self.servers.find(host).ok_or("there is no server")?;
        let here = "$scheme://$http_host".parse::<Template>()?.value(&Variables::new(head, &hop));
        let here = here.as_ref().and_then(|here| here.to_str().ok()).unwrap_or_default();
        if let Some(path) = locations.redirect(target) {
            return Ok(Step::Answer(answer(301, "", "", Some(&format!("{here}{path}")))));
        }
        let found = match locations.find(target) {
            Ok(found) => found,
            Err(NoRoute::Ambiguous) => return Ok(Step::Answer(answer(400, "", "", None))),
            Err(_) => return Ok(Step::Answer(answer(404, "", "", None))),
        };
        let proxy = match found.value {
            Content::Proxy(proxy) => proxy,
            Content::Closed => return Ok(Step::Answer(answer(503, "closed\n", "text/plain", None))),
            Content::Answer { status, text, kind, rules } => {
                let variables = Variables::new(head, &hop).server_name(name);
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
                return Ok(Step::Answer(response));
            }
        };
        let hop = match &proxy.real_ip {
            Some(real_ip) => real_ip.locate(hop, &head.headers),
            None => hop,
        };
        let Some(places) = proxy.admit(&hop) else {
            return Ok(Step::Answer(answer(proxy.crowded, "", "", None)));
        };
        let replaced = proxy.replacement.map(|replacement| found.replace_prefix(replacement, target));
        Ok(match replaced {
            Some(None) => Step::Answer(answer(400, "", "", None)),
            replaced => Step::Ask(Ask { proxy, target: replaced.flatten(), hop, places }),
        })
    }
}

impl Ask<'_> {
    fn destination(&self) -> Destination {
        let destination = Destination::default().header_rules(self.proxy.rules.clone());
        match self.target.clone() {
            Some(target) => destination.target(target),
            None => destination,
        }
    }

    /// Asks for an upgrade, and carries what comes of it. The connection, where that is none of the protocols that pass.
    async fn upgrade(&self, upgrades: &Acceptor, stream: Rewind<AnyStream>, drain: &Drain) -> Result<Option<Rewind<AnyStream>>, Failure> {
        match Box::pin(upgrades.resume(stream, self.hop)).await? {
            Accepted::Upgrade(mut incoming) => {
                incoming.set_header_rules(self.proxy.rules.clone());
                if let Some(target) = self.target.clone() {
                    incoming.set_target(target);
                }
                incoming.proxy_until(&self.proxy.backend, drain.signal()).await?;
                Ok(None)
            }
            Accepted::Ordinary(_, stream) => Ok(Some(stream)),
            _ => Ok(None),
        }
    }
}

/// Serves a connection: ordinary requests as long as they come, and at most one upgrade.
pub(crate) async fn serve(client: AnyStream, hop: Hop, listener: &Listener, drain: &Drain) -> Result<(), Failure> {
    let acceptor = &listener.acceptor;
    let mut accepted = Box::pin(acceptor.accept_until(client, hop, drain.started())).await?;
    while let Accepted::Ordinary(head, mut stream) = accepted {
        let ask = match listener.step(&head, hop)? {
            Step::Answer(response) => return Ok(acceptor.respond(stream, &head, response).await?),
            Step::Ask(ask) => ask,
        };
        if let Some(upgrades) = ask.proxy.upgrades.as_ref().filter(|_| wants_upgrade(&head)) {
            match ask.upgrade(upgrades, stream, drain).await? {
                Some(ordinary) => stream = ordinary,
                None => return Ok(()),
            }
        }
        let relayed = Box::pin(ask.proxy.relay.serve(stream, &head, ask.destination(), ask.hop)).await?;
        let Some(stream) = relayed.stream else {
            return Ok(());
        };
        // It has been answered: it does not count while the connection waits for the next one.
        drop(ask);
        accepted = Box::pin(acceptor.resume_until(stream, hop, drain.started())).await?;
    }
    Ok(())
}

/// What answers the requests of a connection of HTTP/2. They are never upgrades, as in nginx.
#[derive(Clone)]
pub(crate) struct Http2Requests {
    pub(crate) listener: Arc<Listener>,
    pub(crate) hop: Hop,
}

impl Service<Request<RequestBody>> for Http2Requests {
    type Response = Response<ProxyBody>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ProxyBody>, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            if let Err(why) = check_request(&mut head) {
                return Ok(answer(why.status().as_u16(), "", "", None).map(ProxyBody::from));
            }
            let ask = match this.listener.step(&head, this.hop)? {
                Step::Answer(response) => return Ok(response.map(ProxyBody::from)),
                Step::Ask(ask) => ask,
            };
            let response = ask.proxy.relay.respond(Request::from_parts(head, body), ask.destination(), ask.hop).await;
            let places = ask.places;
            // It counts until its body has been sent.
            Ok(response.map(|body| ProxyBody::new(body.map_frame(move |frame| {
                let _held = &places;
                frame
            }))))
        })
    }
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


fn upstreams() -> Result<Upstreams, Failure> {
    let mut upstreams = Upstreams::new();
    let group = Group::builder()
        .server(Server::new("127.201.7.2:9087", AnyConnect::new(TcpConnect::to("127.201.7.2:9087"))).max_fails(0))
        .build();
    upstreams.insert("http://127.201.7.2:9087", group);
    Ok(upstreams)
}

/// `worker_shutdown_timeout`.
const SHUTDOWN: Duration = Duration::from_secs(90);
// test.conf:5: limit_conn_zone $host zone=host:1m is not written here; see tunnel::PeerCap

/// `listen 127.201.7.1:8089`
fn listener_0(shared: &Shared) -> Result<Listener, Failure> {
    let mut servers = Servers::default();

    // test.conf:7: server
    let mut locations = Locations::default();
    // test.conf:9: location /
    let backend = shared.upstreams["http://127.201.7.2:9087"].clone();
    let backend = backend.retry(Retry::default().invalid_heads(false));
    let mut rules = plain_rules("one.example", "127.201.7.2:9087")?;
    rules = rules.remove_on_response("X-Accel-Buffering")?;
    rules = rules.remove_on_response("X-Accel-Charset")?;
    rules = rules.remove_on_response("X-Accel-Expires")?;
    rules = rules.remove_on_response("X-Accel-Limit-Rate")?;
    rules = rules.remove_on_response("X-Accel-Redirect")?;
    rules = rules.remove_on_response("X-Pad")?;
    rules = rules.redirect("http://127.201.7.2:9087/", "/")?;
    let relay = RelayConfig::default()
        .connect_timeout(Duration::from_secs(60))
        .read_timeout(Duration::from_secs(60))
        .send_timeout(Duration::from_secs(60))
        .request_body_timeout(Duration::from_secs(60))
        .max_request_body(1048576)
        .drain(shared.drain.clone())
        .response_limits(HeadLimits::default().max_bytes(65536));
    locations.add(PathPattern::prefix("/")?, Content::Proxy(Box::new(Proxy {
        relay: Relay::through(backend.clone(), relay).forwarding(forwarding()),
        backend,
        replacement: None,
        rules,
        upgrades: None,
        real_ip: None,
        places: vec![shared.zones["each"].clone()],
        crowded: 503,
    })))?;
    // test.conf:10: location /host
    // Closed: limit_conn host 8 (test.conf:10) may keep somebody out.
    locations.add(PathPattern::prefix("/host")?, Content::Closed)?;
    servers.add(["one.example".parse()?], Site { name: "one.example", locations })?;

    // test.conf:12: server
    let mut locations = Locations::default();
    // test.conf:12: location /
    let backend = shared.upstreams["http://127.201.7.2:9087"].clone();
    let backend = backend.retry(Retry::default().invalid_heads(false));
    let mut rules = plain_rules("two.example", "127.201.7.2:9087")?;
    rules = rules.remove_on_response("X-Accel-Buffering")?;
    rules = rules.remove_on_response("X-Accel-Charset")?;
    rules = rules.remove_on_response("X-Accel-Expires")?;
    rules = rules.remove_on_response("X-Accel-Limit-Rate")?;
    rules = rules.remove_on_response("X-Accel-Redirect")?;
    rules = rules.remove_on_response("X-Pad")?;
    rules = rules.redirect("http://127.201.7.2:9087/", "/")?;
    let relay = RelayConfig::default()
        .connect_timeout(Duration::from_secs(60))
        .read_timeout(Duration::from_secs(60))
        .send_timeout(Duration::from_secs(60))
        .request_body_timeout(Duration::from_secs(60))
        .max_request_body(1048576)
        .drain(shared.drain.clone())
        .response_limits(HeadLimits::default().max_bytes(65536));
    locations.add(PathPattern::prefix("/")?, Content::Proxy(Box::new(Proxy {
        relay: Relay::through(backend.clone(), relay).forwarding(forwarding()),
        backend,
        replacement: None,
        rules,
        upgrades: None,
        real_ip: None,
        places: vec![shared.zones["each"].clone()],
        crowded: 503,
    })))?;
    servers.add(["two.example".parse()?], Site { name: "two.example", locations })?;

    let mut certificates: Hosts<Option<TlsServerConfig>> = Hosts::default();
    certificates.add(["one.example".parse()?], Some(TlsServerConfig::from_pem(std::fs::read("old.pem")?, std::fs::read("old.key.pem")?)?.http2()))?;
    certificates.add(["two.example".parse()?], Some(TlsServerConfig::from_pem(std::fs::read("old.pem")?, std::fs::read("old.key.pem")?)?.http2()))?;
    let tls = TlsAcceptor::by_client_hello(move |hello| certificates.find(hello.server_name()).cloned().flatten());

    // As nginx: no WebSockets over HTTP/2.
    let http2 = Http2ServerConfig::default()
        .extended_connect(false)
        .header_timeout(Duration::from_secs(60))
        .idle_timeout(Duration::from_secs(75))
        .send_timeout(Duration::from_secs(60));

    let config = no_upgrades()
        .header_timeout(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(75))
        .send_timeout(Duration::from_secs(60))
        .request_limits(HeadLimits::default().max_bytes(65536));
    Ok(Listener {
        address: "127.201.7.1:8089",
        dual: false,
        announced: None,
        tls: Some(tls),
        http2: Some(Http2Server::new(http2)),
        acceptor: Acceptor::new(config),
        servers,
    })
}

/// `listen 127.201.7.1:8090`
fn listener_1(shared: &Shared) -> Result<Listener, Failure> {
    let mut servers = Servers::default();

    // test.conf:7: server
    // test.conf:4: http2 on, and here HTTP/1.1 where there is no TLS; see http2::Http2Server
    let mut locations = Locations::default();
    // test.conf:9: location /
    let backend = shared.upstreams["http://127.201.7.2:9087"].clone();
    let backend = backend.retry(Retry::default().invalid_heads(false));
    let mut rules = plain_rules("one.example", "127.201.7.2:9087")?;
    rules = rules.remove_on_response("X-Accel-Buffering")?;
    rules = rules.remove_on_response("X-Accel-Charset")?;
    rules = rules.remove_on_response("X-Accel-Expires")?;
    rules = rules.remove_on_response("X-Accel-Limit-Rate")?;
    rules = rules.remove_on_response("X-Accel-Redirect")?;
    rules = rules.remove_on_response("X-Pad")?;
    rules = rules.redirect("http://127.201.7.2:9087/", "/")?;
    let relay = RelayConfig::default()
        .connect_timeout(Duration::from_secs(60))
        .read_timeout(Duration::from_secs(60))
        .send_timeout(Duration::from_secs(60))
        .request_body_timeout(Duration::from_secs(60))
        .max_request_body(1048576)
        .drain(shared.drain.clone())
        .response_limits(HeadLimits::default().max_bytes(65536));
    locations.add(PathPattern::prefix("/")?, Content::Proxy(Box::new(Proxy {
        relay: Relay::through(backend.clone(), relay).forwarding(forwarding()),
        backend,
        replacement: None,
        rules,
        upgrades: None,
        real_ip: None,
        places: vec![shared.zones["each"].clone()],
        crowded: 503,
    })))?;
    // test.conf:10: location /host
    // Closed: limit_conn host 8 (test.conf:10) may keep somebody out.
    locations.add(PathPattern::prefix("/host")?, Content::Closed)?;
    servers.add(["one.example".parse()?], Site { name: "one.example", locations })?;

    let config = no_upgrades()
        .header_timeout(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(75))
        .send_timeout(Duration::from_secs(60))
        .request_limits(HeadLimits::default().max_bytes(65536));
    Ok(Listener {
        address: "127.201.7.1:8090",
        dual: false,
        announced: None,
        tls: None,
        http2: None,
        acceptor: Acceptor::new(config),
        servers,
    })
}

pub(crate) fn listeners(shared: &Shared) -> Result<Vec<Listener>, Failure> {
    Ok(vec![listener_0(shared)?, listener_1(shared)?])
}

pub(crate) fn shared() -> Result<Shared, Failure> {
    Ok(Shared {
        upstreams: upstreams()?,
        tunnels: Cap::unlimited(),
        zones: HashMap::from([("each", PeerCap::new(8))]),
        drain: Drain::new(),
        connections: Cap::unlimited(),
    })
}
