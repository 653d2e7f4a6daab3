//! Which of several servers is next: by turns, by how many tunnels each has, or by a key. Pure.

use super::{CustomBalance, Key};
use crate::connect::UpstreamId;

/// How requests are spread over the servers of a group.
///
/// Each is also a text: `round-robin`, `least-tunnels`, `random`, `power-of-two` (`least-of-two` is read too), and `hash:` with a [`Key`].
///
/// ```
/// use switchover::upstream::{Balance, Key};
///
/// assert_eq!("least-tunnels".parse(), Ok(Balance::LeastTunnels));
/// assert_eq!("hash:cookie:session".parse(), Ok(Balance::Hash(Key::Cookie("session".to_owned()))));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// By turns, each as often as its weight says, and as evenly as that goes: nginx's smooth weighted round robin.
    #[default]
    RoundRobin,
    /// To the server with the fewest tunnels for its weight; by turns among several such. The one for connections that
    /// last: after a restart, a server catches up.
    LeastTunnels,
    /// By chance, each as often as its weight says: for gateways beside each other, whose turns would fall together.
    Random,
    /// Of two servers drawn by chance, to the one with fewer tunnels for its weight: nginx's `random two least_conn`. For
    /// gateways beside each other, each of which sees only its own tunnels and would send all that come to the same server.
    PowerOfTwo,
    /// To the server that the key of the request belongs to. A server that goes takes its own keys along and no other's,
    /// and one that comes takes its share from all. By turns for requests without the key.
    Hash(Key),
    /// As the caller says.
    Custom(CustomBalance),
}

/// What is known of a request before a server is chosen for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Any server will do.
    Any,
    /// That to which this key belongs.
    Key(u64),
    /// This one, if it is still open.
    Server(UpstreamId),
}

impl Balance {
    /// The rule for those requests of which a rule of the caller's says nothing.
    pub(super) fn without_custom(&self) -> &Balance {
        match self {
            Balance::Custom(rule) => rule.other().without_custom(),
            other => other,
        }
    }
}

/// A text that is no [`Balance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a balance is round-robin, least-tunnels, random, power-of-two, hash:client, hash:header:NAME, hash:cookie:NAME or \
     hash:query:NAME"
)]
#[expect(clippy::exhaustive_structs, reason = "a sentence without parts")]
pub struct BalanceError;

impl std::str::FromStr for Balance {
    type Err = BalanceError;

    fn from_str(text: &str) -> Result<Self, BalanceError> {
        match text {
            "round-robin" => Ok(Balance::RoundRobin),
            "least-tunnels" => Ok(Balance::LeastTunnels),
            "random" => Ok(Balance::Random),
            "power-of-two" | "least-of-two" => Ok(Balance::PowerOfTwo),
            _ => {
                let key = text.strip_prefix("hash:").ok_or(BalanceError)?;
                key.parse().map(Balance::Hash)
            }
        }
    }
}

/// What there is to choose by of a server.
pub(super) trait Candidate {
    fn weight(&self) -> u32;
    fn tunnels(&self) -> usize;
    /// A number that is always the same for the same server.
    fn identity(&self) -> u64;
}

/// Whose turn it is, among servers in a fixed order: one number for each.
///
/// In every turn each grows by its weight, and the largest is chosen and shrinks by all weights together. So over as many
/// turns as the weights add up to, each has exactly its share, and never two in a row that could be apart.
pub(super) fn by_turns<T: Candidate>(
    turns: &mut [i64],
    among: impl Iterator<Item = (usize, T)>,
) -> Option<usize> {
    let (mut best, mut total): (Option<usize>, i64) = (None, 0);
    for (at, candidate) in among {
        let weight = i64::from(candidate.weight());
        total += weight;
        turns[at] += weight;
        if best.is_none_or(|best| turns[at] > turns[best]) {
            best = Some(at);
        }
    }
    let best = best?;
    turns[best] -= total;
    Some(best)
}

/// The one with the fewest tunnels for its weight, by turns among those that have the fewest.
pub(super) fn by_tunnels<T: Candidate>(
    turns: &mut [i64],
    among: impl Iterator<Item = (usize, T)> + Clone,
) -> Option<usize> {
    let loads = among.clone().map(|(_, candidate)| load(&candidate));
    let least = loads.reduce(|least, load| if fewer(load, least) { load } else { least })?;
    by_turns(
        turns,
        among.filter(|(_, candidate)| !fewer(least, load(candidate))),
    )
}

/// Tunnels, and the weight that they are for.
fn load(candidate: &impl Candidate) -> (u64, u64) {
    (candidate.tunnels() as u64, u64::from(candidate.weight()))
}

/// Without a division: one server has fewer than another if tunnels / weight is smaller there.
fn fewer(one: (u64, u64), other: (u64, u64)) -> bool {
    u128::from(one.0) * u128::from(other.1) < u128::from(other.0) * u128::from(one.1)
}

