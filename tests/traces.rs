//! What the owner of a door can know of each request, for a log: by a `Trace`, by the listeners of a service, and by the
//! names of reasons.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use http::StatusCode;
use support::bounded::within;
use switchover::connect::{AttemptOutcome, ConnectError, Trace};
use switchover::gateway::{Accepted, Acceptor, GatewayConfig, Negotiated};
use switchover::handshake::{BadSwitch, Rejection};
use switchover::header::{ForwardedRules, Forwarding, Hop, TrustedProxies};
use switchover::http1::HeadError;
use switchover::service::{Destination, Relay, RelayConfig, Relayed, ReverseProxy, ServiceConfig};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::tunnel::End;
use switchover::upstream::{Group, Server};
use switchover::{Cause, Connect, Error, Phase, Side, TcpConnect};
use tokio::net::{TcpListener, TcpStream};

const PEER: &str = "192.0.2.1:5000";

fn peer() -> Hop {
    PEER.parse::<SocketAddr>().unwrap().into()
}

/// An address at which nobody listens.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// A client that has sent these bytes, and its connection as a gateway has accepted it.
async fn connected(bytes: impl AsRef<[u8]>) -> (ScriptedClient, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = ScriptedClient::connect(listener.local_addr().unwrap()).await;
    client.send(bytes).await;
    (client, listener.accept().await.unwrap().0)
}

/// What is reported of each attempt: the name, the outcome, the reason.
fn tries(trace: &Trace) -> Vec<(Option<String>, Option<AttemptOutcome>, Option<&'static str>)> {
    let tries = trace.attempts().into_iter();
    tries
        .map(|tried| (tried.upstream, tried.outcome, tried.reason))
        .collect()
}

/// Negotiates an upgrade. Returns what it came to, what was written down, and what the client has got.
async fn negotiated<C: Connect + 'static>(
    config: GatewayConfig,
    connect: C,
    request: String,
) -> (Result<Negotiated<TcpStream, C::Stream>, Error>, Trace, Vec<u8>) {
    let (mut client, stream) = connected(request).await;
    let acceptor = Acceptor::new(config);
    let Ok(Accepted::Upgrade(mut incoming)) = acceptor.accept(stream, peer()).await else {
        panic!("an upgrade");
    };
    let trace = Trace::new();
    incoming.set_trace(trace.clone());
    let negotiating = tokio::spawn(async move {
        let negotiated = incoming.negotiate(&connect).await;
        match negotiated {
            // Its end is what the client waits for.
            Ok(Negotiated::Switched(established)) => drop(established),
            other => return other,
        }
        Ok(Negotiated::Declined(StatusCode::SWITCHING_PROTOCOLS))
    });
    let mut received = Vec::new();
    let _ = within(
        "the end",
        tokio::io::AsyncReadExt::read_to_end(client.stream(), &mut received),
    )
    .await;
    drop(client);
    (negotiating.await.unwrap(), trace, received)
}

