//! Which names of fields a message may have, in one number: most questions are about fields that it does not have.

use http::header::HeaderName;

use crate::token;

/// A bit for each name that was added, which other names may share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    names: u64,
    may_repeat: bool,
    may_have_underscores: bool,
}

impl Marks {
    /// Returns its bit.
    #[inline]
    pub(super) fn add(&mut self, name: &HeaderName) -> u8 {
        let bit = bit(name);
        self.add_bit(bit);
        // Nobody asks after the client's fields are checked, so this is not looked for.
        self.may_have_underscores = true;
        bit
    }

    /// Adds a name by its bit. Whether it has an underscore is [noted](Marks::note_underscores) by itself.
    #[inline]
    pub(super) fn add_bit(&mut self, bit: u8) {
        self.may_repeat |= self.has(bit);
        self.names |= 1 << bit;
    }

    pub(super) fn note_underscores(&mut self, name: &[u8]) {
        self.may_have_underscores |= token::contains(name, b'_');
    }

    /// False if no name has one.
    pub(super) fn may_have_underscores(self) -> bool {
        self.may_have_underscores
    }

    /// False if no name with this bit was added.
    #[inline]
    pub(super) fn has(self, bit: u8) -> bool {
        self.names & 1 << bit != 0
    }

    /// False if no name with one of these bits was added.
    pub(super) fn may_have_any(self, mask: u64) -> bool {
        self.names & mask != 0
    }

    /// False if it was not added.
    #[inline]
    pub(crate) fn may_have(self, name: &HeaderName) -> bool {
        self.has(bit(name))
    }

    /// False if no name was added twice.
    pub(super) fn may_repeat(self) -> bool {
        self.may_repeat
    }
}

/// The bit of a name, below 64.
#[inline]
pub(super) fn bit(name: &HeaderName) -> u8 {
    bit_of(name.as_str().as_bytes())
}

/// The bit of a name in lower case.
#[inline]
const fn bit_of(name: &[u8]) -> u8 {
    match name {
        [first, .., last] => combined(name.len(), *first, *last),
        _ => 0,
    }
}

/// The bit of a name in whatever case.
pub(super) const fn bit_of_spelling(name: &[u8]) -> u8 {
    match name {
        [first, .., last] => combined(name.len(), first.to_ascii_lowercase(), last.to_ascii_lowercase()),
        _ => 0,
    }
}

#[inline]
const fn combined(length: usize, first: u8, last: u8) -> u8 {
    // By these factors no two fields of a common message share a bit, and none shares one with those that every message is
    // asked for.
    ((length + 28 * first as usize + 24 * last as usize) % 64) as u8
}

/// All bits of names in lower case.
pub(super) const fn mask_of(names: &[&str]) -> u64 {
    let (mut mask, mut at) = (0, 0);
    while at < names.len() {
        mask |= 1 << bit_of(names[at].as_bytes());
        at += 1;
    }
    mask
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};

    use super::*;

    #[test]
    fn what_was_added_may_be_there() {
        let names = [
            ACCEPT,
            HOST,
            TRANSFER_ENCODING,
            HeaderName::from_static("x"),
            UPGRADE,
        ];
        let mut marks = Marks::default();
        for (count, name) in names.iter().enumerate() {
            marks.add(name);
            assert!(names[..=count].iter().all(|name| marks.may_have(name)), "{name}");
        }
        assert!(!marks.may_have(&CONTENT_LENGTH));
    }

    #[test]
    fn what_browsers_send_and_a_proxy_adds_shares_no_bit() {
        const ADDED: &str = "via forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip";
        for (sent, asked) in [
            (
                "host user-agent accept accept-encoding accept-language cookie referer connection",
                "upgrade te content-length transfer-encoding expect sec-websocket-key trailer",
            ),
            (
                "host user-agent origin upgrade connection sec-websocket-version sec-websocket-key sec-websocket-extensions \
                 accept-encoding accept-language cache-control pragma cookie",
                "te content-length transfer-encoding expect trailer sec-websocket-protocol",
            ),
        ] {
            let mut marks = Marks::default();
            for name in sent.split_ascii_whitespace() {
                marks.add(&HeaderName::from_static(name));
                assert!(!marks.may_repeat(), "{name}");
            }
            for name in asked.split(' ') {
                assert!(!marks.may_have(&HeaderName::from_static(name)), "{name}");
            }
            for name in ADDED.split(' ') {
                marks.add(&HeaderName::from_static(name));
                assert!(!marks.may_repeat(), "{name}");
            }
        }
    }

    #[test]
    fn what_was_added_twice_may_be_repeated() {
        let mut marks = Marks::default();
        for name in [HOST, UPGRADE] {
            marks.add(&name);
        }
        assert!(!marks.may_repeat());
        marks.add(&HOST);
        assert!(marks.may_repeat());
    }
}
