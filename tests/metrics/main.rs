//! What is reported to the recorder of the crate `metrics`: by the raw door, by services, and by tunnels alone.

mod doors;
mod gateway;
mod service;
mod table;
mod tunnel;

use std::collections::BTreeMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// Counters added up, gauges as they are, of histograms how many values there were. By name and labels.
#[derive(Default)]
pub(crate) struct Recorded(pub(crate) BTreeMap<String, u64>);

impl Recorded {
    pub(crate) fn update(&mut self, snapshotter: &Snapshotter) {
        for (key, unit, description, value) in snapshotter.snapshot().into_vec() {
            let key = key.key();
            assert!(unit.is_some() && description.is_some(), "{key} is described");
            let labels: Vec<String> = key
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            let name = format!("{}{{{}}}", key.name(), labels.join(","));
            let entry = self.0.entry(name).or_default();
            match value {
                DebugValue::Counter(count) => *entry += count,
                DebugValue::Gauge(value) => *entry = value.0 as u64,
                DebugValue::Histogram(values) => *entry += values.len() as u64,
            }
        }
    }

    /// None is recorded of what has not happened.
    pub(crate) fn of(&self, name: &str) -> u64 {
        self.0
            .get(name)
            .copied()
            .unwrap_or_else(|| panic!("no {name} in {:#?}", self.0))
    }

    /// Of all labels together.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        let is_it = |own: &str| own.split('{').next() == Some(name);
        self.0
            .iter()
            .filter(|(own, _)| is_it(own))
            .map(|(_, count)| count)
            .sum()
    }
}

/// What `work` records, with a recorder of this thread alone.
pub(crate) async fn recorded(work: impl Future<Output = ()>) -> Recorded {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let guard = metrics::set_default_local_recorder(&recorder);
    switchover::describe_metrics();
    work.await;
    drop(guard);
    let mut recorded = Recorded::default();
    recorded.update(&snapshotter);
    recorded
}