#[tokio::test]
async fn a_switch_after_interim_responses_through_a_connector_without_names() {
    let script = Script::new()
        .read_head()
        .send("HTTP/1.1 103 x\r\nLink: </a>\r\n\r\n")
        .switch();
    let origin = ScriptedOrigin::start(script.close()).await;
    let connect = TcpConnect::to(origin.address().to_string());
    let (_, trace, received) = negotiated(GatewayConfig::default(), connect, UPGRADE_REQUEST.into()).await;
    let answered = AttemptOutcome::Answered(StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(tries(&trace), [(None, Some(answered), None)]);
    let tried = trace.attempts().remove(0);
    assert!(
        tried.connected_after.is_some() && tried.connected_after <= tried.took,
        "{tried:?}"
    );
    assert_eq!(trace.status(), Some(StatusCode::SWITCHING_PROTOCOLS));
    assert_eq!(
        (trace.bytes_sent(), trace.body_bytes_sent()),
        (received.len() as u64, 0)
    );
}

#[tokio::test]
async fn every_server_of_a_group_by_its_name_and_the_client_behind_trusted_proxies() {
    let refusing = nobody().await.to_string();
    let talking = ScriptedOrigin::start(Script::new().send("220 hello\r\n")).await;
    let good = ScriptedOrigin::start(Script::websocket_echo()).await;
    let (talks, answers) = (talking.address().to_string(), good.address().to_string());
    let group = Group::of([
        Server::to(&refusing),
        Server::new("the one that talks first", TcpConnect::to(&talks)),
        Server::to(&answers),
    ]);
    let trusted = TrustedProxies::new(["192.0.2.0/24".parse().unwrap()]);
    let forwarding = Forwarding::default().forwarded(ForwardedRules::default().trusted(trusted));
    let request = UPGRADE_REQUEST.replacen("Host", "X-Forwarded-For: 198.51.100.7\r\nHost", 1);
    let config = GatewayConfig::default().forwarding(forwarding);
    let (_, trace, _) = negotiated(config, group, request).await;
    let expected = [
        (Some(refusing), Some(AttemptOutcome::Failed), Some("refused")),
        (
            Some("the one that talks first".to_owned()),
            Some(AttemptOutcome::Invalid),
            Some("talks-first"),
        ),
        (
            Some(answers),
            Some(AttemptOutcome::Answered(StatusCode::SWITCHING_PROTOCOLS)),
            None,
        ),
    ];
    // It may have said so before it was looked at, or afterwards.
    let mut reported = tries(&trace);
    if reported[1].2 != Some("talks-first") {
        reported[1] = expected[1].clone();
    }
    assert_eq!(reported, expected);
    let detail = trace.attempts().remove(0).detail.unwrap();
    assert!(detail.contains("Connection refused"), "{detail}");
    let hop = trace.hop().unwrap();
    assert_eq!(hop.peer().unwrap().to_string(), "192.0.2.1");
    assert_eq!(hop.client().unwrap().to_string(), "198.51.100.7");
}

#[tokio::test]
async fn nobody_to_ask_is_no_try() {
    let group: Group<TcpConnect> = Group::of([]);
    let (result, trace, received) = negotiated(GatewayConfig::default(), group, UPGRADE_REQUEST.into()).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.reason().name(), error.phase().name()),
        ("no-upstream", "connect")
    );
    assert_eq!(tries(&trace), []);
    assert_eq!(trace.status(), Some(StatusCode::BAD_GATEWAY));
    assert_eq!(trace.bytes_sent(), received.len() as u64);
}

