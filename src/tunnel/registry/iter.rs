//! The tunnels of a registry one after the other, some at a time.

use std::fmt;
use std::sync::Arc;

use super::Tunnels;
use super::entry::Entry;
use super::watch::TunnelWatch;

/// How many are taken out of the registry under one lock.
const AT_A_TIME: usize = 512;

/// The tunnels of a registry: from [`Tunnels::iter`].
pub struct Iter {
    tunnels: Tunnels,
    /// Those that were taken out last, to be given from the end.
    some: Vec<Arc<Entry>>,
    next_slot: Option<usize>,
}

impl Iter {
    pub(super) fn new(tunnels: Tunnels) -> Self {
        Iter {
            tunnels,
            some: Vec::new(),
            next_slot: Some(0),
        }
    }
}

impl Iterator for Iter {
    type Item = TunnelWatch;

    fn next(&mut self) -> Option<TunnelWatch> {
        while self.some.is_empty() {
            let slot = self.next_slot?;
            self.next_slot = self.tunnels.table().some_from(slot, AT_A_TIME, &mut self.some);
        }
        let entry = self.some.pop()?;
        Some(TunnelWatch { entry })
    }
}

impl fmt::Debug for Iter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
