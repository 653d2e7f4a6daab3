//! How an input becomes another one: deterministic, by a seed.

/// xorshift64*: different for each seed, and the same on each run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence that the seed decides.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below the bound; 0 where the bound is 0.
    #[must_use]
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// What parsers are sensitive to.
const SPLINTERS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\"",
    b"'",
    b"{",
    b"}",
    b"$",
    b"\\",
    b"/",
    b"..",
    b"%2f",
    b"%00",
    b"%",
    b"//",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xc3\xa9",
    b"\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Host: b\r\n",
    b"HTTP/1.1 ",
    b"ffffffffffffffff",
    b"\x88\x02\x03\xe8",
    b"\x89\x80abcd",
    b"\x7e\xff\xff",
    b"\x7f\0\0\0\0\0\0\0\x01",
];

/// An input of the corpus with one to four things changed, or two of them joined. At most 4 KiB.
pub(crate) fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            bytes.push(random.next() as u8);
        }
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(20)).min(bytes.len());
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, SPLINTERS[random.below(SPLINTERS.len())].iter().copied())),
            4 => drop(bytes.splice(at..end, SPLINTERS[random.below(SPLINTERS.len())].iter().copied())),
            5 => {
                let repeated = bytes[at..end].repeat(1 + random.below(20));
                drop(bytes.splice(at..at, repeated));
            }
            6 => {
                let other = &corpus[random.below(corpus.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
            _ => bytes.truncate(at),
        }
        bytes.truncate(4096);
    }
    bytes
}
