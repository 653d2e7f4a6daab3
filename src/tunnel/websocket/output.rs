//! What goes out of a read: nothing is copied unless something is put in or left out, and what is put in is not counted as the
//! sender's.
//!
//! Knows bytes and their places. It must not know frames.

use std::ops::Deref;

use bytes::Bytes;

/// So few bytes are copied, where they would keep the buffer that they are in.
const FEW: usize = 256;

/// Bytes that somebody lends for a call, or that a direction has kept. What has been kept is divided without a copy.
pub(in crate::tunnel) enum Piece<'a> {
    Lent(&'a [u8]),
    Kept(Bytes),
}

impl<'a> Piece<'a> {
    pub(super) const NOTHING: Self = Piece::Lent(&[]);

    /// What was kept, and what was read behind it.
    pub(super) fn behind(kept: Bytes, read: &'a [u8]) -> Self {
        match (kept.is_empty(), read.is_empty()) {
            (true, _) => Piece::Lent(read),
            (false, true) => Piece::Kept(kept),
            (false, false) => Piece::Kept([&kept, read].concat().into()),
        }
    }

    /// To be kept: from here on.
    pub(super) fn rest(&self, at: usize) -> Bytes {
        match self {
            Piece::Kept(bytes) if bytes.len() - at > FEW => bytes.slice(at..),
            _ => Bytes::copy_from_slice(&self[at..]),
        }
    }

    fn until(self, end: usize) -> Self {
        match self {
            Piece::Lent(bytes) => Piece::Lent(&bytes[..end]),
            Piece::Kept(mut bytes) => {
                bytes.truncate(end);
                Piece::Kept(bytes)
            }
        }
    }

    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Piece::Lent(bytes) => Bytes::copy_from_slice(bytes),
            Piece::Kept(bytes) => bytes,
        }
    }
}

impl Deref for Piece<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Piece::Lent(bytes) => bytes,
            Piece::Kept(bytes) => bytes,
        }
    }
}

/// What goes out of what was read: all of it, unless something is put in or left out.
#[derive(Default)]
pub(super) struct Output {
    made: Option<Vec<u8>>,
    /// From here on what was read has not been made use of.
    from: usize,
}

impl Output {
    fn make(&mut self, read: &[u8], until: usize) -> &mut Vec<u8> {
        let made = self.made.get_or_insert_with(Vec::new);
        made.extend_from_slice(&read[self.from..until]);
        self.from = until;
        made
    }

    pub(super) fn insert(&mut self, read: &[u8], at: usize, frame: &[u8]) {
        self.make(read, at).extend_from_slice(frame);
    }

    /// The same of bytes that nobody else needs: they are not copied if nothing goes out before them.
    pub(super) fn insert_owned(&mut self, read: &[u8], at: usize, frames: Vec<u8>) {
        let made = self.make(read, at);
        match made.is_empty() {
            true => *made = frames,
            false => made.extend_from_slice(&frames),
        }
    }

    pub(super) fn leave_out(&mut self, read: &[u8], at: usize, length: usize) {
        self.make(read, at);
        self.from = at + length;
    }

    /// How long it is if it goes on to `at`.
    pub(super) fn length(&self, at: usize) -> usize {
        self.made.as_ref().map_or(0, Vec::len) + (at - self.from)
    }

    pub(super) fn finish<'a>(mut self, read: Piece<'a>, end: usize) -> Piece<'a> {
        if self.made.is_some() {
            let end = end.max(self.from);
            self.make(&read, end);
            return Piece::Kept(self.made.unwrap_or_default().into());
        }
        read.until(end)
    }
}

/// How many of the bytes that go out are the tunnel's own.
#[derive(Default)]
pub(super) struct Insertions {
    /// The tunnel's own before the last of them.
    before: u64,
    /// The last of the tunnel's own: where it begins in all that has been handed on, and its length.
    last_at: u64,
    last_length: u64,
}

impl Insertions {
    pub(super) const NONE: Self = Insertions {
        before: 0,
        last_at: 0,
        last_length: 0,
    };

    /// Takes note of a frame of the tunnel's own that goes out behind so many bytes.
    pub(super) fn add(&mut self, at: u64, length: usize) {
        self.before += self.last_length;
        self.last_at = at;
        self.last_length = length as u64;
    }

    /// How many are among the first bytes that went out.
    pub(super) fn among(&self, delivered: u64) -> u64 {
        let of_last = delivered.saturating_sub(self.last_at).min(self.last_length);
        self.before + of_last
    }
}
