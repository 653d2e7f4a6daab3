//! Handshakes whose flights are changed on their way, by chance that repeats: nothing panics, little is held, and there is an end.

use super::*;
use crate::tls::stream::JOINED;
use crate::tls::stream::scratch::{HEADER, RECORD};

/// A stream of numbers (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// The records of a flight, each with its header.
fn records(flight: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut records) = (flight, Vec::new());
    while let Some(&[_, _, _, high, low]) = rest.first_chunk() {
        let end = HEADER + usize::from(u16::from_be_bytes([high, low]));
        let (record, later) = rest.split_at(end.min(rest.len()));
        records.push(record.to_vec());
        rest = later;
    }
    records
}

fn record(kind: u8, version: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    [&[kind][..], &version, &length, payload].concat()
}

/// What may be where a record was.
fn changed(chance: &mut Chance, mut original: Vec<u8>) -> Vec<u8> {
    let versions = [
        [3, 1],
        [3, 3],
        [3, 9],
        [0, 2],
        [0xfe, 0xff],
        [0xfe, 0xfd],
        [0xfe, 0xfc],
        [4, 0],
    ];
    let kinds = [20, 21, 22, 22, 23, 23, 24, 25];
    let (kind, version) = (chance.one_of(&kinds), chance.one_of(&versions));
    let length = chance.one_of(&[0, 1, 2, 3, 4, 5, 16, 100, 17_000]);
    match chance.below(9) {
        0 => {
            let at = chance.below(original.len());
            original[at] ^= 1 << chance.below(8);
            original
        }
        1 => {
            original[0] = kind;
            original
        }
        2 => {
            original[1..3].copy_from_slice(&version);
            original
        }
        // Pieces, and empty ones among them.
        3 => {
            let size = chance.one_of(&[1, 3, 50]);
            let pieces = original[HEADER..].chunks(size);
            pieces
                .flat_map(|piece| record(original[0], [3, 3], piece))
                .collect()
        }
        4 => [original.clone(), original].concat(),
        5 => [record(kind, version, &vec![0; length]), original].concat(),
        6 => {
            let many = chance.one_of(&[1, 40, 2000]);
            [
                record(kind, version, &vec![0; length.min(5)]).repeat(many),
                original,
            ]
            .concat()
        }
        7 => Vec::new(),
        // The beginning of a message that does not end.
        _ => {
            let begun = record(22, [3, 3], &[chance.one_of(&[1, 2, 11, 16, 20, 24]), 0, 0xff, 0]);
            let many = chance.one_of(&[1, 1000, 11_000]);
            [begun, record(22, version, &[0]).repeat(many), original].concat()
        }
    }
}

/// Shows a flight to the other side. None where the handshake has failed.
fn shown<C: Connection>(
    to: &mut Handshake<C>,
    flight: &[u8],
    step: usize,
    answer: &mut Outgoing,
) -> Option<bool> {
    let mut is_done = false;
    for piece in flight.chunks(step) {
        let before = to.steps;
        to.received.extend_from_slice(piece);
        is_done = to.advance(answer).ok()?;
        // Each record has a few states.
        assert!(
            to.steps - before <= 8 * (piece.len() / HEADER + 8),
            "{}",
            to.steps
        );
        if is_done {
            break;
        }
        assert!(to.received.len() <= JOINED + RECORD, "{}", to.received.len());
    }
    Some(is_done)
}

#[test]
fn whatever_becomes_of_a_flight() {
    let (mut done, mut failed) = (0, 0);
    for version in VERSIONS {
        let configs = Configs::new(version, ring::default_provider());
        for seed in 1..=1500_u64 {
            let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut server = Handshake::new(configs.server(), BytesMut::new());
            let mut client = Handshake::new(configs.client(), BytesMut::new());
            let (mut up, mut down) = (Outgoing::default(), Outgoing::default());
            assert!(!client.advance(&mut up).unwrap());
            let changes = chance.below(4);
            for turn in 0..4 {
                let mut flight = records(&wire(if turn % 2 == 0 { &mut up } else { &mut down }));
                if turn == changes && !flight.is_empty() {
                    let at = chance.below(flight.len());
                    flight[at] = changed(&mut chance, std::mem::take(&mut flight[at]));
                }
                let flight = flight.concat();
                let step = chance.one_of(&[100, 1000, 8192, usize::MAX]);
                let step = if flight.len() < 10_000 {
                    chance.one_of(&[1, step])
                } else {
                    step
                };
                let step = step.min(flight.len()).max(1);
                let outcome = match turn % 2 {
                    0 => shown(&mut server, &flight, step, &mut down),
                    _ => shown(&mut client, &flight, step, &mut up),
                };
                match outcome {
                    Some(true) => done += 1,
                    Some(false) => continue,
                    None => failed += 1,
                }
                if outcome.is_none() || turn > 1 {
                    break;
                }
            }
        }
    }
    assert!(done > 100 && failed > 100, "{done} {failed}");
}
