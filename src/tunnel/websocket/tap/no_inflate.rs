//! Without the feature `deflate` nothing is inflated.

use super::message::Deflated;

/// Never made.
pub(super) enum Inflater {}

impl Inflater {
    pub(super) fn new(_: bool) -> Option<Self> {
        None
    }

    pub(super) fn takes_over(&self) -> bool {
        match *self {}
    }

    pub(super) fn has_made(&mut self, _: u64) -> bool {
        match *self {}
    }

    pub(super) fn inflate(
        &mut self,
        _: &[u8],
        _: bool,
        _: &mut u64,
        _: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Deflated> {
        match *self {}
    }
}
