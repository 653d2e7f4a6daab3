//! The metrics of the library, as Prometheus reads them. The manual has the table of their names.
//!
//! Must not know what is asked for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
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

/// How long the series of a server are kept that its group has lost. All others are touched before each answer.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);
/// How often they are looked for where nobody asks for metrics.
const PRUNE: u32 = 120;

/// One that forgets after this time what nobody has touched.
fn exporter(forgotten: Duration) -> Result<PrometheusBuilder, BuildError> {
    let long = Matcher::Full("switchover_tunnel_duration_seconds".to_owned());
    PrometheusBuilder::new()
        .idle_timeout(MetricKindMask::COUNTER | MetricKindMask::GAUGE, Some(forgotten))
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SHORT)
        .and_then(|builder| builder.set_buckets_for_metric(long, &LONG))
}

#[derive(Clone)]
pub(super) struct Metrics(PrometheusHandle);

impl Metrics {
    /// From now on all of the process is recorded.
    pub(super) fn install() -> io::Result<Metrics> {
        let builder = exporter(FORGOTTEN);
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
    pub(super) async fn tidy(self, tunnels: Tunnels, settings: Arc<Settings>) {
        loop {
            // Series that are idle are forgotten where an answer is made. From the first one on the library keeps its handles of the others.
            drop(self.text(&tunnels, &settings));
            for _ in 0..PRUNE {
                tokio::time::sleep(TIDY).await;
                self.0.run_upkeep();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Mutex;

    use http::Request;
    use switchover::connect::{Connect, ConnectRequest};
    use switchover::header::Hop;
    use switchover::upstream::{Group, Server};

    use super::*;

    /// Servers come and go for months, and each has another address.
    #[tokio::test]
    async fn a_server_that_is_gone_for_good_is_forgotten_and_nothing_else() {
        let [gone, there] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let recorder = exporter(Duration::from_millis(50)).unwrap().build_recorder();
        let _guard = ::metrics::set_default_local_recorder(&recorder);
        switchover::describe_metrics();
        let addresses = Arc::new(Mutex::new(vec![gone, there]));
        let found = addresses.clone();
        let find = move || {
            let found = found.lock().unwrap().clone();
            async move { Ok(found) }
        };
        let group = Group::builder()
            .discover("chat", find, Duration::ZERO, |address| {
                Server::to(address.to_string())
            })
            .build();
        let head = Request::new(()).into_parts().0;
        let tunnels = Tunnels::new();
        let scraped = async || {
            // Nobody listens there; the name is asked for.
            let connected = group.connect(ConnectRequest::new(&head, Hop::from(there))).await;
            assert!(connected.is_err());
            tunnels.record_metrics();
            group.record_metrics();
            recorder.handle().render()
        };
        let has = |text: &str, server: SocketAddr| text.contains(&format!("server=\"{server}\""));
        let text = scraped().await;
        assert!(has(&text, gone) && has(&text, there), "{text}");
        addresses.lock().unwrap().retain(|address| *address == there);
        let text = scraped().await;
        assert!(
            has(&text, gone),
            "once more, without tunnels and in no state: {text}"
        );
        tokio::time::sleep(Duration::from_millis(120)).await;
        let text = scraped().await;
        assert!(!has(&text, gone) && has(&text, there), "{text}");
        for name in [
            "switchover_tunnels_open 0",
            "switchover_tunnels_ended_total{",
            "switchover_failed_total{",
        ] {
            assert!(text.contains(name), "{name}: {text}");
        }
    }
}