/// The one that a number from 0 to 1 falls on, where each has as much room as its weight says.
pub(super) fn by_chance<T: Candidate>(
    chance: f64,
    among: impl Iterator<Item = (usize, T)> + Clone,
) -> Option<usize> {
    let total: u64 = among
        .clone()
        .map(|(_, candidate)| u64::from(candidate.weight()))
        .sum();
    let mut left = chance * total as f64;
    let mut last = None;
    for (at, candidate) in among {
        last = Some(at);
        left -= f64::from(candidate.weight());
        if left < 0.0 {
            break;
        }
    }
    last
}

/// Of two that are drawn by chance, the one with fewer tunnels for its weight, the first if they have as many.
pub(super) fn by_two_chances<T: Candidate>(
    chances: [f64; 2],
    among: impl Iterator<Item = (usize, T)> + Clone,
) -> Option<usize> {
    let first = by_chance(chances[0], among.clone())?;
    let others = among.clone().filter(|(at, _)| *at != first);
    let Some(second) = by_chance(chances[1], others) else {
        return Some(first);
    };
    let load_at = |wanted: usize| {
        let mut found = among.clone().filter(|(at, _)| *at == wanted);
        found.next().map_or((0, 1), |(_, candidate)| load(&candidate))
    };
    Some(match fewer(load_at(second), load_at(first)) {
        true => second,
        false => first,
    })
}

/// The one that a key belongs to: weighted rendezvous hashing. Each server draws a number for the key, and the smallest
/// wins; what other servers there are has no part in it.
pub(super) fn by_key<T: Candidate>(key: u64, among: impl Iterator<Item = (usize, T)>) -> Option<usize> {
    // Numbers of an exponential distribution whose rate is the weight: the smallest is a server's in proportion to it.
    let drawn = |candidate: &T| {
        let uniform = (mixed(key ^ candidate.identity()) as f64 + 0.5) / 2_f64.powi(64);
        -uniform.ln() / f64::from(candidate.weight())
    };
    let draws = among.map(|(at, candidate)| (at, drawn(&candidate)));
    draws
        .min_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(at, _)| at)
}

/// A number of bytes, the same in every process and on every machine: gateways beside each other agree on it, and so does
/// one after its restart.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    // FNV-1a, which alone leaves too much order in short texts.
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mixed(hash)
}

