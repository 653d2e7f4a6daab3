//! The limits of connections to upstreams at their extremes: a tunnel works, or its upgrade is refused by a status.

use std::time::Duration;

use switchover::gateway::GatewayConfig;
use switchover::http2::Http2Config;
use switchover::test_util::UPGRADE_REQUEST;

use crate::running_gateway::RunningGateway;
use crate::upstream::Upstream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_the_least_and_the_most() {
    let config = Http2Config::default;
    let (nothing, least, most) = (Duration::ZERO, Duration::from_nanos(1), Duration::MAX);
    let rows = [
        (config().max_tunnels(0), 101),
        (config().max_tunnels(1), 101),
        (config().max_tunnels(usize::MAX), 101),
        (config().window(0), 101),
        (config().window(1), 101),
        (config().window(u32::MAX), 101),
        (config().send_buffer(0), 101),
        (config().send_buffer(1), 101),
        (config().send_buffer(u32::MAX), 101),
        (config().max_head_bytes(0), 502),
        (config().max_head_bytes(1), 502),
        (config().max_head_bytes(u32::MAX), 101),
        (config().idle_timeout(nothing), 101),
        (config().idle_timeout(least), 101),
        (config().idle_timeout(most), 101),
        (config().ping_interval(nothing), 101),
        (config().ping_interval(least), 101),
        (config().ping_interval(most), 101),
        (config().ping_timeout(nothing), 101),
        (config().ping_timeout(least), 101),
        (config().ping_timeout(most), 101),
    ];
    for (config, status) in rows {
        let upstream = Upstream::start().await;
        let connect = upstream.connect_with(config.clone());
        let gateway = RunningGateway::connecting(GatewayConfig::default(), connect).await;
        let _upstream = upstream.echo();
        let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, status, "{config:?}");
        if status == 101 {
            client.send("there and back").await;
            client.receives(b"there and back").await;
        }
    }
}
