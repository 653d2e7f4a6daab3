//! What is counted, lane by lane, and the table at the end.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that many tasks add to.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Relaxed);
    }

    pub(crate) fn sub(&self, number: u64) {
        self.0.fetch_sub(number, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One way from a client to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Raw gateway, plain sockets, bytes: spliced where they come in bulk.
    Gateway,
    /// Raw gateway behind TLS, which knows the frames.
    GatewayTls,
    /// Service on hyper, plain sockets, with frames.
    Service,
    /// Service on hyper behind TLS, bytes.
    ServiceTls,
    /// Raw gateway, which knows the frames, with an upstream over HTTP/2 and TLS: a service behind an HTTP/2 server.
    Http2,
}

pub(crate) const LANES: [(Lane, &str); 5] = [
    (Lane::Gateway, "gateway, plain"),
    (Lane::GatewayTls, "gateway, wss"),
    (Lane::Service, "service, plain"),
    (Lane::ServiceTls, "service, wss"),
    (Lane::Http2, "HTTP/2 chain"),
];

impl Lane {
    /// Whether the proxy knows the frames there: it pings, and drains with a Close.
    pub(crate) const fn has_frames(self) -> bool {
        matches!(self, Lane::GatewayTls | Lane::Service | Lane::Http2)
    }
}

/// How a tunnel has ended, as its client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By a Close of the client, answered by the origin's.
    Closed,
    /// By the client's half-close, answered by the origin's.
    HalfClosed,
    ResetByClient,
    ResetByOrigin,
    /// By a Close 1001 of the proxy.
    Drained,
    /// The origin has left with all its tunnels.
    OriginLeft,
    /// No tunnel: the origin had left.
    Refused,
}

pub(crate) const ENDINGS: [(Ending, &str); 7] = [
    (Ending::Closed, "closed"),
    (Ending::HalfClosed, "half-closed"),
    (Ending::ResetByClient, "reset by client"),
    (Ending::ResetByOrigin, "reset by origin"),
    (Ending::Drained, "drained"),
    (Ending::OriginLeft, "origin left"),
    (Ending::Refused, "refused"),
];

/// The numbers of a lane.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) opened: Count,
    pub(crate) endings: [Count; ENDINGS.len()],
    pub(crate) sent_by_clients: Count,
    pub(crate) received_by_clients: Count,
    pub(crate) received_by_origins: Count,
    pub(crate) sent_by_origins: Count,
    /// What the library says that it has carried, towards origins and towards clients.
    pub(crate) carried: [Count; 2],
    /// Bytes that an orderly end should have delivered.
    pub(crate) lost: Count,
    /// Bytes that were under way where a tunnel was cut by a reset, a drain or a server that left.
    pub(crate) cut: Count,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) lanes: [Counts; LANES.len()],
    faults: Mutex<Vec<String>>,
    /// Why there was no tunnel, and how often.
    refusals: Mutex<BTreeMap<String, u64>>,
}

impl Books {
    pub(crate) fn lane(&self, lane: Lane) -> &Counts {
        &self.lanes[lane as usize]
    }

    /// Records what must not happen.
    pub(crate) fn fault(&self, text: String) {
        let mut faults = self.faults.lock().unwrap();
        if faults.len() < 20 {
            eprintln!("fault: {text}");
        }
        faults.push(text);
    }

    pub(crate) fn refused(&self, why: String) {
        *self.refusals.lock().unwrap().entry(why).or_default() += 1;
    }

    pub(crate) fn refusals(&self) -> BTreeMap<String, u64> {
        self.refusals.lock().unwrap().clone()
    }

    pub(crate) fn faults(&self) -> usize {
        self.faults.lock().unwrap().len()
    }

    /// Bytes without a frame around them pass as they are: no more arrives than was carried, no more is carried than was sent.
    pub(crate) fn check_raw_totals(&self) {
        for (lane, name) in LANES.iter().filter(|(lane, _)| !lane.has_frames()) {
            let counts = self.lane(*lane);
            let up = [
                counts.received_by_origins.get(),
                counts.carried[0].get(),
                counts.sent_by_clients.get(),
            ];
            let down = [
                counts.received_by_clients.get(),
                counts.carried[1].get(),
                counts.sent_by_origins.get(),
            ];
            for (direction, [received, carried, sent]) in [("up", up), ("down", down)] {
                if received > carried || carried > sent {
                    self.fault(format!(
                        "{name}, {direction}: {sent} bytes sent, {carried} carried, {received} received"
                    ));
                }
            }
        }
    }

    /// What a run leaves open has not been closed by the library.
    pub(crate) fn check_nothing_is_left(&self, left: [(u64, &str); 3]) {
        for (number, of) in left.iter().filter(|(number, _)| *number > 0) {
            self.fault(format!("{number} {of} are left"));
        }
    }

    pub(crate) fn print(&self) {
        print!("{:<16}", "");
        for (_, name) in LANES {
            print!("{name:>16}");
        }
        println!("{:>16}", "all");
        self.row("tunnels", |counts| counts.opened.get());
        for (ending, name) in ENDINGS {
            self.row(name, |counts| counts.endings[ending as usize].get());
        }
        self.row("KB up", |counts| counts.sent_by_clients.get() / 1000);
        self.row("KB down", |counts| counts.received_by_clients.get() / 1000);
        self.row("KB carried up", |counts| counts.carried[0].get() / 1000);
        self.row("KB carried down", |counts| counts.carried[1].get() / 1000);
        self.row("KB cut", |counts| counts.cut.get() / 1000);
        self.row("bytes lost", |counts| counts.lost.get());
    }

    fn row(&self, name: &str, number: impl Fn(&Counts) -> u64) {
        let numbers: Vec<u64> = self.lanes.iter().map(number).collect();
        print!("{name:<16}");
        for number in &numbers {
            print!("{number:>16}");
        }
        println!("{:>16}", numbers.iter().sum::<u64>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one lane: what was sent, carried and received upwards.
    fn faults(lane: Lane, [sent, carried, received]: [u64; 3]) -> usize {
        let books = Books::default();
        let counts = books.lane(lane);
        counts.sent_by_clients.add(sent);
        counts.carried[0].add(carried);
        counts.received_by_origins.add(received);
        books.check_raw_totals();
        books.faults()
    }

    #[test]
    fn no_more_arrives_than_was_sent() {
        assert_eq!(faults(Lane::Gateway, [10, 10, 10]), 0);
        assert_eq!(faults(Lane::Gateway, [10, 9, 8]), 0);
        assert_eq!(faults(Lane::Gateway, [10, 11, 10]), 1);
        assert_eq!(faults(Lane::ServiceTls, [10, 9, 10]), 1);
        // Frames have headers, and the proxy has pings.
        assert_eq!(faults(Lane::Service, [10, 20, 10]), 0);
    }

    #[test]
    fn what_is_left_is_a_fault() {
        let books = Books::default();
        books.check_nothing_is_left([(0, "tunnels"), (0, "connections"), (0, "descriptors")]);
        assert_eq!(books.faults(), 0);
        books.check_nothing_is_left([(1, "tunnels"), (0, "connections"), (2, "descriptors")]);
        assert_eq!(books.faults(), 2);
    }
}