/// Spreads every bit over all: the finalizer of SplitMix64.
fn mixed(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    struct Fake {
        weight: u32,
        tunnels: usize,
        identity: u64,
    }

    impl Candidate for &Fake {
        fn weight(&self) -> u32 {
            self.weight
        }

        fn tunnels(&self) -> usize {
            self.tunnels
        }

        fn identity(&self) -> u64 {
            self.identity
        }
    }

    fn fakes(weights: &[u32]) -> Vec<Fake> {
        let fake = |(at, weight): (usize, &u32)| Fake {
            weight: *weight,
            tunnels: 0,
            identity: hash(format!("10.0.0.{at}:80").as_bytes()),
        };
        weights.iter().enumerate().map(fake).collect()
    }

    fn turns_of(weights: &[u32], count: usize) -> Vec<usize> {
        let fakes = fakes(weights);
        let mut turns = vec![0; fakes.len()];
        (0..count)
            .map(|_| by_turns(&mut turns, fakes.iter().enumerate()).unwrap())
            .collect()
    }

    #[test]
    fn turns_are_as_even_as_they_can_be() {
        // The examples of nginx's own description of the algorithm, and equal weights.
        assert_eq!(turns_of(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns_of(&[1, 1, 1], 6), [0, 1, 2, 0, 1, 2]);
        assert_eq!(turns_of(&[2, 1], 6), [0, 1, 0, 0, 1, 0]);
        assert_eq!(turns_of(&[7], 3), [0, 0, 0]);
        assert_eq!(by_turns::<&Fake>(&mut [], [].into_iter()), None);
    }

    #[test]
    fn the_fewest_tunnels_for_the_weight() {
        let cases: &[(&[(usize, u32)], usize)] = &[
            (&[(3, 1), (2, 1), (4, 1)], 1),
            (&[(3, 1), (5, 2), (4, 1)], 1),
            (&[(10, 5), (5, 2), (3, 1)], 0),
            (&[(0, 1), (0, 9)], 1),
            (&[(usize::MAX, u32::MAX), (usize::MAX, 1)], 0),
        ];
        for (loads, expected) in cases {
            let mut fakes = fakes(&vec![1; loads.len()]);
            for (fake, (tunnels, weight)) in fakes.iter_mut().zip(*loads) {
                (fake.tunnels, fake.weight) = (*tunnels, *weight);
            }
            let mut turns = vec![0; fakes.len()];
            let chosen = by_tunnels(&mut turns, fakes.iter().enumerate());
            assert_eq!(chosen, Some(*expected), "{loads:?}");
        }
    }

    #[test]
    fn tunnels_that_last_are_spread_by_weight() {
        let mut fakes = fakes(&[3, 2, 1]);
        let mut turns = vec![0; 3];
        for _ in 0..600 {
            let chosen = by_tunnels(&mut turns, fakes.iter().enumerate()).unwrap();
            fakes[chosen].tunnels += 1;
        }
        let tunnels: Vec<_> = fakes.iter().map(|fake| fake.tunnels).collect();
        assert_eq!(tunnels, [300, 200, 100]);
    }

    #[test]
    fn chance_falls_on_each_by_its_weight() {
        let fakes = fakes(&[1, 3, 0, 4]);
        let drawn = |chance| by_chance(chance, fakes.iter().enumerate()).unwrap();
        let cases = [
            (0.0, 0),
            (0.12, 0),
            (0.13, 1),
            (0.49, 1),
            (0.5, 3),
            (0.99, 3),
            (1.0, 3),
        ];
        for (chance, expected) in cases {
            assert_eq!(drawn(chance), expected, "{chance}");
        }
        assert_eq!(by_chance::<&Fake>(0.5, [].into_iter()), None);
    }

    #[test]
    fn of_two_that_are_drawn_the_one_with_fewer_tunnels() {
        let mut fakes = fakes(&[1, 1, 2]);
        (fakes[0].tunnels, fakes[1].tunnels, fakes[2].tunnels) = (1, 2, 3);
        let drawn = |chances| by_two_chances(chances, fakes.iter().enumerate()).unwrap();
        let cases = [
            // The first and the second, both ways about; the second and the third, which has fewer for its weight.
            ([0.0, 0.0], 0),
            ([0.3, 0.0], 0),
            ([0.3, 0.9], 2),
            ([0.9, 0.9], 2),
            ([0.9, 0.0], 0),
        ];
        for (chances, expected) in cases {
            assert_eq!(drawn(chances), expected, "{chances:?}");
        }
        assert_eq!(by_two_chances([0.5; 2], fakes[..1].iter().enumerate()), Some(0));
        assert_eq!(by_two_chances::<&Fake>([0.5; 2], [].into_iter()), None);
    }

    fn owner(key: u64, fakes: &[Fake]) -> u64 {
        fakes[by_key(key, fakes.iter().enumerate()).unwrap()].identity
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let fakes = fakes(&[4, 2, 1, 1]);
        let mut counts = [0; 4];
        for key in 0..80_000 {
            let key = hash(format!("session-{key}").as_bytes());
            counts[by_key(key, fakes.iter().enumerate()).unwrap()] += 1;
        }
        for (count, expected) in counts.into_iter().zip([40_000, 20_000, 10_000, 10_000]) {
            assert!(i32::abs(count - expected) < expected / 20, "{counts:?}");
        }
    }

    #[test]
    fn a_hash_is_the_same_everywhere() {
        // Values that other gateways, and the next version, have to agree on.
        assert_eq!(hash(b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(hash(b"10.0.0.1:80"), 0xdbbc_907f_2153_1a73);
    }

    proptest! {
        #[test]
        fn over_a_period_each_has_exactly_its_weight(
            weights in proptest::collection::vec(1_u32..50, 1..12), periods in 1_usize..4,
        ) {
            let period: u32 = weights.iter().sum();
            let chosen = turns_of(&weights, period as usize * periods);
            for (at, weight) in weights.iter().enumerate() {
                let count = chosen.iter().filter(|chosen| **chosen == at).count();
                prop_assert_eq!(count, *weight as usize * periods);
            }
        }

        #[test]
        fn a_server_that_goes_moves_its_own_keys_only(
            weights in proptest::collection::vec(1_u32..8, 2..12), gone in any::<prop::sample::Index>(),
            keys in proptest::collection::vec(any::<u64>(), 100),
        ) {
            let before = fakes(&weights);
            let mut after = before.clone();
            let gone = after.remove(gone.index(before.len())).identity;
            for key in keys {
                let (was, is) = (owner(key, &before), owner(key, &after));
                prop_assert!(was == gone || was == is);
            }
        }

        #[test]
        fn a_server_that_is_chosen_is_one_of_those_to_choose_from(
            weights in proptest::collection::vec(1_u32..8, 1..12), key in any::<u64>(),
            mask in any::<u16>(),
        ) {
            let fakes = fakes(&weights);
            let among = || fakes.iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0);
            let mut turns = vec![0; fakes.len()];
            for chosen in [by_turns(&mut turns, among()), by_tunnels(&mut turns, among()), by_key(key, among())] {
                prop_assert_eq!(chosen.is_some(), among().count() > 0);
                prop_assert!(chosen.is_none_or(|chosen| mask & (1 << chosen) != 0));
            }
        }
    }

    #[test]
    fn a_server_that_comes_takes_about_its_share() {
        for count in 2..12 {
            let after = fakes(&vec![1; count]);
            let before = &after[..count - 1];
            let keys = 20_000;
            let moved = (0..keys).filter(|key| owner(mixed(*key), before) != owner(mixed(*key), &after));
            let (moved, share) = (moved.count() as f64, keys as f64 / count as f64);
            assert!(
                (moved - share).abs() < share / 10.0,
                "{moved} of {keys} keys moved to one of {count}"
            );
        }
    }
}
