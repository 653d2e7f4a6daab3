//! What the gateway did in the last minutes: samples of its totals at even distances, and of each tunnel's bytes while someone looks at them.
//!
//! Tunnels count their bytes each for itself, and to add them up is to look at every tunnel. So nobody does that for each sample unless
//! somebody looks at the samples: of those before, the bytes are spread evenly over the time in which nobody looked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use switchover::tunnel::{TunnelId, TunnelWatch, Tunnels};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::settings::Settings;

/// Between two samples.
const EVERY: Duration = Duration::from_secs(2);
/// Samples of the totals: five minutes.
const TOTALS: usize = 150;
/// Samples of a tunnel: one minute.
const RATES: usize = 30;
/// How long somebody is taken to look on after a look.
const WATCHED: Duration = Duration::from_secs(30);
/// How often bytes are added up where nobody looks.
const UNWATCHED: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct History(Mutex<State>);

#[derive(Default)]
struct State {
    totals: VecDeque<Totals>,
    /// How many samples there were, and when the last one was taken: after a halt of the machine the next comes late.
    sampled: u64,
    sampled_at: Option<Instant>,
    /// When the bytes were added up last, and what they came to.
    summed: Option<(Instant, u64)>,
    /// How long somebody looks at the totals, and at rates.
    totals_watched_until: Option<Instant>,
    rates_watched_until: Option<Instant>,
    rates: HashMap<TunnelId, Rates>,
}

#[derive(Clone, Copy)]
struct Totals {
    at: Instant,
    open: usize,
    opened: u64,
    failed: u64,
    /// None as long as they have not been added up.
    bytes: Option<u64>,
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
    pub(super) fn shown(&self, tunnels: &Tunnels) -> Value {
        let ended = tunnels.ended();
        let ends: Map<String, Value> = ended
            .by_reason()
            .map(|(reason, count)| (reason.to_owned(), count.into()))
            .collect();
        let mut state = self.state();
        let now = Instant::now();
        state.totals_watched_until = Some(now + WATCHED);
        if state.totals.back().is_some_and(|last| last.bytes.is_none()) {
            state.sum(now, tunnels, |_| {});
        }
        let totals = |of: fn(&Totals) -> u64| state.totals.iter().map(of).collect::<Vec<_>>();
        json!({
            "interval_seconds": EVERY.as_secs(),
            "samples": state.sampled,
            "open": totals(|totals| totals.open as u64),
            "opened": totals(|totals| totals.opened),
            "failed": totals(|totals| totals.failed),
            "bytes": totals(|totals| totals.bytes.unwrap_or_default()),
            "ended_by_reason": ends,
        })
    }

    /// The bytes per second of these tunnels, the oldest sample first. From now on they are sampled.
    pub(super) fn rates<T>(&self, of: impl FnOnce(&dyn Fn(Option<TunnelId>) -> Vec<f32>) -> T) -> T {
        let mut state = self.state();
        state.rates_watched_until = Some(Instant::now() + WATCHED);
        let state = &*state;
        of(&|id| {
            let found = id.and_then(|id| state.rates.get(&id));
            found.map_or_else(Vec::new, |rates| rates.oldest_first())
        })
    }

    /// The bytes per second of all tunnels at the last sample.
    pub(super) fn last_rates(&self) -> HashMap<TunnelId, f32> {
        let mut state = self.state();
        state.rates_watched_until = Some(Instant::now() + WATCHED);
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
        let is_now = |until: Option<Instant>| until.is_some_and(|until| now < until);
        let passed = self
            .sampled_at
            .map_or(EVERY, |at| now.duration_since(at).max(EVERY));
        (self.sampled, self.sampled_at) = (self.sampled + 1, Some(now));
        if self.totals.len() == TOTALS {
            self.totals.pop_front();
        }
        self.totals.push_back(Totals {
            at: now,
            open: tunnels.len(),
            opened: tunnels.opened(),
            failed,
            bytes: None,
        });
        if is_now(self.rates_watched_until) {
            self.sample_rates(now, tunnels, passed);
            return;
        }
        self.rates = HashMap::new();
        let is_due = self
            .summed
            .is_none_or(|(at, _)| now.duration_since(at) >= UNWATCHED);
        if is_due || is_now(self.totals_watched_until) {
            self.sum(now, tunnels, |_| {});
        }
    }

    /// The bytes per second of each tunnel since the sample before.
    fn sample_rates(&mut self, now: Instant, tunnels: &Tunnels, passed: Duration) {
        let (sampled, mut rates) = (self.sampled, std::mem::take(&mut self.rates));
        self.sum(now, tunnels, |tunnel| {
            let (Some(id), bytes) = (tunnel.id(), bytes_of(tunnel)) else {
                return;
            };
            let of_it = rates.entry(id).or_insert_with(|| Rates {
                bytes: if tunnel.opened_at().elapsed() < EVERY {
                    0
                } else {
                    bytes
                },
                sampled: 0,
                ring: [0.0; RATES],
            });
            of_it.add(bytes, sampled, passed);
        });
        rates.retain(|_, rates| rates.sampled == sampled);
        self.rates = rates;
    }

