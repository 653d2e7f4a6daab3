//! The taking back of a socket from hyper, for those who use the rules and the tunnel alone.

use std::convert::Infallible;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use support::bounded::within;
use switchover::Tunnel;
use switchover::service::take_back;
use switchover::test_util::{ScriptedClient, UPGRADE_REQUEST};
use switchover::tunnel::{AnyStream, Rewind};
use tokio::io::{AsyncRead, AsyncWrite, duplex, split};
use tokio::sync::mpsc;

use crate::servers::Mounted;

/// Answers 101, and tunnels to an echo. Sends whether the stream was taken back, and whether it is a plain socket.
async fn answer(
    request: http::Request<Incoming>,
    taken: mpsc::UnboundedSender<(bool, bool)>,
) -> Result<Response<String>, Infallible> {
    let on_upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let client = take_back(on_upgrade.await.unwrap());
        taken.send((client.taken_back, client.stream.is_plain())).unwrap();
        let (upstream, echo) = duplex(64);
        tokio::spawn(async move {
            let (mut read, mut write) = split(echo);
            tokio::io::copy(&mut read, &mut write).await
        });
        Tunnel::new(Rewind::new(client.stream, client.read), upstream)
            .run()
            .await
    });
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response
        .headers_mut()
        .insert("connection", "upgrade".parse().unwrap());
    response
        .headers_mut()
        .insert("upgrade", "websocket".parse().unwrap());
    Ok(response)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    is_auto: bool,
    taken: mpsc::UnboundedSender<(bool, bool)>,
) {
    let service = service_fn(|request| answer(request, taken.clone()));
    let io = TokioIo::new(stream);
    if is_auto {
        let builder = auto::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection_with_upgrades(io, service).await;
    } else {
        let builder = hyper::server::conn::http1::Builder::new();
        let _ = builder.serve_connection(io, service).with_upgrades().await;
    }
}

/// A stream whose type the crate cannot know.
fn unknown(stream: tokio::net::TcpStream) -> impl AsyncRead + AsyncWrite + Unpin + Send + 'static {
    let (read, write) = stream.into_split();
    tokio::io::join(read, write)
}

#[tokio::test]
async fn what_is_known_is_taken_back_with_the_bytes_that_were_read() {
    for is_auto in [false, true] {
        for (kind, expected) in [
            ("socket", (true, true)),
            ("any", (true, true)),
            ("unknown", (false, false)),
        ] {
            let (sender, mut taken) = mpsc::unbounded_channel();
            let mounted = Mounted::serving(move |stream| {
                let sender = sender.clone();
                async move {
                    match kind {
                        "socket" => serve(stream, is_auto, sender).await,
                        "any" => serve(AnyStream::from(stream), is_auto, sender).await,
                        _ => serve(unknown(stream), is_auto, sender).await,
                    }
                }
            })
            .await;
            let mut client = ScriptedClient::connect(mounted.address).await;
            client.send(format!("{UPGRADE_REQUEST}early")).await;
            assert_eq!(client.head().await.status, 101);
            client.receives(b"early").await;
            client.send("late").await;
            client.receives(b"late").await;
            let taken = within("a stream to be taken back", taken.recv()).await;
            assert_eq!(taken, Some(expected), "{kind}, auto: {is_auto}");
            client.end_writes().await;
            client.ends().await;
        }
    }
}
