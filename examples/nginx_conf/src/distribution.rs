//! How nginx distributes requests over the servers of a group by `hash`, `hash … consistent` and `ip_hash`: a request has the same
//! server here as there. Pure.
//!
//! The algorithms are in nginx's documentation and those of the clients of memcached that it is compatible with.

use crc32fast::Hasher;

/// After as many servers that are not open, requests take turns.
const MOST_TRIES: u32 = 20;

/// Each unit of weight has as many points on the ring.
const POINTS: usize = 160;

/// Weights beyond this one have no more points: they would fill the memory.
const LARGEST_WEIGHT: u32 = 10_000;

/// A server, as the rules look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer<'a> {
    /// What its `server` line says.
    pub(crate) written: &'a str,
    pub(crate) weight: u32,
    pub(crate) is_open: bool,
}

/// The server on whose share of the weights a number falls.
fn place(number: u32, peers: &[Peer<'_>]) -> Option<usize> {
    let total: u64 = peers.iter().map(|peer| u64::from(peer.weight)).sum();
    let mut left = u64::from(number).checked_rem(total)?;
    peers
        .iter()
        .position(|peer| match left.checked_sub(peer.weight.into()) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
}

/// The first open server of those that a row of numbers leads to.
fn first_open(numbers: impl Iterator<Item = u32>, peers: &[Peer<'_>]) -> Option<usize> {
    numbers
        .take(MOST_TRIES as usize + 1)
        .find_map(|number| place(number, peers).filter(|at| peers[*at].is_open))
}

/// `ip_hash`. Of an address of IPv4 come the first three bytes, of others all.
pub(crate) fn by_address(address: &[u8], peers: &[Peer<'_>]) -> Option<usize> {
    let mut hash: u32 = 89;
    let numbers = std::iter::from_fn(|| {
        hash = address
            .iter()
            .fold(hash, |hash, byte| (hash * 113 + u32::from(*byte)) % 6271);
        Some(hash)
    });
    first_open(numbers, peers)
}

/// `hash KEY`. Requests without a key take turns.
pub(crate) fn by_key(key: &[u8], peers: &[Peer<'_>]) -> Option<usize> {
    if key.is_empty() {
        return None;
    }
    let mut sum: u32 = 0;
    let numbers = (0_u32..).map(|again| {
        let mut hasher = Hasher::new();
        if again > 0 {
            hasher.update(again.to_string().as_bytes());
        }
        hasher.update(key);
        sum = sum.wrapping_add((hasher.finalize() >> 16) & 0x7fff);
        sum
    });
    first_open(numbers, peers)
}

/// `hash KEY consistent`: the points of the servers on a ring of numbers.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    /// Each with the number of the server among those below.
    points: Vec<(u32, usize)>,
    servers: Vec<(String, u32)>,
}

impl Ring {
    pub(crate) fn of(peers: &[Peer<'_>]) -> Ring {
        let servers: Vec<_> = peers
            .iter()
            .map(|peer| (peer.written.to_owned(), peer.weight))
            .collect();
        let mut points = Vec::new();
        for (index, (written, weight)) in servers.iter().enumerate() {
            let (host, port) = host_and_port(written);
            let mut base = Hasher::new();
            base.update(host.as_bytes());
            base.update(&[0]);
            base.update(port.as_bytes());
            let mut hash: u32 = 0;
            for _ in 0..POINTS * (*weight).min(LARGEST_WEIGHT) as usize {
                let mut hasher = base.clone();
                hasher.update(&hash.to_le_bytes());
                hash = hasher.finalize();
                points.push((hash, index));
            }
        }
        points.sort_by_key(|(hash, _)| *hash);
        points.dedup_by_key(|(hash, _)| *hash);
        Ring { points, servers }
    }

    /// Whether it is the ring of these servers.
    pub(crate) fn is_of(&self, peers: &[Peer<'_>]) -> bool {
        let as_here = |(peer, server): (&Peer<'_>, &(String, u32))| {
            (peer.written, peer.weight) == (&*server.0, server.1)
        };
        self.servers.len() == peers.len() && peers.iter().zip(&self.servers).all(as_here)
    }

    /// The server of a key. Where several are written alike, as the addresses of one name, `turn` chooses among those that are open.
    pub(crate) fn find(&self, key: &[u8], peers: &[Peer<'_>], turn: usize) -> Option<usize> {
        if key.is_empty() || self.points.is_empty() {
            return None;
        }
        let hash = crc32fast::hash(key);
        let first = self.points.partition_point(|(point, _)| *point < hash);
        (0..=MOST_TRIES as usize).find_map(|again| {
            let (_, index) = self.points[(first + again) % self.points.len()];
            let written = &self.servers[index].0;
            let alike = || {
                let peers = peers.iter().enumerate();
                peers.filter(|(_, peer)| peer.is_open && peer.written == written)
            };
            let (at, _) = alike().nth(turn.checked_rem(alike().count())?)?;
            Some(at)
        })
    }
}

/// As nginx takes a `server` apart: the digits behind the last colon are the port.
fn host_and_port(written: &str) -> (&str, &str) {
    if let Some(path) = written.strip_prefix("unix:") {
        return (path, "");
    }
    match written.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
        _ => (written, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers<'a>(servers: &[(&'a str, u32)]) -> Vec<Peer<'a>> {
        let peer = |(written, weight): &(&'a str, u32)| Peer {
            written,
            weight: *weight,
            is_open: true,
        };
        servers.iter().map(peer).collect()
    }

    #[test]
    fn a_server_that_is_not_open_is_passed_by() {
        let all = peers(&[("10.0.0.1:80", 1), ("10.0.0.2:80", 2), ("10.0.0.3:80", 1)]);
        let ring = Ring::of(&all);
        for number in 0..200_u8 {
            let key = format!("key-{number}");
            type Find<'a> = Box<dyn Fn(&[Peer<'_>]) -> Option<usize> + 'a>;
            let rules: [Find<'_>; 3] = [
                Box::new(|peers| by_address(&[10, 0, number], peers)),
                Box::new(|peers| by_key(key.as_bytes(), peers)),
                Box::new(|peers| ring.find(key.as_bytes(), peers, 0)),
            ];
            for find in rules {
                let first = find(&all).unwrap();
                let mut rest = all.clone();
                rest[first].is_open = false;
                let second = find(&rest).unwrap();
                assert_ne!(second, first);
                rest[second].is_open = false;
                rest[3 - first - second].is_open = false;
                assert_eq!(find(&rest), None);
            }
        }
    }

    #[test]
    fn consistent_keys_stay_where_they_are() {
        let all = peers(&[("a:1", 1), ("b:1", 1), ("c:1", 1)]);
        let without = peers(&[("a:1", 1), ("c:1", 1)]);
        let (ring, smaller) = (Ring::of(&all), Ring::of(&without));
        assert!(ring.is_of(&all) && !ring.is_of(&without));
        for number in 0..200 {
            let key = format!("key-{number}");
            let before = all[ring.find(key.as_bytes(), &all, 0).unwrap()].written;
            let after = without[smaller.find(key.as_bytes(), &without, 0).unwrap()].written;
            assert!(before == "b:1" || before == after, "{key}");
        }
    }

    #[test]
    fn the_addresses_of_a_name_take_turns() {
        let mut all = peers(&[("name:1", 1), ("name:1", 1), ("name:1", 1)]);
        let ring = Ring::of(&all);
        let found = |all: &[Peer<'_>], turn| ring.find(b"key", all, turn);
        assert_eq!(
            [0, 1, 2, 3].map(|turn| found(&all, turn)),
            [Some(0), Some(1), Some(2), Some(0)]
        );
        all[1].is_open = false;
        assert_eq!(
            [0, 1, 2].map(|turn| found(&all, turn)),
            [Some(0), Some(2), Some(0)]
        );
    }

    #[test]
    fn without_a_key_or_a_server_there_is_none() {
        let all = peers(&[("a:1", 1)]);
        assert_eq!(by_key(b"", &all), None);
        assert_eq!(Ring::of(&all).find(b"", &all, 0), None);
        for found in [
            by_key(b"k", &[]),
            by_address(&[1, 2, 3], &[]),
            Ring::default().find(b"k", &[], 0),
        ] {
            assert_eq!(found, None);
        }
    }

    #[test]
    fn the_parts_of_a_server() {
        let cases = [
            ("a.example:80", ("a.example", "80")),
            ("a.example", ("a.example", "")),
            ("[::1]:80", ("[::1]", "80")),
            ("[::1]", ("[::1]", "")),
            ("unix:/run/a.sock", ("/run/a.sock", "")),
        ];
        for (written, expected) in cases {
            assert_eq!(host_and_port(written), expected, "{written}");
        }
    }
}