    /// Adds up the bytes of all tunnels, and shows each of those that are open.
    fn sum(&mut self, now: Instant, tunnels: &Tunnels, mut show: impl FnMut(&TunnelWatch)) {
        // First: one that ends meanwhile is not counted twice. It may be missing until the next time.
        let ended = tunnels.ended();
        let mut bytes = ended.from_downstream().saturating_add(ended.from_upstream());
        for tunnel in tunnels.iter() {
            bytes = bytes.saturating_add(bytes_of(&tunnel));
            show(&tunnel);
        }
        self.fill(now, bytes);
    }

    /// The bytes of all tunnels come to this: those of the samples that were taken since they were added up last are between the two.
    fn fill(&mut self, now: Instant, bytes: u64) {
        let (from, before) = self.summed.unwrap_or((now, bytes));
        let bytes = bytes.max(before);
        self.summed = Some((now, bytes));
        let whole = now.duration_since(from).as_secs_f64();
        let open = |totals: &&mut Totals| totals.bytes.is_none();
        for totals in self.totals.iter_mut().rev().take_while(open) {
            let part = match whole > 0.0 {
                true => totals.at.duration_since(from).as_secs_f64() / whole,
                false => 1.0,
            };
            let moved = ((bytes - before) as f64 * part) as u64;
            totals.bytes = Some(before.saturating_add(moved));
        }
    }
}

fn bytes_of(tunnel: &TunnelWatch) -> u64 {
    tunnel.from_downstream().saturating_add(tunnel.from_upstream())
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

#[cfg(test)]
mod tests {
    use switchover::tunnel::{Listing, Tunnel};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::advance;

    use super::*;

    /// A listed tunnel, and its ends.
    fn tunnel(tunnels: &Tunnels) -> (DuplexStream, DuplexStream, JoinHandle<()>) {
        let ((client, downstream), (upstream, origin)) = (duplex(64), duplex(64));
        let mut tunnel = Tunnel::new(downstream, upstream);
        tunnel.list_in(tunnels, Listing::default());
        let running = tokio::spawn(async move { drop(tunnel.run().await) });
        (client, origin, running)
    }

    fn bytes(history: &History) -> Vec<Option<u64>> {
        history.state().totals.iter().map(|totals| totals.bytes).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_added_up_where_somebody_looks_and_spread_where_nobody_did() {
        let (tunnels, history) = (Tunnels::new(), History::default());
        let sample = || history.state().sample(&tunnels, 0);
        sample();
        let (mut client, mut origin, running) = tunnel(&tunnels);
        client.write_all(&[7; 40]).await.unwrap();
        origin.read_exact(&mut [0; 40]).await.unwrap();
        for _ in 0..4 {
            advance(EVERY).await;
            sample();
        }
        assert_eq!(bytes(&history), [Some(0), None, None, None, None]);
        let shown = history.shown(&tunnels);
        assert_eq!(shown["bytes"], json!([0, 10, 20, 30, 40]));

        // From then on each sample has its own, those of tunnels that have ended included.
        client.write_all(&[7; 2]).await.unwrap();
        origin.read_exact(&mut [0; 2]).await.unwrap();
        drop((client, origin));
        running.await.unwrap();
        advance(EVERY).await;
        sample();
        assert_eq!(bytes(&history)[4..], [Some(40), Some(42)]);
        assert_eq!(history.shown(&tunnels)["ended_by_reason"], json!({ "closed": 1 }));

        advance(WATCHED).await;
        sample();
        assert_eq!(bytes(&history)[6..], [None], "nobody looks any more");
        advance(UNWATCHED).await;
        sample();
        assert_eq!(bytes(&history)[6..], [Some(42); 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_those_of_the_time_in_which_somebody_looks() {
        let (tunnels, history) = (Tunnels::new(), History::default());
        let sample = || history.state().sample(&tunnels, 0);
        let (mut client, mut origin, _running) = tunnel(&tunnels);
        let id = tunnels.iter().next().unwrap().id();
        let rates = || history.rates(|rates| rates(id));
        assert!(rates().is_empty());
        sample();
        for (sent, expected) in [(20, 10.0), (0, 0.0), (6, 3.0)] {
            client.write_all(&vec![7; sent]).await.unwrap();
            origin.read_exact(&mut vec![0; sent]).await.unwrap();
            advance(EVERY).await;
            sample();
            assert_eq!(rates().last(), Some(&expected), "{sent}");
            assert_eq!(history.last_rates().get(&id.unwrap()), Some(&expected));
        }
        advance(WATCHED).await;
        sample();
        assert!(rates().is_empty());
    }
}
