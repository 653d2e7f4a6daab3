//! The loads by name, and what each of them measures.

use super::requests::Exchange;
use super::tls;

/// Work that every proxy is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Messages of this payload, sent back one by one, on so many connections.
    Echo { payload: usize, connections: usize },
    /// As much as goes through so many tunnels.
    Bulk { streams: usize, direction: Direction },
    /// Messages now and then on so many tunnels, beside one that is in bulk.
    Fair { tunnels: usize },
    /// As `Echo`, in WebSockets over HTTP/2 and TLS: so many tunnels on each of so many connections.
    Http2 { connections: usize, streams: usize },
    /// As `Bulk`, one way, in WebSockets over HTTP/2 and TLS: so many tunnels on one connection.
    Http2Bulk { streams: usize, direction: Direction },
    /// As `Echo`, to an upstream that speaks HTTP/2: so many tunnels on as few connections as the proxy makes of them.
    Http2Upstream { tunnels: usize },
    /// TLS from the client, plain to the upstream.
    Tls(tls::Work),
    /// Ordinary requests, answered one by one.
    Requests(Exchange),
    /// Connect, upgrade, read the 101, close.
    Handshake,
    /// Tunnels that say nothing.
    Idle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Down,
    Up,
    Both,
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Direction::Down => "down",
            Direction::Up => "up",
            Direction::Both => "both",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Direction::Down => "/source",
            Direction::Up => "/sink",
            Direction::Both => "/both",
        }
    }
}

/// All loads, in the order in which they run.
pub(crate) fn all(connections: &[usize]) -> Vec<Load> {
    let mut loads = Vec::new();
    for payload in [64, 4096] {
        for &connections in connections {
            loads.push(Load::Echo { payload, connections });
        }
    }
    for streams in [1, 16] {
        for direction in [Direction::Down, Direction::Up, Direction::Both] {
            loads.push(Load::Bulk { streams, direction });
        }
    }
    for connections in [1, 16] {
        let streams = 64;
        loads.push(Load::Http2 { connections, streams });
    }
    for streams in [1, 16] {
        for direction in [Direction::Down, Direction::Up] {
            loads.push(Load::Http2Bulk { streams, direction });
        }
    }
    for tunnels in [64, 512] {
        loads.push(Load::Http2Upstream { tunnels });
    }
    loads.extend(tls::Work::ALL.map(Load::Tls));
    for (up, down, connections) in [
        (0, 100, 64),
        (0, 1 << 20, 16),
        (0, 16 << 20, 4),
        (1 << 20, 100, 16),
    ] {
        loads.push(Load::Requests(Exchange {
            up,
            down,
            connections,
        }));
    }
    loads.extend([Load::Fair { tunnels: 1000 }, Load::Handshake, Load::Idle]);
    loads
}

impl Load {
    pub(crate) fn name(self) -> String {
        match self {
            Load::Echo { payload, connections } => format!("echo-{payload}-{connections}"),
            Load::Bulk { streams, direction } => {
                format!("bulk-{streams}-{}", direction.name())
            }
            Load::Fair { tunnels } => format!("fair-{tunnels}"),
            Load::Http2 { connections, streams } => format!("h2-{connections}-{streams}"),
            Load::Http2Bulk { streams, direction } => {
                format!("h2-bulk-{streams}-{}", direction.name())
            }
            Load::Http2Upstream { tunnels } => format!("h2-up-{tunnels}"),
            Load::Tls(work) => work.name(),
            Load::Requests(Exchange { up: 0, down, .. }) => format!("requests-{}", size(down)),
            Load::Requests(Exchange { up, .. }) => format!("requests-up-{}", size(up)),
            Load::Handshake => "handshake".to_owned(),
            Load::Idle => "idle".to_owned(),
        }
    }
}

fn size(bytes: usize) -> String {
    match bytes >> 20 {
        0 => bytes.to_string(),
        mebibytes => format!("{mebibytes}m"),
    }
}

/// What a number of a load is. The order is that of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    RoundTripCpu,
    RequestCpu,
    GigabyteCpu,
    HandshakeCpu,
    TunnelMemory,
    MemoryLeft,
    IdleCpu,
    MedianWait,
    LongWait,
    RoundTrips,
    Gigabytes,
    Handshakes,
    Requests,
}

impl Metric {
    pub(crate) const ALL: [Metric; 13] = [
        Metric::RoundTripCpu,
        Metric::RequestCpu,
        Metric::GigabyteCpu,
        Metric::HandshakeCpu,
        Metric::TunnelMemory,
        Metric::MemoryLeft,
        Metric::IdleCpu,
        Metric::MedianWait,
        Metric::LongWait,
        Metric::RoundTrips,
        Metric::Gigabytes,
        Metric::Handshakes,
        Metric::Requests,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Metric::RoundTripCpu => "proxy CPU per round trip, us",
            Metric::RequestCpu => "proxy CPU per request, us",
            Metric::GigabyteCpu => "proxy CPU per GB, s",
            Metric::HandshakeCpu => "proxy CPU per handshake, ms",
            Metric::TunnelMemory => "PSS per idle tunnel, bytes",
            Metric::MemoryLeft => "PSS after all tunnels have closed, MB",
            Metric::IdleCpu => "proxy CPU while idle, us per second",
            Metric::MedianWait => "round trip beside bulk, median, ms",
            Metric::LongWait => "round trip beside bulk, 99th percentile, ms",
            Metric::RoundTrips => "round trips per second",
            Metric::Gigabytes => "GB per second",
            Metric::Handshakes => "handshakes per second",
            Metric::Requests => "requests per second",
        }
    }

    /// Whether less of it is better, as with every cost.
    pub(crate) fn is_cost(self) -> bool {
        !matches!(
            self,
            Metric::RoundTrips | Metric::Gigabytes | Metric::Handshakes | Metric::Requests
        )
    }

    pub(crate) fn decimals(self) -> usize {
        match self {
            Metric::RoundTripCpu
            | Metric::RequestCpu
            | Metric::MemoryLeft
            | Metric::MedianWait
            | Metric::LongWait => 2,
            Metric::GigabyteCpu | Metric::Gigabytes => 3,
            Metric::HandshakeCpu => 4,
            Metric::TunnelMemory
            | Metric::IdleCpu
            | Metric::RoundTrips
            | Metric::Handshakes
            | Metric::Requests => 0,
        }
    }
}

/// What one run of a load has measured.
pub(crate) type Measured = Vec<(Metric, f64)>;