#[tokio::test]
async fn what_a_declined_upgrade_has_sent_also_where_it_breaks_off() {
    for (answer, body) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhello", 5),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 500\r\n\r\nhello", 5),
        (
            "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            15,
        ),
    ] {
        let origin = ScriptedOrigin::start(Script::answering(answer).close()).await;
        let connect = TcpConnect::to(origin.address().to_string());
        let (result, trace, _) = negotiated(GatewayConfig::default(), connect, UPGRADE_REQUEST.into()).await;
        assert_eq!(result.is_err(), answer.contains("500"), "{answer}");
        let sent = answer.len() + "Connection: close\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n".len();
        assert_eq!(trace.status(), Some(StatusCode::FORBIDDEN));
        assert_eq!(
            (trace.bytes_sent(), trace.body_bytes_sent()),
            (sent as u64, body),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_refused_request_still_has_its_head() {
    let acceptor = Acceptor::new(GatewayConfig::default());
    for (request, target) in [
        (
            UPGRADE_REQUEST.replacen("Version: 13", "Version: 12", 1),
            Some("/chat"),
        ),
        (UPGRADE_REQUEST.replacen("HTTP/1.1\r\n", "HTTP/1.1\n", 1), None),
    ] {
        let (client, stream) = connected(request).await;
        drop(client);
        let Ok(Accepted::Rejected(_, head)) = acceptor.accept(stream, peer()).await else {
            panic!("a refusal");
        };
        assert_eq!(head.map(|head| head.uri.to_string()).as_deref(), target);
    }
}

/// Relays one ordinary request, and says what was written down.
async fn relayed(
    config: RelayConfig,
    upstream: SocketAddr,
    request: &str,
) -> (Result<Relayed<TcpStream>, Error>, Trace) {
    let (mut client, stream) = connected(request).await;
    let Ok(Accepted::Ordinary(head, stream)) = Acceptor::new(GatewayConfig::default())
        .accept(stream, peer())
        .await
    else {
        panic!("an ordinary request");
    };
    let trace = Trace::new();
    let destination = Destination::new(upstream.to_string().parse().unwrap()).trace(trace.clone());
    let relaying = tokio::spawn(async move {
        let relay = Relay::new(config);
        relay.serve(stream, &head, destination, peer()).await
    });
    client.head().await;
    client.end_writes().await;
    (relaying.await.unwrap(), trace)
}

#[tokio::test]
async fn a_relayed_answer_that_breaks_off_and_one_of_the_proxys_own() {
    let cut_short = "HTTP/1.1 200 x\r\nContent-Length: 10\r\n\r\nfour";
    let origin = ScriptedOrigin::start(Script::answering(cut_short).close()).await;
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (result, trace) = relayed(RelayConfig::default(), origin.address(), get).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.side(), error.phase(), error.reason().name()),
        (Side::Upstream, Phase::Response, "closed")
    );
    assert_eq!(
        (trace.status(), trace.body_bytes_sent()),
        (Some(StatusCode::OK), 4)
    );
    let name = Some(origin.address().to_string());
    assert_eq!(
        tries(&trace),
        [(name, Some(AttemptOutcome::Answered(StatusCode::OK)), None)]
    );

    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let config = RelayConfig::default().max_request_body(4);
    let (result, trace) = relayed(config, origin.address(), post).await;
    let relayed = result.unwrap();
    assert_eq!(relayed.rejection, Some(Rejection::BodyTooLarge { limit: 4 }));
    assert!(relayed.failure.is_none());
    assert_eq!(
        (trace.status(), trace.attempts().len()),
        (Some(StatusCode::PAYLOAD_TOO_LARGE), 0)
    );
    assert_eq!(trace.bytes_sent(), relayed.bytes_sent);
}

/// What a layer around a service knows its request by.
#[derive(Clone, Debug, PartialEq)]
struct Number(u32);

#[tokio::test]
async fn a_service_tells_of_a_tunnel_what_the_layer_around_it_knows_it_by() {
    let (sender, reported) = mpsc::channel();
    let (starts, ends, traces) = (sender.clone(), sender.clone(), sender);
    let config = ServiceConfig::default()
        .hop(|_| peer())
        .on_start(move |started| {
            let number = started.extensions.get::<Number>();
            let _ = starts.send(format!(
                "start {} {:?} {}",
                started.protocol, number, started.taken_back
            ));
        })
        .on_end(move |ended| {
            let number = ended.extensions.get::<Number>();
            let _ = ends.send(format!("end {:?} {}", number, ended.result.unwrap().end().name()));
        });
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let refusing = nobody().await.to_string();
    let group = Group::of([Server::to(&refusing), Server::to(origin.address().to_string())]);
    let layer = from_fn(move |mut request: Request, next: Next| {
        let traces = traces.clone();
        async move {
            let trace = Trace::new();
            request.extensions_mut().insert(trace.clone());
            request.extensions_mut().insert(Number(7));
            let response = next.run(request).await;
            let outcomes = trace
                .attempts()
                .into_iter()
                .map(|tried| tried.outcome.unwrap().name());
            let outcomes = outcomes.collect::<Vec<_>>().join(", ");
            let client = trace.hop().unwrap().client().unwrap();
            let _ = traces.send(format!("{} {outcomes} {client}", response.status().as_u16()));
            response
        }
    });
    let app: Router = Router::new()
        .fallback_service(ReverseProxy::new(group).config(config))
        .layer(layer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });

    let mut client = ScriptedClient::connect(address).await;
    client.send(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client.end_writes().await;
    client.ends().await;
    let mut ordinary = ScriptedClient::connect(address).await;
    ordinary.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    let reported = tokio::task::spawn_blocking(move || {
        let next = || reported.recv_timeout(TIMEOUT).expect("a report");
        [next(), next(), next()]
    });
    let expected = [
        "101 failed, answered 192.0.2.1",
        "start websocket Some(Number(7)) true",
        "end Some(Number(7)) closed",
    ];
    assert_eq!(reported.await.unwrap(), expected);
    serving.abort();
}

