//! One worker of the gateway: a thread with its own runtime, its own listening sockets, its own pool of upstream
//! connections.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use switchover::Error;
use switchover::gateway::{Accepted, Incoming, Negotiated};
use switchover::header::Hop;
use switchover::http1::RequestHead;
use switchover::service::{Destination, Relay};
use switchover::tunnel::{AnyStream, Cap, Drain, Label, Permit, Rewind};
use switchover::upstream::Group;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::admin::Asked;
use super::connection::{Carried, Connection, Report, Requests};
use super::http2;
use super::opening::Opened;
use super::settings::Settings;
use super::upstream::Server;
use super::visit::Visit;

/// What the connections of one worker share.
pub(crate) struct Worker {
    pub(crate) settings: Arc<Settings>,
    /// To each upstream one.
    pub(crate) relays: Vec<Relay<Group<Server>>>,
    pub(crate) drain: Drain,
    /// Its listeners and connections.
    open: Cap,
    /// Observes every connection.
    accepts: Notify,
}

impl Worker {
    /// Counts one more listener or connection, until the permit is dropped.
    pub(crate) fn open(&self) -> Option<Permit> {
        self.open.try_acquire()
    }
}

/// The runtime of one worker.
pub(crate) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Runs a worker until the drain starts, and then until its last connection and the last tunnel have ended or the time for that has.
pub(crate) async fn run(
    listeners: Vec<TcpListener>,
    settings: Arc<Settings>,
    drain: Drain,
) -> io::Result<()> {
    let relays = settings.relays();
    let worker = Arc::new(Worker {
        settings,
        relays,
        drain,
        open: Cap::unlimited(),
        accepts: Notify::new(),
    });
    for listener in listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (address, open) = (listener.local_addr()?, worker.open());
        tokio::spawn(accept(listener, address, worker.clone(), open));
    }
    tokio::spawn(beat(worker.clone()));
    worker.drain.started().await;
    // The drain ends the tunnels when its grace is over; the rest is for what they still have to deliver.
    let over = async {
        let hurry = worker.settings.hurry.started();
        let _ = timeout(worker.settings.flags.drain_timeout, hurry).await;
        sleep(Duration::from_secs(2)).await;
    };
    let all_ended = async {
        worker.open.emptied().await;
        // A tunnel over HTTP/2 is a task of its own: it closes its upstream, and leaves its line, after its client's connection.
        worker.settings.http2_tunnels.finished().await;
    };
    tokio::select! {
        () = all_ended => {}
        () = over => {}
    }
    Ok(())
}

