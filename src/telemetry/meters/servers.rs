//! What is counted of the servers of groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use ::metrics::{Counter, Key, Label, gauge};

use super::series::Series;
use super::{ATTEMPTS, SERVER_STATE, SERVER_TUNNELS};
use crate::telemetry::Place;

/// The outcome of an attempt that most have.
const ANSWERED: &str = "answered";

/// How an attempt may end. A server has the first three series from its beginning, and each other one when there is something in it.
const OUTCOMES: [&str; 9] = [
    ANSWERED,
    "failed",
    "timed-out",
    "connected",
    "invalid",
    "stale",
    "given-up",
    "out-of-resources",
    "no-local-address",
];

/// What a server's state may be: the label that is 1 is its state now.
const STATES: [&str; 5] = ["healthy", "failing", "ejected", "probing", "down"];

/// The series of the attempts on a server.
#[derive(Debug)]
pub(in crate::telemetry) struct Attempts {
    /// Those that it has answered, which are most.
    answered: Series<Counter>,
    /// Which of the [`OUTCOMES`] there have been.
    seen: AtomicU16,
}

impl Attempts {
    pub(in crate::telemetry) fn new(group: &Arc<str>, server: &Arc<str>) -> Self {
        Attempts {
            answered: attempts(group, server, ANSWERED),
            // What everyone asks for.
            seen: AtomicU16::new(0b111),
        }
    }
}

fn attempts(group: &Arc<str>, server: &Arc<str>, outcome: &'static str) -> Series<Counter> {
    let labels = [
        Label::new("group", group.clone()),
        Label::new("server", server.clone()),
        Label::from_static_parts("outcome", outcome),
    ];
    Series::new(Key::from_parts(ATTEMPTS, labels.to_vec()))
}

fn add_attempts(place: &Place, outcome: &'static str, count: u64) {
    match outcome {
        ANSWERED => place.attempts.answered.add(count),
        _ => attempts(&place.group, &place.server, outcome).add(count),
    }
}

pub(in crate::telemetry) fn attempt_ended(place: &Place, outcome: &'static str) {
    let bit = OUTCOMES
        .iter()
        .position(|own| *own == outcome)
        .map_or(0, |at| 1 << at);
    let seen = &place.attempts.seen;
    if seen.load(Ordering::Relaxed) & bit == 0 {
        seen.fetch_or(bit, Ordering::Relaxed);
    }
    add_attempts(place, outcome, 1);
}

/// Touches the series of a server that is in its group.
pub(crate) fn touch_server(place: &Place) {
    let seen = place.attempts.seen.load(Ordering::Relaxed);
    for (at, outcome) in OUTCOMES.into_iter().enumerate() {
        if seen & (1 << at) != 0 {
            add_attempts(place, outcome, 0);
        }
    }
}

/// The servers of one name in a group: how many of them are in each state, and how many tunnels they have.
pub(crate) struct ServersAt {
    group: Arc<str>,
    server: Arc<str>,
    states: [usize; STATES.len()],
    tunnels: usize,
}

impl ServersAt {
    /// None so far.
    pub(crate) fn of(place: &Place) -> Self {
        ServersAt {
            group: place.group.clone(),
            server: place.server.clone(),
            states: Default::default(),
            tunnels: 0,
        }
    }

    pub(crate) fn is_at(&self, place: &Place) -> bool {
        self.server == place.server
    }

    /// One more, in no state if it has left its group.
    pub(crate) fn add(&mut self, state: Option<&'static str>, tunnels: usize) {
        for (name, count) in STATES.into_iter().zip(&mut self.states) {
            *count = count.saturating_add(usize::from(state == Some(name)));
        }
        self.tunnels = self.tunnels.saturating_add(tunnels);
    }

    pub(crate) fn record(&self) {
        let (group, server) = (&self.group, &self.server);
        for (state, count) in STATES.into_iter().zip(self.states) {
            gauge!(SERVER_STATE, "group" => group.clone(), "server" => server.clone(), "state" => state)
                .set(count as f64);
        }
        gauge!(SERVER_TUNNELS, "group" => group.clone(), "server" => server.clone()).set(self.tunnels as f64);
    }
}
