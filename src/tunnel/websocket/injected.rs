//! The frames that a tunnel injects: which there are. Nobody can guess a key or a ping.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;

use crate::side::Side;
use crate::websocket::{CloseFrame, ControlFrame, OpCode};

/// A frame that waits for its place between two others.
pub(in crate::tunnel) enum Injected {
    Ping(ControlFrame),
    Close(CloseFrame),
    /// A Close that stands where the sender's own would: what the sender says before it still goes on.
    CloseInPlace(CloseFrame),
}

impl Injected {
    /// The bytes of it, in the direction of what `sender` sends: only a client masks (RFC 6455, section 5.1).
    pub(super) fn to_bytes(&self, sender: Side) -> Vec<u8> {
        let key = masking_key(sender);
        match self {
            Injected::Ping(frame) => frame.to_bytes(key),
            Injected::Close(close) | Injected::CloseInPlace(close) => close.to_frame().to_bytes(key),
        }
    }
}

/// The pings that one side is sent, and what they are known by when they come back.
///
/// A payload is a number that is drawn for this side of this tunnel, and how many pings there were before. So the answer to an
/// earlier ping is known too, without a list of them, and no pong of an end's own is taken for one.
#[derive(Default)]
pub(super) struct Pings {
    token: Option<NonZeroU64>,
    sent: u32,
    /// How many answers to them have come.
    pub(super) answers: u32,
}

impl Pings {
    /// Of a payload.
    pub(super) const LENGTH: usize = 12;
    pub(super) const NONE: Self = Pings {
        token: None,
        sent: 0,
        answers: 0,
    };

    pub(super) fn next(&mut self) -> Option<ControlFrame> {
        let token = *self
            .token
            .get_or_insert_with(|| NonZeroU64::new(random()).unwrap_or(NonZeroU64::MIN));
        self.sent = self.sent.wrapping_add(1);
        let mut payload = [0; Self::LENGTH];
        payload[..8].copy_from_slice(&token.get().to_ne_bytes());
        payload[8..].copy_from_slice(&self.sent.to_be_bytes());
        ControlFrame::new(OpCode::Ping, &payload)
    }

    pub(super) fn are_answered_by(&self, frame: &ControlFrame) -> bool {
        frame.opcode() == OpCode::Pong
            && frame.payload().len() == Self::LENGTH
            && self
                .token
                .is_some_and(|token| frame.payload().starts_with(&token.get().to_ne_bytes()))
    }

    /// Whether this is the answer to the last of them.
    pub(super) fn last_is_answered_by(&self, frame: &ControlFrame) -> bool {
        self.answered_by(frame) == Some(self.sent)
    }

    /// Whether this answers one of them that was sent after `answered` and has not been answered yet. Then that one is the last that
    /// was answered: no pong is a first answer twice, nor is one to a ping that was never sent.
    pub(super) fn are_answered_first_by(&self, frame: &ControlFrame, answered: &mut u32) -> bool {
        let Some(number) = self.answered_by(frame) else {
            return false;
        };
        let open = self.sent.wrapping_sub(*answered);
        let is_first = (1..=open).contains(&number.wrapping_sub(*answered));
        if is_first {
            *answered = number;
        }
        is_first
    }

    /// The number of the ping that this answers.
    fn answered_by(&self, frame: &ControlFrame) -> Option<u32> {
        let number = frame
            .payload()
            .last_chunk()
            .filter(|_| self.are_answered_by(frame))?;
        Some(u32::from_be_bytes(*number))
    }
}

/// A key for a frame in the direction of what `sender` sends, if there is to be one.
pub(super) fn masking_key(sender: Side) -> Option<[u8; 4]> {
    // RFC 6455, section 5.3: "The masking key needs to be unpredictable".
    (sender == Side::Downstream).then(|| (random() as u32).to_ne_bytes())
}

/// A number that cannot be predicted from the ones before it: a keyed hash, whose key is from the operating system and another
/// each time.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_are_known_by_their_answers_and_no_other_pong_is_one() {
        let (mut pings, mut others) = (Pings::default(), Pings::default());
        let answer = |ping: &ControlFrame| ControlFrame::new(OpCode::Pong, ping.payload()).unwrap();
        assert!(!pings.are_answered_by(&ControlFrame::new(OpCode::Pong, &[0; 12]).unwrap()));
        let (first, second, other) = (
            pings.next().unwrap(),
            pings.next().unwrap(),
            others.next().unwrap(),
        );
        assert_ne!(first, second);
        assert!(pings.are_answered_by(&answer(&first)) && pings.are_answered_by(&answer(&second)));
        assert!(!pings.are_answered_by(&answer(&other)));
        assert!(
            !pings.are_answered_by(&first),
            "a ping with the same payload is the end's own"
        );
        let longer = [first.payload(), b"x"].concat();
        assert!(!pings.are_answered_by(&ControlFrame::new(OpCode::Pong, &longer).unwrap()));
    }

    #[test]
    fn each_ping_has_one_first_answer() {
        let pong = |ping: &ControlFrame| ControlFrame::new(OpCode::Pong, ping.payload()).unwrap();
        for sent_before in [0, u32::MAX - 2] {
            let mut pings = Pings {
                sent: sent_before,
                ..Pings::default()
            };
            let answers = [(); 4].map(|()| pong(&pings.next().unwrap()));
            let mut never_sent = answers[3].payload().to_vec();
            *never_sent.last_mut().unwrap() += 1;
            let never_sent = ControlFrame::new(OpCode::Pong, &never_sent).unwrap();
            let mut answered = sent_before;
            for (answer, is_first) in [
                (&never_sent, false),
                (&answers[0], true),
                (&answers[0], false),
                // The answer to a later ping is one to those before it (RFC 6455, section 5.5.3).
                (&answers[2], true),
                (&answers[1], false),
                (&answers[2], false),
                (&answers[3], true),
                (&answers[3], false),
                (&never_sent, false),
            ] {
                let found = pings.are_answered_first_by(answer, &mut answered);
                assert_eq!(found, is_first, "{:?}", answer.payload());
            }
        }
    }

    #[test]
    fn only_towards_an_upstream_there_is_a_mask_and_each_has_its_own() {
        let close = Injected::Close(CloseFrame::read(b"\x03\xe9"));
        assert_eq!(close.to_bytes(Side::Upstream), b"\x88\x02\x03\xe9");
        let keys = [(); 2].map(|()| close.to_bytes(Side::Downstream)[2..6].to_vec());
        assert_ne!(keys[0], keys[1]);
    }
}
