//! What a `Relay` takes of a request's body, for how long it waits for it, how much it says that it has sent, and how it has moved it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::gateway::{Accepted, Acceptor, GatewayConfig};
use switchover::header::Hop;
use switchover::service::{Destination, Relay, RelayConfig};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT};
use switchover::upstream::{Group, Retry, Server, ServerConnector};
use switchover::{Cause, Error, Side};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// What is known of one relayed request when it has ended.
#[derive(Debug)]
struct Reported {
    status: Option<StatusCode>,
    failure: Option<Arc<Error>>,
    bytes_sent: u64,
    body_bytes_sent: u64,
    spliced_from_downstream: u64,
    spliced_from_upstream: u64,
}

/// A client that has sent these bytes, and what the relay that serves one request for it will say.
async fn relaying(
    config: RelayConfig,
    origin: &ScriptedOrigin,
    bytes: impl AsRef<[u8]>,
) -> (ScriptedClient, JoinHandle<Reported>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let destination = Destination::new(origin.address().to_string().parse().unwrap());
    let reported = tokio::spawn(async move {
        let (stream, peer) = listener.accept().await.unwrap();
        let accepted = Acceptor::new(GatewayConfig::default()).accept(stream, peer).await;
        let Ok(Accepted::Ordinary(head, stream)) = accepted else {
            panic!("{accepted:?}")
        };
        let relayed = Relay::new(config)
            .serve(stream, &head, destination, Hop::from(peer))
            .await;
        let relayed = relayed.unwrap();
        Reported {
            status: relayed.status,
            failure: relayed.failure,
            bytes_sent: relayed.bytes_sent,
            body_bytes_sent: relayed.body_bytes_sent,
            spliced_from_downstream: relayed.spliced_from_downstream,
            spliced_from_upstream: relayed.spliced_from_upstream,
        }
    });
    let mut client = ScriptedClient::connect(address)
        .await
        .timeout(Duration::from_secs(30));
    client.send(bytes).await;
    (client, reported)
}

/// Reads a body of five bytes, however it is framed, and answers.
async fn origin() -> ScriptedOrigin {
    let answer = "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nthere";
    ScriptedOrigin::start(Script::new().read_head().read(5).send(answer)).await
}

const FIVE: [&str; 2] = [
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
];

