//! A series, and its handle in the recorder of the process: that is looked up once and kept, because to look it up costs more than to
//! add to it.
//!
//! A recorder that holds for a thread or for a call (`metrics::with_local_recorder`) is asked each time. Which one is current is known by
//! where it lies: the recorder of the process is set once, and neither moved nor dropped.
//!
//! Must not know what the series are of.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, Key, Recorder, with_recorder};

use super::METADATA;

/// Where the recorder of the process lies. Zero as long as that is not known.
static OF_PROCESS: AtomicUsize = AtomicUsize::new(0);

/// Handles are good that were looked up in this round. Zero: none is kept.
static ROUND: AtomicUsize = AtomicUsize::new(0);

/// Finds the recorder of the process, if there is one by now.
pub(super) fn find_recorder() {
    // This thread may have a recorder of its own, which stands before that of the process. A new one has none.
    let seen = thread::Builder::new().spawn(|| with_recorder(|recorder| place(recorder)));
    let found = seen.ok().and_then(|seen| seen.join().ok()?);
    if let Some(found) = found {
        OF_PROCESS.store(found, Ordering::Relaxed);
    }
}

/// Has every handle looked up again. Until the first time none is kept: an exporter may have forgotten a series that nobody has
/// touched, and what is added to a handle of before is lost.
pub(super) fn renew() {
    ROUND.fetch_add(1, Ordering::Relaxed);
}

/// Where a recorder lies. One without a size may lie where something else does.
fn place(recorder: &dyn Recorder) -> Option<usize> {
    (size_of_val(recorder) > 0).then(|| std::ptr::from_ref(recorder).addr())
}

/// The round whose handles are good. None where this recorder is not that of the process.
fn round(recorder: &dyn Recorder) -> Option<usize> {
    let of_process = OF_PROCESS.load(Ordering::Relaxed);
    let round = ROUND.load(Ordering::Relaxed);
    (round > 0 && place(recorder) == Some(of_process)).then_some(round)
}

/// Of which kind a series is.
pub(super) trait Handle {
    fn look_up(recorder: &dyn Recorder, key: &Key) -> Self;
}

impl Handle for Counter {
    fn look_up(recorder: &dyn Recorder, key: &Key) -> Self {
        recorder.register_counter(key, &METADATA)
    }
}

impl Handle for Gauge {
    fn look_up(recorder: &dyn Recorder, key: &Key) -> Self {
        recorder.register_gauge(key, &METADATA)
    }
}

impl Handle for Histogram {
    fn look_up(recorder: &dyn Recorder, key: &Key) -> Self {
        recorder.register_histogram(key, &METADATA)
    }
}

/// A series that every request or tunnel adds to. Its key is made when the program is compiled: the macros of the crate `metrics` hash and
/// allocate theirs each time, whether anybody records or not.
macro_rules! series {
    ($name:ident of $handle:ident) => {{
        static SERIES: $crate::telemetry::meters::series::Series<::metrics::$handle> =
            $crate::telemetry::meters::series::Series::new(::metrics::Key::from_static_name($name));
        &SERIES
    }};
    ($name:ident of $handle:ident, $label:literal => $value:literal) => {{
        static LABELS: [::metrics::Label; 1] = [::metrics::Label::from_static_parts($label, $value)];
        static SERIES: $crate::telemetry::meters::series::Series<::metrics::$handle> =
            $crate::telemetry::meters::series::Series::new(::metrics::Key::from_static_parts($name, &LABELS));
        &SERIES
    }};
}

/// A series of this key.
#[derive(Debug)]
pub(super) struct Series<H> {
    key: Key,
    /// The handle in the recorder of the process, and the round in which it was looked up.
    kept: RwLock<Option<(usize, H)>>,
}

impl<H> Series<H> {
    pub(super) const fn new(key: Key) -> Self {
        Series {
            key,
            kept: RwLock::new(None),
        }
    }
}

impl Series<Counter> {
    pub(super) fn add(&self, count: u64) {
        self.with(|counter| counter.increment(count));
    }
}

impl Series<Gauge> {
    /// Adds a number, or takes away one that is negative.
    pub(super) fn change(&self, number: f64) {
        self.with(|gauge| gauge.increment(number));
    }
}

impl Series<Histogram> {
    pub(super) fn record(&self, took: Duration) {
        self.with(|histogram| histogram.record(took));
    }
}

impl<H: Handle> Series<H> {
    /// Records something in the recorder that is current.
    fn with(&self, record: impl FnOnce(&H)) {
        with_recorder(|recorder| {
            let Some(round) = round(recorder) else {
                return record(&H::look_up(recorder, &self.key));
            };
            match &*self.kept.read().unwrap_or_else(PoisonError::into_inner) {
                Some((of, handle)) if *of == round => return record(handle),
                _ => {}
            }
            let handle = H::look_up(recorder, &self.key);
            record(&handle);
            let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
            let former = kept.replace((round, handle));
            // Without the lock: what a recorder does when it is dropped is its own business.
            drop(kept);
            drop(former);
        });
    }
}