#[tokio::test]
async fn an_ordinary_request_to_a_service_is_traced_too() {
    let answer = "HTTP/1.1 204 x\r\n\r\n";
    let origin = ScriptedOrigin::start(Script::answering(answer)).await;
    let name = origin.address().to_string();
    let relay = Relay::through(Group::of([Server::to(&name)]), RelayConfig::default());
    let trace = Trace::new();
    let request = http::Request::get("/")
        .header("host", "a")
        .extension(trace.clone());
    let request = request
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = relay.respond(request, Destination::default(), peer()).await;
    assert_eq!(response.status(), 204);
    assert_eq!(
        tries(&trace),
        [(
            Some(name),
            Some(AttemptOutcome::Answered(StatusCode::NO_CONTENT)),
            None
        )]
    );
    assert_eq!(trace.bytes_sent(), 0, "hyper's server would write it");
}

/// They stand in the queries of other people's logs.
#[test]
fn names_of_reasons_stay_what_they_are() {
    let io = |kind: io::ErrorKind| io::Error::from(kind);
    let failed = |kind| ConnectError::Failed {
        name: "a".to_owned(),
        error: io(kind),
    };
    let names = [
        (Rejection::HeadTimeout.name(), "head-timeout"),
        (Rejection::Head(HeadError::StartLine).name(), "status-line"),
        (
            Rejection::Head(HeadError::TooLarge { limit: 1 }).name(),
            "head-too-large",
        ),
        (Rejection::HandshakeInHttp10.name(), "handshake-in-http10"),
        (Rejection::UpgradeMissing.name(), "upgrade-missing"),
        (Rejection::OriginNotAllowed.name(), "origin-not-allowed"),
        (Rejection::SubprotocolNotAllowed.name(), "subprotocol-not-allowed"),
        (Rejection::NoRoute.name(), "no-route"),
        (Rejection::PeerLimit.name(), "peer-limit"),
        (Rejection::Draining.name(), "draining"),
        (BadSwitch::AcceptWrong.name(), "switch-accept-wrong"),
        (BadSwitch::Success.name(), "success-without-switch"),
        (failed(io::ErrorKind::ConnectionRefused).name(), "refused"),
        (failed(io::ErrorKind::TimedOut).name(), "timed-out"),
        (failed(io::ErrorKind::HostUnreachable).name(), "unreachable"),
        (ConnectError::Full.name(), "full"),
        (Cause::Io(io(io::ErrorKind::ConnectionReset)).name(), "reset"),
        (Cause::Io(io(io::ErrorKind::BrokenPipe)).name(), "reset"),
        (Cause::Io(io(io::ErrorKind::Other)).name(), "io"),
        (Cause::TimedOut(Duration::ZERO).name(), "timed-out"),
        (Cause::Closed.name(), "closed"),
        (Cause::Switch(BadSwitch::Connection).name(), "switch-connection"),
        (Cause::Connect(ConnectError::NoUpstream).name(), "no-upstream"),
        (Phase::ResponseHead.name(), "response-head"),
        (AttemptOutcome::GivenUp.name(), "given-up"),
        (End::Idle.name(), "idle"),
        (End::WriteTimeout { side: Side::Upstream }.name(), "write-timeout"),
    ];
    for (name, expected) in names {
        assert_eq!(name, expected);
    }
    assert_eq!(
        End::WriteTimeout { side: Side::Upstream }.side(),
        Some(Side::Upstream)
    );
    assert_eq!(End::Drained.side(), None);
}
