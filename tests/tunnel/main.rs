//! The tunnel's promises. Every case runs twice, with its two sides exchanged: `near` is the side that the stimulus
//! happens on.

mod bytes_in_order;
mod cost;
mod deadlines;
mod ends;
mod failures;
mod framed;
#[cfg(target_os = "linux")]
mod splice;

use std::time::Duration;

use switchover::Side;
use switchover::test_util::fault::{self, Faults, FaultyStream, Watch};
use switchover::tunnel::{Traffic, Tunnel, TunnelConfig};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

/// Makes two tests of one case: `near` is downstream in the first, upstream in the second.
///
/// `virtual_time` is for in-memory streams: the clock jumps whenever nothing else can happen. `real_time` is for sockets.
macro_rules! mirrored {
    ($($clock:ident async fn $name:ident($near:ident: Side) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn case($near: switchover::Side) $body

            crate::mirrored!(@test $clock, downstream, switchover::Side::Downstream);
            crate::mirrored!(@test $clock, upstream, switchover::Side::Upstream);
        }
    )*};
    (@test virtual_time, $name:ident, $near:expr) => {
        #[tokio::test(start_paused = true)]
        async fn $name() {
            // Far beyond every limit in a case: a clock that has nothing else to do jumps there at once.
            let limit = crate::seconds(20_000_000);
            tokio::time::timeout(limit, case($near)).await.expect("the case hangs");
        }
    };
    (@test real_time, $name:ident, $near:expr) => {
        #[tokio::test]
        async fn $name() {
            // Bulk takes its time where the processor has other things to do.
            let limit = crate::seconds(90);
            tokio::time::timeout(limit, case($near)).await.expect("the case hangs");
        }
    };
}
pub(crate) use mirrored;

pub(crate) const SCRATCH_SIZE: u64 = 64 * 1024;

pub(crate) type Memory = FaultyStream<DuplexStream>;

/// An in-memory table: two peers, the streams that they talk to, and what is done with those.
pub(crate) struct Table {
    pub(crate) near_peer: Memory,
    pub(crate) far_peer: Memory,
    pub(crate) near: Memory,
    pub(crate) far: Memory,
    pub(crate) near_watch: Watch,
    pub(crate) far_watch: Watch,
}

impl Table {
    pub(crate) fn new(capacity: usize) -> Self {
        Table::with_faults(capacity, Faults::none(), Faults::none())
    }

    pub(crate) fn with_faults(capacity: usize, near_faults: Faults, far_faults: Faults) -> Self {
        let (near_peer, near) = fault::pair(capacity);
        let (far, far_peer) = fault::pair(capacity);
        let (near_watch, far_watch) = (near.watch(), far.watch());
        let (near, far) = (near.faults(near_faults), far.faults(far_faults));
        Table {
            near_peer,
            far_peer,
            near,
            far,
            near_watch,
            far_watch,
        }
    }
}

/// A tunnel whose downstream is `near` or `far`.
pub(crate) fn seat<S>(near_side: Side, near: S, far: S) -> Tunnel<S, S>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    match near_side {
        Side::Downstream => Tunnel::new(near, far),
        Side::Upstream => Tunnel::new(far, near),
    }
}

/// What came from `side` and was delivered.
pub(crate) fn delivered_from(side: Side, traffic: &Traffic) -> u64 {
    match side {
        Side::Downstream => traffic.from_downstream(),
        Side::Upstream => traffic.from_upstream(),
    }
}

/// Two ends of a TCP connection on the loopback interface.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (connected.unwrap(), accepted.unwrap().0)
}

/// No limit but those that a case sets.
pub(crate) fn unlimited() -> TunnelConfig {
    TunnelConfig::default()
        .idle_timeout(None)
        .write_timeout(None)
        .half_close_timeout(None)
}

/// Runs a case of a property in virtual time. One that waits for ever fails: where nothing else can happen, the clock jumps to this limit.
pub(crate) fn in_virtual_time<T>(case: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let limited = async { tokio::time::timeout(seconds(20_000_000), case).await };
    runtime.block_on(limited).expect("the case hangs")
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Bytes in which any loss, repetition or exchange shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index % 251) as u8 ^ (index / 251) as u8)
        .collect()
}
