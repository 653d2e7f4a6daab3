//! What stands for splicing where it is not to be had: a pipe that does not exist.

use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll};

use crate::tunnel::config::SpliceConfig;
use crate::tunnel::engine::transfer_mode::{Filled, Peeked};

/// No value of this type is ever made.
pub(in crate::tunnel) struct Pipe(Infallible);

/// Whether bulk between these two may be spliced at all.
pub(in crate::tunnel) fn is_possible(_splice: Option<SpliceConfig>) -> bool {
    false
}

pub(in crate::tunnel) fn fill<R, W>(
    _cx: &mut Context<'_>,
    _splice: SpliceConfig,
    _limit: usize,
    _streams: (&R, &W),
) -> io::Result<Filled<Pipe>> {
    Ok(Filled::Impossible)
}

pub(in crate::tunnel) fn peek<R, W>(_cx: &mut Context<'_>, _streams: (&R, &W), _into: &mut [u8]) -> Peeked {
    Peeked::NotNow
}

impl Pipe {
    pub(in crate::tunnel) fn add<R>(&mut self, _reader: &R, _limit: usize) -> io::Result<usize> {
        match self.0 {}
    }

    pub(in crate::tunnel) fn is_full(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::tunnel) fn poll_empty_into<W>(
        &mut self,
        _cx: &mut Context<'_>,
        _writer: &W,
    ) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    pub(in crate::tunnel) fn empty_now<W>(&mut self, _writer: &W) -> usize {
        match self.0 {}
    }

    pub(in crate::tunnel) fn is_empty(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::tunnel) fn take_out(&mut self) -> io::Result<Vec<u8>> {
        match self.0 {}
    }
}

pub(in crate::tunnel) fn tidy() {}

pub(in crate::tunnel) fn is_refusal(_error: &io::Error) -> bool {
    false
}
