//! What is compressed with a window of any size (RFC 7692, section 7.1.2) is inflated, to the last byte that the window reaches.

/// Compresses as one who refers back as far as its window allows, and no further (RFC 1951, with the fixed codes).
pub(crate) struct SmallWindow {
    reach: usize,
    said: Vec<u8>,
    takes_over: bool,
}

/// The longest match whose length has a code of its own.
const LONGEST: usize = 10;
/// So many places are tried, from the farthest on.
const TRIES: usize = 300;

impl SmallWindow {
    pub(crate) fn new(bits: u32, takes_over: bool) -> Self {
        SmallWindow {
            reach: 1 << bits,
            said: Vec::new(),
            takes_over,
        }
    }

    /// The payload of the message, without the empty block at its end.
    pub(crate) fn deflate(&mut self, text: &[u8]) -> Vec<u8> {
        let mut bits = Bits::default();
        // A block that is not the last one, with the fixed codes.
        bits.push(0, 1);
        bits.push(1, 2);
        let start = self.said.len();
        self.said.extend_from_slice(text);
        let mut at = start;
        while at < self.said.len() {
            match self.farthest(at) {
                Some((distance, length)) => {
                    bits.push_code(257 - 256 + (length as u32 - 3), 7);
                    bits.push_distance(distance as u32);
                    at += length;
                }
                None => {
                    match u32::from(self.said[at]) {
                        byte @ 0..144 => bits.push_code(0x30 + byte, 8),
                        byte => bits.push_code(0x190 + byte - 144, 9),
                    }
                    at += 1;
                }
            }
        }
        // The end of the block, and the three bits of an empty block without compression.
        bits.push_code(0, 7);
        bits.push(0, 3);
        if !self.takes_over {
            self.said.clear();
        }
        bits.bytes
    }

    /// The farthest match, if there is one near enough to the end of the window.
    fn farthest(&self, at: usize) -> Option<(usize, usize)> {
        let most = LONGEST.min(self.said.len() - at);
        let starts = (at.saturating_sub(self.reach)..at).take(TRIES);
        let same = |start: usize| {
            (0..most).take_while(move |&index| self.said[start + index] == self.said[at + index])
        };
        let mut found = starts.map(|start| (at - start, same(start).count()));
        found.find(|(_, length)| *length >= 3)
    }
}

/// Bits, the lowest of a byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    free: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for index in 0..count {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            *self.bytes.last_mut().unwrap() |= ((value >> index & 1) as u8) << (8 - self.free);
            self.free -= 1;
        }
    }

    /// A code begins with its highest bit.
    fn push_code(&mut self, code: u32, length: u32) {
        for index in (0..length).rev() {
            self.push(code >> index & 1, 1);
        }
    }

    fn push_distance(&mut self, distance: u32) {
        let (code, base, extra) = (0..30)
            .map(|code: u32| {
                let extra = (code / 2).saturating_sub(1);
                let base = if code < 4 {
                    code + 1
                } else {
                    ((2 + (code & 1)) << extra) + 1
                };
                (code, base, extra)
            })
            .take_while(|(_, base, _)| *base <= distance)
            .last()
            .unwrap();
        self.push_code(code, 5);
        self.push(distance - base, extra);
    }
}
