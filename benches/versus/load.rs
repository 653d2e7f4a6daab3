//! The loads by name, and what each of them measures.

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
    loads.extend([Load::Fair { tunnels: 1000 }, Load::Handshake, Load::Idle]);
    loads
}

impl Load {
    pub(crate) fn name(self) -> String {
        match self {
            Load::Echo { payload, connections } => format!("echo-{payload}-{connections}"),
            Load::Bulk { streams, direction } => {
                let direction = match direction {
                    Direction::Down => "down",
                    Direction::Up => "up",
                    Direction::Both => "both",
                };
                format!("bulk-{streams}-{direction}")
            }
            Load::Fair { tunnels } => format!("fair-{tunnels}"),
            Load::Http2 { connections, streams } => format!("h2-{connections}-{streams}"),
            Load::Handshake => "handshake".to_owned(),
            Load::Idle => "idle".to_owned(),
        }
    }
}

/// What a number of a load is. The order is that of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    RoundTripCpu,
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
}

impl Metric {
    pub(crate) const ALL: [Metric; 11] = [
        Metric::RoundTripCpu,
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
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Metric::RoundTripCpu => "proxy CPU per round trip, us",
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
        }
    }

    /// Whether less of it is better, as with every cost.
    pub(crate) fn is_cost(self) -> bool {
        !matches!(self, Metric::RoundTrips | Metric::Gigabytes | Metric::Handshakes)
    }

    pub(crate) fn decimals(self) -> usize {
        match self {
            Metric::RoundTripCpu | Metric::MemoryLeft | Metric::MedianWait | Metric::LongWait => 2,
            Metric::GigabyteCpu | Metric::Gigabytes => 3,
            Metric::HandshakeCpu => 4,
            Metric::TunnelMemory | Metric::IdleCpu | Metric::RoundTrips | Metric::Handshakes => 0,
        }
    }
}

/// What one run of a load has measured.
pub(crate) type Measured = Vec<(Metric, f64)>;
