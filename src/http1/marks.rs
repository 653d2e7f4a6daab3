//! Which names of fields a message may have, in one number: most questions are about fields that it does not have.

use http::header::HeaderName;

/// A bit for each name that was added, which other names may share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    names: u64,
    may_repeat: bool,
}

impl Marks {
    #[inline]
    pub(super) fn add(&mut self, name: &HeaderName) {
        let mark = mark(name);
        self.may_repeat |= self.names & mark != 0;
        self.names |= mark;
    }

    /// False if it was not added.
    #[inline]
    pub(crate) fn may_have(self, name: &HeaderName) -> bool {
        self.names & mark(name) != 0
    }

    /// False if no name was added twice.
    pub(super) fn may_repeat(self) -> bool {
        self.may_repeat
    }
}

#[inline]
fn mark(name: &HeaderName) -> u64 {
    let name = name.as_str().as_bytes();
    match name {
        // By these factors no common field shares a bit with one that every message is asked for.
        [first, .., last] => 1 << ((19 * name.len() + 3 * usize::from(*first) + 6 * usize::from(*last)) % 64),
        _ => 1,
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