#[tokio::test]
async fn a_body_as_large_as_the_limit_passes() {
    for request in FIVE {
        let origin = origin().await;
        let config = RelayConfig::default().max_request_body(5);
        let (mut client, reported) = relaying(config, &origin, request).await;
        assert_eq!(client.response().await.0.status, 201, "{request}");
        assert!(reported.await.unwrap().failure.is_none());
    }
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_413_and_no_upstream_hears_of_it() {
    let origin = origin().await;
    let config = RelayConfig::default().max_request_body(4);
    let (mut client, reported) = relaying(config, &origin, FIVE[0]).await;
    let (head, body) = client.response().await;
    let text = String::from_utf8(body).unwrap();
    assert_eq!(head.status, 413);
    assert_eq!(head.headers["connection"], "close");
    assert!(text.contains("larger than the limit of 4 bytes"), "{text}");
    client.ends().await;
    drop(client);
    assert_eq!(
        reported.await.unwrap().status,
        Some(StatusCode::PAYLOAD_TOO_LARGE)
    );
    assert_eq!(origin.connections(), 0);
}

/// A client that sends all of its body before it reads has its answer all the same.
#[tokio::test]
async fn a_refusal_is_not_lost_behind_what_the_client_still_sends() {
    const LARGE: usize = 16 << 20;
    let origin = origin().await;
    let config = RelayConfig::default().max_request_body(5);
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
    let request = [head.as_bytes(), &vec![b'x'; LARGE]].concat();
    let (mut client, reported) = relaying(config, &origin, request).await;
    assert_eq!(client.response().await.0.status, 413);
    client.ends().await;
    drop(client);
    assert_eq!(
        reported.await.unwrap().status,
        Some(StatusCode::PAYLOAD_TOO_LARGE)
    );
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn chunks_beyond_the_limit_are_413() {
    let origin = origin().await;
    let config = RelayConfig::default().max_request_body(4);
    let (mut client, reported) = relaying(config, &origin, FIVE[1]).await;
    let (head, body) = client.response().await;
    let text = String::from_utf8(body).unwrap();
    assert_eq!(head.status, 413, "{text}");
    assert!(text.contains("larger than the limit of 4 bytes"), "{text}");
    client.ends().await;
    drop(client);
    let failure = reported.await.unwrap().failure.expect("a failure");
    assert_eq!(failure.side(), switchover::Side::Downstream);
}

#[tokio::test]
async fn a_body_has_a_deadline_of_its_own() {
    let origin = origin().await;
    let config = RelayConfig::default()
        .read_timeout(Duration::from_secs(60))
        .request_body_timeout(Duration::from_millis(100));
    let unfinished = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel";
    let (mut client, reported) = relaying(config, &origin, unfinished).await;
    assert_eq!(client.response().await.0.status, 408);
    assert_eq!(reported.await.unwrap().status, Some(StatusCode::REQUEST_TIMEOUT));
}

/// An upstream that has begun its answer may have to read the rest of the request before it goes on.
#[tokio::test]
async fn a_body_has_its_deadline_behind_an_early_head_too() {
    let early = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
    let unfinished = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello";
    let limit = Duration::from_millis(100);
    for (is_of_body, side) in [(true, Side::Downstream), (false, Side::Upstream)] {
        // Silent behind what it has said.
        let origin = ScriptedOrigin::start(Script::answering(early)).await;
        let config = RelayConfig::default();
        let config = match is_of_body {
            true => config.request_body_timeout(limit),
            false => config.read_timeout(limit),
        };
        let relay = Relay::through(TcpConnect::to(origin.address().to_string()), config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = ScriptedClient::connect(listener.local_addr().unwrap()).await;
        let (stream, peer) = listener.accept().await.unwrap();
        let request = match is_of_body {
            true => unfinished,
            false => "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        };
        client.send(request).await;
        let accepted = Acceptor::new(GatewayConfig::default()).accept(stream, peer).await;
        let Ok(Accepted::Ordinary(head, stream)) = accepted else {
            panic!("an ordinary request");
        };
        let served = relay.serve(stream, &head, Destination::default(), peer.into());
        let error = timeout(TIMEOUT, served).await.unwrap().map(|_| ()).unwrap_err();
        assert_eq!(
            (error.phase().name(), error.side()),
            ("response", side),
            "{error}"
        );
        assert!(
            matches!(error.reason(), Cause::TimedOut(of) if *of == limit),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_bytes_sent_are_those_that_the_client_receives() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nthere\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ];
    let large = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\nX-Large: {}\r\n\r\n{}",
        "x".repeat(40_000),
        "\r\n\r\n".repeat(75_000)
    );
    for answer in answers.into_iter().chain([&*large]) {
        let origin = ScriptedOrigin::start(Script::answering(answer)).await;
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let (mut client, reported) = relaying(RelayConfig::default(), &origin, request).await;
        let received = String::from_utf8(client.rest().await).unwrap();
        drop(client);
        let last_head = received.rfind("HTTP/1.1 ").unwrap();
        let body = received[last_head..].split_once("\r\n\r\n").unwrap().1;
        let reported = reported.await.unwrap();
        assert_eq!(
            (reported.bytes_sent, reported.body_bytes_sent),
            (received.len() as u64, body.len() as u64),
            "{reported:?}"
        );
    }
}

/// How a body is framed: by its length, or in chunks of this size.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunks(usize),
    /// As the answer of a server of HTTP/1.0, by the end of the connection.
    UntilClose,
}

/// The field that announces the body, and the body.
fn framed(framing: Framing, length: usize) -> (String, Vec<u8>) {
    let content: Vec<u8> = (0..length).map(|at| (at / 251) as u8).collect();
    match framing {
        Framing::Length => (format!("Content-Length: {length}\r\n"), content),
        Framing::UntilClose => ("X: 1\r\n".to_owned(), content),
        Framing::Chunks(size) => {
            let mut body = Vec::new();
            for chunk in content.chunks(size) {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            ("Transfer-Encoding: chunked\r\n".to_owned(), body)
        }
    }
}

/// Most of a large body between plain sockets is never in this program's memory; a small one is not worth a pipe.
#[tokio::test]
async fn large_bodies_are_spliced_both_ways() {
    const LARGE: usize = 4 << 20;
    const MIB: usize = 1 << 20;
    for (framing, length, is_spliced) in [
        (Framing::Length, LARGE, true),
        (Framing::Chunks(MIB), LARGE, true),
        (Framing::Chunks(LARGE), LARGE, true),
        (Framing::Length, 32 * 1024, false),
        (Framing::Chunks(1024), MIB, false),
    ] {
        let (field, body) = framed(framing, length);
        let answer = [format!("HTTP/1.1 200 OK\r\n{field}\r\n").as_bytes(), &body].concat();
        let script = Script::new().read_head().read(body.len()).send(answer);
        let origin = ScriptedOrigin::start(script).await;
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n");
        let request = [head.as_bytes(), &body].concat();
        let (mut client, reported) = relaying(RelayConfig::default(), &origin, request).await;
        let (_, received) = client.response().await;
        assert!(received == body, "{framing:?}: the answer arrives as it was sent");
        client.ends().await;
        let sent = origin.connection(0).await.received();
        assert!(
            sent.ends_with(&body),
            "{framing:?}: the request arrives as it was sent"
        );
        drop(client);
        let reported = reported.await.unwrap();
        let is_possible = cfg!(all(target_os = "linux", feature = "splice"));
        for spliced in [reported.spliced_from_downstream, reported.spliced_from_upstream] {
            match is_spliced && is_possible {
                true => assert!(spliced > length as u64 / 2, "{framing:?}: {reported:?}"),
                false => assert_eq!(spliced, 0, "{framing:?}: {reported:?}"),
            }
            assert!(spliced <= length as u64, "{framing:?}: {reported:?}");
        }
    }
}

/// What has no length goes to a client of HTTP/1.0 as it comes, and to one of HTTP/1.1 in chunks that this program writes.
#[tokio::test]
async fn a_body_until_the_end_is_spliced_where_it_is_not_framed_again() {
    const LARGE: usize = 4 << 20;
    for (version, is_spliced) in [("1.0", true), ("1.1", false)] {
        let (field, body) = framed(Framing::UntilClose, LARGE);
        let answer = [format!("HTTP/1.0 200 OK\r\n{field}\r\n").as_bytes(), &body].concat();
        let origin = ScriptedOrigin::start(Script::answering(answer).close()).await;
        let request = format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n");
        let (mut client, reported) = relaying(RelayConfig::default(), &origin, request).await;
        client.response().await;
        drop(client);
        let spliced = reported.await.unwrap().spliced_from_upstream;
        let is_possible = cfg!(all(target_os = "linux", feature = "splice"));
        match is_spliced && is_possible {
            true => assert!(spliced > LARGE as u64 / 2, "{version}: {spliced}"),
            false => assert_eq!(spliced, 0, "{version}"),
        }
    }
}

/// Leads to one upstream in memory.
struct Once(Mutex<Option<DuplexStream>>);

impl Connect for Once {
    type Stream = DuplexStream;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<DuplexStream, ConnectError> {
        Ok(self.0.lock().unwrap().take().expect("one request"))
    }
}

/// Reads up to the end of a head.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// (when the client takes the interim responses, when the upstream answers, what the client gets, and when), in seconds, with 40 for
/// the head of the answer.
#[tokio::test(start_paused = true)]
async fn interim_responses_that_are_taken_late_give_the_answer_no_more_time() {
    for (taken_at, answered_at, status, ended_at) in [
        (0, 50, "504", 40),
        (30, 50, "504", 40),
        (50, 90, "504", 50),
        (30, 39, "200", 39),
        // It was here in time.
        (50, 39, "200", 50),
    ] {
        let (mut client, near_client) = duplex(64);
        let (mut origin, near_origin) = duplex(4096);
        let seconds = Duration::from_secs;
        let start = Instant::now();
        let relayed = tokio::spawn(async move {
            let acceptor = Acceptor::new(GatewayConfig::default());
            let Ok(Accepted::Ordinary(head, stream)) = acceptor.accept(near_client, Hop::unknown()).await
            else {
                panic!("an ordinary request")
            };
            let config = RelayConfig::default().head_timeout(seconds(40));
            let relay = Relay::through(Once(Mutex::new(Some(near_origin))), config);
            let relayed = relay.serve(stream, &head, Destination::default(), Hop::unknown());
            drop(relayed.await);
        });
        let answering = tokio::spawn(async move {
            read_head(&mut origin).await;
            let hints = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(512));
            origin.write_all(hints.as_bytes()).await.unwrap();
            sleep(seconds(answered_at)).await;
            // It may have been given up.
            let _ = origin
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await;
        });
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        sleep(seconds(taken_at)).await;
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 103 "));
        let answer = read_head(&mut client).await;
        let case = format!("taken at {taken_at}, answered at {answered_at}: {answer}");
        assert_eq!(answer.get(9..12), Some(status), "{case}");
        assert_eq!(start.elapsed().as_secs(), ended_at, "{case}");
        drop(client);
        relayed.await.unwrap();
        answering.await.unwrap();
    }
}

/// An upstream that says every ten seconds that it is still there, and reads the body of its request or does not. Says when it is given
/// up.
async fn hinting(mut origin: DuplexStream, reads: bool) -> Instant {
    read_head(&mut origin).await;
    let (mut reading, mut writing) = tokio::io::split(origin);
    let hints = async {
        while writing
            .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            .await
            .is_ok()
        {
            sleep(Duration::from_secs(10)).await;
        }
    };
    let body = async { while reads && reading.read(&mut [0; 1000]).await.is_ok_and(|count| count > 0) {} };
    tokio::join!(hints, body);
    Instant::now()
}

const FORTY: Duration = Duration::from_secs(40);

fn forty() -> RelayConfig {
    RelayConfig::default()
        .request_body_timeout(FORTY)
        .send_timeout(FORTY)
}

/// A client that does not send the rest, and an upstream that does not take it, however fast the interim responses are taken.
#[tokio::test(start_paused = true)]
async fn interim_responses_give_a_request_no_more_time() {
    let part = "hello".to_owned();
    let all = "x".repeat(200_000);
    for (body, reads, status) in [(part, true, "408"), (all, false, "504")] {
        for taken_every in [0, 7, 25] {
            let (client, near_client) = duplex(64);
            let (origin, near_origin) = duplex(4096);
            let start = Instant::now();
            let relayed = tokio::spawn(async move {
                let acceptor = Acceptor::new(GatewayConfig::default());
                let Ok(Accepted::Ordinary(head, stream)) = acceptor.accept(near_client, Hop::unknown()).await
                else {
                    panic!("an ordinary request")
                };
                let relay = Relay::through(Once(Mutex::new(Some(near_origin))), forty());
                let relayed = relay.serve(stream, &head, Destination::default(), Hop::unknown());
                drop(relayed.await);
            });
            let hinting = tokio::spawn(hinting(origin, reads));
            let (mut reading, mut writing) = tokio::io::split(client);
            let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n{body}");
            let sending = tokio::spawn(async move {
                let _ = writing.write_all(request.as_bytes()).await;
                writing
            });
            let answer = loop {
                let head = read_head(&mut reading).await;
                if !head.starts_with("HTTP/1.1 103 ") {
                    break head;
                }
                sleep(Duration::from_secs(taken_every)).await;
            };
            assert_eq!(answer.get(9..12), Some(status), "{taken_every}: {answer}");
            drop((reading, sending));
            relayed.await.unwrap();
            // It notices at its next hint.
            let given_up = (hinting.await.unwrap() - start).as_secs();
            assert!(matches!(given_up, 40 | 50), "{status} {taken_every}: {given_up}");
        }
    }
}

/// The same in a server of hyper's, which has taken the request in.
#[tokio::test(start_paused = true)]
async fn interim_responses_give_a_request_that_is_not_taken_no_more_time() {
    let (origin, near_origin) = duplex(4096);
    let start = Instant::now();
    let hinting = tokio::spawn(hinting(origin, false));
    let relay = Relay::through(Once(Mutex::new(Some(near_origin))), forty());
    let body = http_body_util::Full::new(bytes::Bytes::from(vec![b'x'; 200_000]));
    let request = http::Request::post("/").header("host", "a").body(body).unwrap();
    let answer = relay
        .respond(request, Destination::default(), Hop::unknown())
        .await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(start.elapsed(), FORTY);
    drop((answer, relay));
    hinting.await.unwrap();
}

/// The connections of two servers, in their order.
struct InTurn(Mutex<std::vec::IntoIter<DuplexStream>>);

impl ServerConnector<TcpConnect> for InTurn {
    type Stream = DuplexStream;

    async fn connect(&self, _: &TcpConnect, _: ConnectRequest<'_>) -> Result<DuplexStream, ConnectError> {
        Ok(self.0.lock().unwrap().next().expect("a server for each"))
    }
}

/// The first server's answer is passed over. The second one hints, takes no request, and the client is slow with the hint.
#[tokio::test(start_paused = true)]
async fn nothing_stands_in_the_middle_of_an_interim_response() {
    let (mut client, near_client) = duplex(16);
    let (mut first, near_first) = duplex(4096);
    let (mut second, near_second) = duplex(1024);
    let relayed = tokio::spawn(async move {
        let acceptor = Acceptor::new(GatewayConfig::default());
        let Ok(Accepted::Ordinary(head, stream)) = acceptor.accept(near_client, Hop::unknown()).await else {
            panic!("an ordinary request")
        };
        let servers = ["a:1", "b:1"].map(Server::to);
        let group = servers
            .into_iter()
            .fold(Group::builder(), |group, server| group.server(server));
        let retry = Retry::default().statuses([StatusCode::SERVICE_UNAVAILABLE]);
        let group = group.retry(retry).build();
        let group = group.connect_with(InTurn(Mutex::new(vec![near_first, near_second].into_iter())));
        let relay = Relay::through(group, forty());
        let relayed = relay.serve(stream, &head, Destination::default(), Hop::unknown());
        drop(relayed.await);
    });
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(2000));
    client.write_all(request.as_bytes()).await.unwrap();
    read_head(&mut first).await;
    let later = b"HTTP/1.1 503 x\r\nContent-Length: 5\r\n\r\nlater";
    first.write_all(later).await.unwrap();
    let hints = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(100));
    // Who speaks before it is asked anything is not asked.
    second.read_u8().await.unwrap();
    second.write_all(hints.as_bytes()).await.unwrap();
    // The request has not been sent in time.
    sleep(FORTY + Duration::from_secs(1)).await;
    assert_eq!(read_head(&mut client).await, hints);
    let answer = read_head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    drop(client);
    relayed.await.unwrap();
}
