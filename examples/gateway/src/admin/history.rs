//! What the gateway did in the last minutes: samples of its totals at even distances, and of each tunnel's bytes while someone looks at them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use switchover::tunnel::{TunnelId, Tunnels};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::settings::Settings;

/// Between two samples.
const EVERY: Duration = Duration::from_secs(2);
/// Samples of the totals: five minutes.
const TOTALS: usize = 150;
/// Samples of a tunnel: one minute.
const RATES: usize = 30;
/// How long rates are kept after someone has looked at them.
const WATCHED: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct History(Mutex<State>);

#[derive(Default)]
struct State {
    totals: VecDeque<Totals>,
    /// How many samples there were, and when the last one was taken: after a halt of the machine the next comes late.
    sampled: u64,
    sampled_at: Option<Instant>,
    /// Why tunnels have ended, and how many, at the last sample.
    ended_by_reason: Map<String, Value>,
    watched_until: Option<Instant>,
    rates: HashMap<TunnelId, Rates>,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    open: usize,
    opened: u64,
    failed: u64,
    bytes: u64,
}

struct Rates {
    bytes: u64,
    /// The sample that it was in last.
    sampled: u64,
    /// In bytes per second; a ring that `sampled` is the place in.
    ring: [f32; RATES],
}

impl History {
    /// Takes samples until the process ends.
    pub(super) async fn record(self: Arc<Self>, tunnels: Tunnels, settings: Arc<Settings>) {
        let mut beat = interval(EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            self.state().sample(&tunnels, settings.failures.total());
        }
    }

    /// The totals of each sample, the oldest first, and why tunnels have ended.
    pub(super) fn shown(&self) -> Value {
        let state = self.state();
        let totals = |of: fn(&Totals) -> u64| state.totals.iter().map(of).collect::<Vec<_>>();
        json!({
            "interval_seconds": EVERY.as_secs(),
            "samples": state.sampled,
            "open": totals(|totals| totals.open as u64),
            "opened": totals(|totals| totals.opened),
            "failed": totals(|totals| totals.failed),
            "bytes": totals(|totals| totals.bytes),
            "ended_by_reason": state.ended_by_reason,
        })
    }

    /// The bytes per second of these tunnels, the oldest sample first. From now on they are sampled.
    pub(super) fn rates<T>(&self, of: impl FnOnce(&dyn Fn(Option<TunnelId>) -> Vec<f32>) -> T) -> T {
        let mut state = self.state();
        state.watched_until = Some(Instant::now() + WATCHED);
        let state = &*state;
        of(&|id| {
            let found = id.and_then(|id| state.rates.get(&id));
            found.map_or_else(Vec::new, |rates| rates.oldest_first())
        })
    }

    /// The bytes per second of all tunnels at the last sample.
    pub(super) fn last_rates(&self) -> HashMap<TunnelId, f32> {
        let mut state = self.state();
        state.watched_until = Some(Instant::now() + WATCHED);
        let last = |(id, rates): (&TunnelId, &Rates)| (*id, rates.last());
        state.rates.iter().map(last).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sample(&mut self, tunnels: &Tunnels, failed: u64) {
        let now = Instant::now();
        let passed = self
            .sampled_at
            .map_or(EVERY, |at| now.duration_since(at).max(EVERY));
        (self.sampled, self.sampled_at) = (self.sampled + 1, Some(now));
        let is_watched = self.watched_until.is_some_and(|until| now < until);
        // First: one that ends meanwhile is missing in this sample, and is not in it twice.
        let ended = tunnels.ended();
        let mut bytes_of_all = ended.from_downstream() + ended.from_upstream();
        for tunnel in tunnels.iter() {
            let bytes = tunnel.from_downstream() + tunnel.from_upstream();
            bytes_of_all += bytes;
            if let Some(id) = tunnel.id().filter(|_| is_watched) {
                let rates = self.rates.entry(id).or_insert(Rates {
                    bytes: if tunnel.opened_at().elapsed() < EVERY {
                        0
                    } else {
                        bytes
                    },
                    sampled: 0,
                    ring: [0.0; RATES],
                });
                rates.add(bytes, self.sampled, passed);
            }
        }
        self.rates.retain(|_, rates| rates.sampled == self.sampled);
        self.ended_by_reason = ended
            .by_reason()
            .map(|(reason, count)| (reason.to_owned(), count.into()))
            .collect();
        let before = self.totals.back().map_or(0, |totals| totals.bytes);
        if self.totals.len() == TOTALS {
            self.totals.pop_front();
        }
        self.totals.push_back(Totals {
            open: tunnels.len(),
            opened: tunnels.opened(),
            failed,
            bytes: bytes_of_all.max(before),
        });
    }
}

fn place(sampled: u64) -> usize {
    usize::try_from(sampled % RATES as u64).unwrap_or(0)
}

impl Rates {
    fn add(&mut self, bytes: u64, sampled: u64, passed: Duration) {
        let rate = bytes.saturating_sub(self.bytes) as f32 / passed.as_secs_f32();
        self.ring[place(sampled)] = rate;
        (self.bytes, self.sampled) = (bytes, sampled);
    }

    fn last(&self) -> f32 {
        self.ring[place(self.sampled)]
    }

    fn oldest_first(&self) -> Vec<f32> {
        let (newer, older) = self.ring.split_at(place(self.sampled) + 1);
        [older, newer].concat()
    }
}
