//! Streams that take bytes and hold them back until they are flushed, as a buffered stream does, or one that speaks TLS where its peer
//! takes nothing: nothing that somebody waits for stays there, and no flush is waited for without a deadline.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
use switchover::header::Hop;
use switchover::http1::RequestHead;
use switchover::service::{Destination, ProxyBody, Relay, RelayConfig, answer_one};
use switchover::test_util::fault::{Faults, FaultyStream};
use switchover::test_util::{Script, ScriptedOrigin, TIMEOUT};
use switchover::tunnel::Rewind;
use switchover::{Error, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

type HeldBack = FaultyStream<DuplexStream>;

const LIMIT: Duration = Duration::from_secs(5);
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

/// A pipe with room for so many bytes, one end of which holds all back until it is flushed.
fn held_back(room: usize) -> (DuplexStream, HeldBack) {
    let (near, far) = duplex(room);
    (
        near,
        FaultyStream::new(far).faults(Faults::none().hold_until_flush()),
    )
}

/// A stream on which a client has sent this request.
async fn accepted(stream: HeldBack, request: String) -> (Box<RequestHead>, Rewind<HeldBack>) {
    let acceptor = Acceptor::new(GatewayConfig::default());
    let accepted = acceptor.resume(Rewind::new(stream, request.into()), PEER).await;
    match accepted {
        Ok(Accepted::Ordinary(head, stream)) => (head, stream),
        other => panic!("{other:?}"),
    }
}

/// Which part of the crate answers the client.
#[derive(Clone, Copy, Debug)]
enum Door {
    Serve,
    AnswerOne,
}

const DOORS: [Door; 2] = [Door::Serve, Door::AnswerOne];

impl Door {
    /// Relays the request to an origin. By `answer_one`, one to nowhere has an answer of the caller's own.
    async fn answer(
        self,
        (head, stream): (Box<RequestHead>, Rewind<HeldBack>),
        config: RelayConfig,
        origin: Option<SocketAddr>,
    ) -> Result<(), Error> {
        let authority = origin.unwrap_or(PEER).to_string().parse().unwrap();
        let to = Destination::new(authority);
        let relay = Relay::new(config.clone());
        match self {
            Door::Serve => {
                let served = relay.serve(stream, &head, to, Hop::from(PEER)).await;
                served.map(drop)
            }
            Door::AnswerOne => {
                let answered = answer_one(stream, &head, &config, |request| async move {
                    match origin {
                        Some(_) => relay.respond(request, to, PEER.into()).await,
                        None => Response::new(ProxyBody::from("own".to_owned())),
                    }
                });
                answered.await.map(drop)
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_an_own_answer_has_the_send_timeout() {
    for door in DOORS {
        let (_client, stream) = held_back(16);
        let request = "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n".to_owned();
        let accepted = accepted(stream, request).await;
        let config = RelayConfig::default().send_timeout(LIMIT);
        let answered = timeout(2 * LIMIT, door.answer(accepted, config, None)).await;
        let error = answered
            .unwrap_or_else(|_| panic!("no end of {door:?}"))
            .unwrap_err();
        assert_eq!(error.side(), Side::Downstream, "{door:?}");
    }
}

#[tokio::test]
async fn a_client_receives_interim_responses_at_once() {
    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    for door in DOORS {
        for (fields, sent, status) in [
            ("", HINTS, "HTTP/1.1 103"),
            ("Expect: 100-continue\r\n", "", "HTTP/1.1 100"),
        ] {
            let script = Script::new().read_head().send(sent).read(2).send(OK);
            let origin = ScriptedOrigin::start(script).await;
            let (mut client, stream) = held_back(4096);
            let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n{fields}\r\n");
            let accepted = accepted(stream, request).await;
            let address = origin.address();
            let answering = door.answer(accepted, RelayConfig::default(), Some(address));
            let asking = async {
                let mut start = vec![0; status.len()];
                let read = timeout(TIMEOUT, client.read_exact(&mut start)).await;
                read.unwrap_or_else(|_| panic!("no {status} of {door:?}"))
                    .unwrap();
                assert_eq!(String::from_utf8_lossy(&start), status, "{door:?}");
                client.write_all(b"ho").await.unwrap();
                let mut rest = String::new();
                timeout(TIMEOUT, client.read_to_string(&mut rest))
                    .await
                    .unwrap()
                    .unwrap();
                assert!(rest.ends_with("hi"), "{door:?}: {rest}");
            };
            let (answered, ()) = tokio::join!(answering, asking);
            answered.unwrap();
        }
    }
}

/// Upstreams that take a few bytes and no more.
#[derive(Default)]
struct Upstreams(Mutex<Vec<DuplexStream>>);

impl Connect for Upstreams {
    type Stream = HeldBack;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<HeldBack, ConnectError> {
        let (upstream, stream) = held_back(16);
        self.0.lock().unwrap().push(upstream);
        Ok(stream)
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_takes_nothing_of_a_whole_request_has_the_send_timeout() {
    for body in ["", "content"] {
        let config = RelayConfig::default().send_timeout(LIMIT).read_timeout(LIMIT);
        let relay = Relay::through(Upstreams::default(), config);
        let request = Request::post("/").header("Host", "a");
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let answering = relay.respond(request, Destination::default(), PEER.into());
        let answered = timeout(3 * LIMIT, answering).await;
        let response = answered.unwrap_or_else(|_| panic!("no end with {body:?}"));
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT, "{body:?}");
    }
}
