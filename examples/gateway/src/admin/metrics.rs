//! The metrics of the library, as Prometheus reads them. The manual has the table of their names.
//!
//! Must not know what is asked for.

use std::io;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use switchover::tunnel::Tunnels;

use crate::settings::Settings;

pub(super) const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// In seconds: a connection, an answer, a ping.
const SHORT: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];
/// In seconds: how long a tunnel is open.
const LONG: [f64; 8] = [1.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 28_800.0, 86_400.0];

/// How often values that were recorded are added up where nobody asks for them. They are kept one by one until then.
const TIDY: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Metrics(PrometheusHandle);

impl Metrics {
    /// From now on all of the process is recorded.
    pub(super) fn install() -> io::Result<Metrics> {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SHORT)
            .and_then(|builder| {
                builder.set_buckets_for_metric(
                    Matcher::Full("switchover_tunnel_duration_seconds".to_owned()),
                    &LONG,
                )
            });
        let handle = builder.and_then(PrometheusBuilder::install_recorder);
        let handle = handle.map_err(|why| io::Error::other(format!("--admin: no metrics: {why}")))?;
        switchover::describe_metrics();
        Ok(Metrics(handle))
    }

    pub(super) fn text(&self, tunnels: &Tunnels, settings: &Settings) -> String {
        tunnels.record_metrics();
        for upstream in settings.upstreams() {
            upstream.group.record_metrics();
        }
        self.0.render()
    }

    /// Until the process ends.
    pub(super) async fn tidy(self) {
        loop {
            tokio::time::sleep(TIDY).await;
            self.0.run_upkeep();
        }
    }
}
