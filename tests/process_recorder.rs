//! Handles of series in the recorder of the process: each is looked up once, and again after `Tunnels::record_metrics`.
//!
//! One test, because a process has one recorder.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use support::bounded::within;
use switchover::tunnel::{Listing, Tunnel, Tunnels};
use tokio::io::duplex;

/// An exporter that forgets when it is told to, and counts how often it is asked for a handle.
#[derive(Clone, Default)]
struct Exporter(Arc<State>);

#[derive(Default)]
struct State {
    series: Mutex<HashMap<String, Arc<AtomicU64>>>,
    asked: AtomicUsize,
}

impl Exporter {
    fn series(&self, key: &Key) -> Arc<AtomicU64> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        let labels = key.labels().map(|label| label.value().to_owned());
        let name = [key.name().to_owned()].into_iter().chain(labels);
        let name = name.collect::<Vec<_>>().join(" ");
        self.0.series.lock().unwrap().entry(name).or_default().clone()
    }

    /// None if there is no such series.
    fn of(&self, name: &str) -> Option<u64> {
        let series = self.0.series.lock().unwrap();
        series.get(name).map(|value| value.load(Ordering::Relaxed))
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    fn forget(&self) {
        self.0.series.lock().unwrap().clear();
    }
}

impl Recorder for Exporter {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        drop(self.series(key));
        Histogram::noop()
    }
}

const OPENED: &str = "switchover_tunnels_opened_total";
const CLOSED: &str = "switchover_tunnels_ended_total closed downstream";

/// A tunnel that opens and that its client closes.
async fn tunnel(tunnels: &Tunnels) {
    let ((client, downstream), (upstream, origin)) = (duplex(64), duplex(64));
    let mut tunnel = Tunnel::new(downstream, upstream);
    tunnel.list_in(tunnels, Listing::default());
    drop((client, origin));
    within("the end of a tunnel", tunnel.run()).await.unwrap();
}

#[tokio::test]
async fn a_handle_is_looked_up_once_and_again_when_metrics_are_recorded() {
    let (tunnels, process, local) = (Tunnels::new(), Exporter::default(), Exporter::default());
    // What comes before the recorder is lost, and in nobody's way.
    switchover::describe_metrics();
    tunnel(&tunnels).await;
    tunnels.record_metrics();
    tunnel(&tunnels).await;

    metrics::set_global_recorder(process.clone()).ok().unwrap();
    {
        let _guard = metrics::set_default_local_recorder(&local);
        // It is found although this thread has another one.
        switchover::describe_metrics();
    }
    assert_eq!((process.asked(), local.of(OPENED)), (0, Some(0)));
    tunnels.record_metrics();
    tunnel(&tunnels).await;
    let asked = process.asked();
    for _ in 0..3 {
        tunnel(&tunnels).await;
    }
    assert_eq!(process.asked(), asked, "each handle is kept");
    assert_eq!((process.of(OPENED), process.of(CLOSED)), (Some(4), Some(4)));
    assert_eq!(process.of("switchover_tunnels_open"), Some(0));

    // The recorder of a thread stands before that of the process, and its handles are nobody else's.
    for local in [&local, &Exporter::default()] {
        let _guard = metrics::set_default_local_recorder(local);
        tunnel(&tunnels).await;
        assert_eq!((local.of(OPENED), local.of(CLOSED)), (Some(1), Some(1)));
    }
    tunnel(&tunnels).await;
    assert_eq!((process.of(OPENED), process.asked()), (Some(5), asked));

    // What an exporter has forgotten is there again, and goes on.
    process.forget();
    tunnels.record_metrics();
    assert_eq!((process.of(OPENED), process.of(CLOSED)), (Some(0), Some(0)));
    tunnel(&tunnels).await;
    assert_eq!((process.of(OPENED), process.of(CLOSED)), (Some(1), Some(1)));
}
