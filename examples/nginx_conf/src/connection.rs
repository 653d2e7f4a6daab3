//! A client's connection to its end: ordinary requests as long as they come, and at most one upgrade.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use switchover::gateway::{Accepted, Carrying};
use switchover::handshake::Rejection;
use switchover::header::Hop;
use switchover::tunnel::{AnyStream, Counted, Draining, Rewind};

use super::opening;
use super::request::Request;
use super::story::Story;
use super::worker::Worker;

/// What has become of a request.
pub(crate) enum Served {
    /// The connection can carry another.
    Next(Rewind<AnyStream>),
    /// Both sides have agreed; the tunnel is yet to run.
    Tunnel(Box<Tunnel>),
    Ended,
}

/// A tunnel that is about to run, and what there will be to tell of it, if anyone wants to know.
pub(crate) struct Tunnel {
    pub(crate) carrying: Carrying<AnyStream, Counted<AnyStream>, Draining>,
    pub(crate) story: Option<Story>,
}

/// Serves a connection.
///
/// A future is as large as its largest state, so everything up to the tunnel is boxed, and gone before the tunnel runs.
pub(crate) fn serve(
    stream: AnyStream,
    hop: Hop,
    index: usize,
    worker: Arc<Worker>,
) -> impl Future<Output = ()> + Send {
    let requests = Box::pin(requests(stream, hop, index, worker.clone()));
    async move {
        let Some(tunnel) = requests.await else {
            return;
        };
        let Tunnel { carrying, story } = *tunnel;
        let ended = pin!(carrying).await;
        if let Some(story) = story {
            story.of_tunnel(&worker, ended);
        }
    }
}

/// Everything that comes before a tunnel. None if the connection has ended without one.
async fn requests(stream: AnyStream, hop: Hop, index: usize, worker: Arc<Worker>) -> Option<Box<Tunnel>> {
    let (listener, drain) = (worker.listener(index), &worker.drain);
    // Boxed, as all that is gone before the request is read.
    let opened = Box::pin(opening::opened(stream, hop, listener, drain)).await?;
    let (hop, proxied) = (opened.hop, opened.proxied);
    let mut accepted = match opened.stream.front().is_empty() {
        true => {
            let (stream, _) = opened.stream.into_parts();
            listener.acceptor.accept_until(stream, hop, drain.started()).await
        }
        // A request has begun already.
        false => {
            let stream = opened.stream;
            listener.acceptor.resume_until(stream, hop, drain.started()).await
        }
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
                told(hop, format!("{} {why}. {}", why.status(), why.hint()));
                return None;
            }
            Ok(Accepted::Closed) => return None,
            Err(why) => {
                told(hop, format!("{} {}: {why}", why.side(), why.phase()));
                return None;
            }
        };
        let request = Request::new(head, hop, proxied, listener, &worker);
        match Box::pin(request.serve(stream)).await {
            Served::Next(stream) => {
                accepted = listener.acceptor.resume_until(stream, hop, drain.started()).await;
            }
            Served::Tunnel(tunnel) => return Some(tunnel),
            Served::Ended => return None,
        }
    }
}

/// The log of errors: what was refused here, and what has failed.
pub(crate) fn told(hop: Hop, what: String) {
    match hop.peer() {
        Some(peer) => eprintln!("{peer} {what}"),
        None => eprintln!("- {what}"),
    }
}
