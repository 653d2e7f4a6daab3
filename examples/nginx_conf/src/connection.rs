//! A client's connection to its end: ordinary requests as long as they come, and at most one upgrade.

use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::Arc;

use switchover::gateway::{Accepted, Carrying};
use switchover::handshake::Rejection;
use switchover::header::Hop;
use switchover::tunnel::{AnyStream, Counted, Drain, DrainSignal, Rewind};
use tokio::io::AsyncReadExt;

use super::http2;
use super::limiting::Place;
use super::opening::{self, Facts, Opened};
use super::refused::Refusing;
use super::request::Request;
use super::server::Listener;
use super::worker::Worker;

/// What has become of a request.
pub(crate) enum Served {
    /// The connection can carry another.
    Next(Rewind<AnyStream>),
    /// Both sides have agreed; the tunnel is yet to run.
    Tunnel(Box<Tunnel>),
    Ended,
}

/// A tunnel that is about to run, and what there will be to report of it, if anyone wants to know.
pub(crate) struct Tunnel {
    pub(crate) carrying: Carrying<AnyStream, Counted<AnyStream>, DrainSignal>,
    pub(crate) request: Option<Box<Request>>,
    /// It counts for `limit_conn` as long as it is open.
    pub(crate) places: Vec<Place>,
}

/// Serves a connection.
///
/// A future is as large as its largest state, so everything up to the tunnel is boxed, and gone before the tunnel runs.
pub(crate) fn serve(
    stream: AnyStream,
    hop: Hop,
    server: Option<std::net::IpAddr>,
    index: usize,
    worker: Arc<Worker>,
) -> impl Future<Output = ()> + Send {
    let requests = Box::pin(requests(stream, hop, server, index, worker));
    async move {
        let Some(tunnel) = requests.await else {
            return;
        };
        let Tunnel {
            carrying,
            request,
            places,
        } = *tunnel;
        let ended = pin!(carrying).await;
        drop(places);
        if let Some(request) = request {
            request.tunnel_ended(ended);
        }
    }
}

/// Everything that comes before a tunnel. None if the connection has ended without one.
async fn requests(
    stream: AnyStream,
    hop: Hop,
    server: Option<std::net::IpAddr>,
    index: usize,
    worker: Arc<Worker>,
) -> Option<Box<Tunnel>> {
    let (listener, drain) = (worker.listener(index), &worker.drain);
    // Boxed, as all that is gone before the request is read.
    let opened = Box::pin(opening::opened(stream, hop, listener, drain)).await?;
    let (hop, proxied) = (opened.hop, opened.proxied);
    let mut facts = Facts {
        number: worker.next_connection(),
        requests: 0,
        port: hop.client_port(),
        server,
        tls: opened.tls.clone(),
        lacks_tls: opened.lacks_tls,
    };
    let is_http2 = match &facts.tls {
        Some(tls) => tls.is_http2,
        None => false,
    };
    if is_http2 {
        Box::pin(http2::serve(opened, facts, index, worker)).await;
        return None;
    }
    let stream = match listener.is_http2 && facts.tls.is_none() && !facts.lacks_tls {
        false => opened.stream,
        // Without TLS, who speaks HTTP/2 begins with its preface.
        true => match Box::pin(preface(opened, listener, drain)).await? {
            Spoken::Http1(stream) => stream,
            Spoken::Http2(opened) => {
                Box::pin(http2::serve(opened, facts, index, worker)).await;
                return None;
            }
        },
    };
    let refusing = Refusing {
        worker: worker.clone(),
        facts: Arc::new(facts.clone()),
        hop,
        proxied,
        index,
    };
    let acceptor = listener.acceptor.clone();
    let acceptor = acceptor.on_rejection(move |why, head, response| refusing.answer(why, head, response));
    let mut accepted = match stream.front().is_empty() {
        true => {
            let (stream, _) = stream.into_parts();
            acceptor.accept_until(stream, hop, drain.started()).await
        }
        // A request has begun already.
        false => acceptor.resume_until(stream, hop, drain.started()).await,
    };
    loop {
        let (head, stream) = match accepted {
            Ok(Accepted::Ordinary(head, stream)) => (head, stream),
            // The listener lets no upgrade through by itself: its location decides.
            Ok(Accepted::Upgrade(incoming)) => {
                let _ = incoming.reject(Rejection::NoRoute).await;
                return None;
            }
            Ok(Accepted::Rejected(why, _)) => {
                report(hop, format!("{} {why}. {}", why.status(), why.hint()));
                return None;
            }
            Ok(Accepted::Closed) => return None,
            Err(why) => {
                report(hop, format!("{} {}: {why}", why.side(), why.phase()));
                return None;
            }
        };
        facts.requests += 1;
        let request = Request::new(
            Box::new(head.into_parts()),
            hop,
            proxied,
            Arc::new(facts.clone()),
            index,
            worker.clone(),
        );
        match Box::pin(request.serve(stream)).await {
            Served::Next(stream) => {
                accepted = acceptor.resume_until(stream, hop, drain.started()).await;
            }
            Served::Tunnel(tunnel) => return Some(tunnel),
            Served::Ended => return None,
        }
    }
}

enum Spoken {
    Http1(Rewind<AnyStream>),
    Http2(Opened),
}

/// What a client speaks that has said nothing yet. None of one that does not say it in time, or not before the drain.
async fn preface(opened: Opened, listener: &Listener, drain: &Drain) -> Option<Spoken> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let Opened {
        tls,
        stream,
        hop,
        proxied,
        lacks_tls,
    } = opened;
    let (mut stream, front) = stream.into_parts();
    let mut read = front.to_vec();
    let reading = async {
        while read.len() < PREFACE.len() && PREFACE.starts_with(&read) {
            let mut more = [0; PREFACE.len()];
            let room = PREFACE.len() - read.len();
            match stream.read(&mut more[..room]).await {
                Ok(count @ 1..) => read.extend_from_slice(&more[..count]),
                _ => return None,
            }
        }
        Some(())
    };
    tokio::select! {
        biased;
        is_read = tokio::time::timeout(listener.header_timeout, reading) => is_read.ok()??,
        () = drain.started() => return None,
    }
    let is_http2 = read == PREFACE;
    let stream = Rewind::new(stream, read.into());
    Some(match is_http2 {
        false => Spoken::Http1(stream),
        true => Spoken::Http2(Opened {
            tls,
            stream,
            hop,
            proxied,
            lacks_tls,
        }),
    })
}

/// The log of errors: what was refused here, and what has failed. Nobody has to read it.
pub(crate) fn report(hop: Hop, what: String) {
    let peer = hop.peer().map_or_else(|| "-".to_owned(), |peer| peer.to_string());
    let _ = writeln!(std::io::stderr(), "{peer} {what}");
}
