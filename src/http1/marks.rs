//! Which names of fields a message may have, in one number: most questions are about fields that it does not have.

use http::header::HeaderName;

/// A bit for each name that was added, which other names may share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    names: u64,
    may_repeat: bool,
}

impl Marks {
    /// Returns its bit.
    #[inline]
    pub(super) fn add(&mut self, name: &HeaderName) -> u8 {
        let bit = bit(name);
        self.may_repeat |= self.has(bit);
        self.names |= 1 << bit;
        bit
    }

    /// False if no name with this bit was added.
    #[inline]
    pub(super) fn has(self, bit: u8) -> bool {
        self.names & 1 << bit != 0
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
    let name = name.as_str().as_bytes();
    match name {
        // By these factors no two fields of a common message share a bit, and none shares one with those that every message is
        // asked for.
        [first, .., last] => ((name.len() + 28 * usize::from(*first) + 24 * usize::from(*last)) % 64) as u8,
        _ => 0,
    }
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