/// Keeps a timer due before any other while connections come in.
///
/// The runtime wakes itself, with two system calls, whenever a timer is set that is due before all others; the first
/// deadline of a connection mostly would be. With this one in front, none is. A worker that accepts nothing is left in
/// peace.
async fn beat(worker: Arc<Worker>) {
    loop {
        worker.accepts.notified().await;
        sleep(Duration::from_millis(500)).await;
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    address: SocketAddr,
    worker: Arc<Worker>,
    _open: Option<Permit>,
) {
    let mut end = worker.drain.started();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut end => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // A message must not wait for the next one to fill a segment. On Linux the listener has passed that on.
                if cfg!(not(target_os = "linux")) {
                    let _ = stream.set_nodelay(true);
                }
                worker.accepts.notify_one();
                let log = worker.settings.log.as_ref();
                let visit = log.map(|log| Box::new(Visit::new(log, address, peer)));
                tokio::spawn(Connection::new(stream, peer, address, visit, worker.clone()));
            }
            // The peer was gone before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // Out of descriptors or memory: the tunnels that are open go on, and some of them will end.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// What comes on a connection on which HTTP is next.
pub(crate) fn speaking(
    opened: Opened,
    peer: SocketAddr,
    visit: Option<Box<Visit>>,
    worker: Arc<Worker>,
) -> Requests {
    if !opened.is_http2 {
        return Box::pin(requests(opened, peer, visit, worker));
    }
    Box::pin(async move {
        http2::serve(opened.stream, opened.hop, peer, visit, worker).await;
        None
    })
}

/// Everything that comes before a tunnel on a connection that speaks HTTP/1.1. None if it has ended without one.
fn requests(
    opened: Opened,
    peer: SocketAddr,
    visit: Option<Box<Visit>>,
    worker: Arc<Worker>,
) -> impl Future<Output = Option<Carried>> {
    let (hop, has_begun) = (opened.hop, !opened.front.is_empty());
    let stream = Rewind::new(opened.stream, opened.front);
    // No `async fn`, which would hold each argument twice.
    async move {
        let (settings, drain) = (&worker.settings, &worker.drain);
        // One for all requests of the connection.
        let (acceptor, mut end) = (&settings.acceptor, drain.started());
        let mut accepted = match has_begun {
            false => acceptor.accept_until(stream.into_parts().0, hop, &mut end).await,
            // It has begun, together with what a balancer says of it.
            true => acceptor.resume_until(stream, hop, &mut end).await,
        };
        loop {
            match accepted {
                // Boxed, as what follows: a connection that has not asked for anything is small.
                Ok(Accepted::Upgrade(incoming)) => {
                    return Box::pin(upgrade(incoming, peer, visit, &worker)).await;
                }
                Ok(Accepted::Ordinary(head, stream)) => {
                    let next = Box::pin(ordinary(head, stream, hop, peer, visit.as_deref(), &worker)).await?;
                    accepted = acceptor.resume_until(next, hop, &mut end).await;
                }
                Ok(Accepted::Rejected(why, head)) => {
                    settings.refused(peer, &why);
                    match (visit, head) {
                        (Some(visit), Some(head)) => visit.request(&head, hop).refused(&why),
                        (Some(visit), None) => visit.refused(hop, &why),
                        (None, _) => {}
                    }
                    return None;
                }
                Ok(Accepted::Closed) => return None,
                Err(error) => {
                    settings.failed(peer, &error);
                    if let Some(visit) = visit {
                        visit.failed(hop, &error);
                    }
                    return None;
                }
            }
        }
    }
}

/// Proxies an upgrade. None if it has not come to a tunnel.
async fn upgrade(
    mut incoming: Box<Incoming<AnyStream>>,
    peer: SocketAddr,
    visit: Option<Box<Visit>>,
    worker: &Worker,
) -> Option<Carried> {
    let settings = &worker.settings;
    let story = visit.map(|visit| visit.request(incoming.head(), incoming.hop()));
    if let Some(story) = &story {
        incoming.set_trace(story.trace());
    }
    let failed = |error: &Error| {
        settings.failed(peer, error);
        if let Some(story) = &story {
            story.failed(story.trace().status(), error);
        }
    };
    let (upstream, target) = match settings.route(incoming.head().field(&HOST), incoming.head().uri()) {
        Ok(route) => route,
        Err(why) => {
            let rejected = Box::pin(incoming.reject(why)).await;
            let why = rejected.inspect_err(failed).ok()?;
            settings.refused(peer, &why);
            if let Some(story) = story {
                story.refused(&why);
            }
            return None;
        }
    };
    if let Some(target) = target {
        incoming.set_target(target);
    }
    if let Some(rules) = &upstream.rules {
        incoming.set_header_rules(rules.clone());
    }
    let is_kept = settings.failures.is_kept();
    if is_kept {
        let head = incoming.head();
        // Not of the types of `http`, which would be made for it.
        incoming.set_label(Label::new(Asked::new(head.uri(), head.field(&HOST))));
    }
    match incoming
        .negotiate(&upstream.group)
        .await
        .inspect_err(failed)
        .ok()?
    {
        Negotiated::Switched(mut established) => {
            if let Some(story) = &story {
                let is_listed = settings.tunnels.is_some();
                // One that is in no registry is not to be watched for this.
                let tunnel = is_listed.then(|| established.watch().id()).flatten();
                story.opened(established.protocol(), tunnel);
            }
            let report = (settings.talks || story.is_some() || is_kept).then(|| {
                Box::new(Report {
                    settings: settings.clone(),
                    peer,
                    story,
                })
            });
            Some(Carried {
                tunnel: established.run_until(worker.drain.signal()),
                report,
            })
        }
        Negotiated::Declined(status) => {
            settings.report(peer, || format!("the upstream said {status}"));
            settings.failures.declined(peer, status);
            if let Some(story) = story {
                story.declined(status);
            }
            None
        }
    }
}

/// Relays one ordinary request. Returns the connection if it can carry another.
async fn ordinary(
    head: Box<RequestHead>,
    stream: Rewind<AnyStream>,
    hop: Hop,
    peer: SocketAddr,
    visit: Option<&Visit>,
    worker: &Worker,
) -> Option<Rewind<AnyStream>> {
    let settings = &worker.settings;
    let story = visit.map(|visit| visit.request(&head, hop));
    let (upstream, target) = match settings.route(head.field(&HOST), head.uri()) {
        Ok(route) => route,
        Err(why) => {
            settings.failures.refused(peer, &why);
            // Boxed: it would set the size of what is common.
            let rejected = Box::pin(settings.acceptor.reject(stream, &head, why)).await;
            match (story, rejected) {
                (Some(story), Ok(why)) => story.refused(&why),
                (Some(story), Err(error)) => story.failed(None, &error),
                (None, _) => {}
            }
            return None;
        }
    };
    let mut destination = Destination::default();
    if let Some(target) = target {
        destination = destination.target(target);
    }
    if let Some(story) = &story {
        destination = destination.trace(story.trace());
    }
    let relay = &worker.relays[upstream.index];
    let relayed = relay.serve(stream, &head, destination, hop).await;
    if let Some(story) = story {
        story.relayed(&relayed);
    }
    let relayed = relayed.inspect_err(|error| settings.failed(peer, error)).ok()?;
    if let Some(failure) = &relayed.failure {
        settings.failed(peer, failure);
    }
    relayed.stream
}
