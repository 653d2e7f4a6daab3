//! What a registry counts of the tunnels that have ended.
//!
//! Knows numbers and the names of ends. Tunnels that have ended are kept nowhere: memory that a tunnel has used is free for the next.

/// What the tunnels of a registry that have ended have carried, and why they have ended: from
/// [`Tunnels::ended`](super::Tunnels::ended).
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// As many as there are reasons at most; the usual ones come first, because they have occurred first.
    reasons: Vec<(&'static str, u64)>,
    from_downstream: u64,
    from_upstream: u64,
}

impl Ended {
    /// How many tunnels have ended.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.reasons.iter().map(|(_, count)| count).sum()
    }

    /// How many have ended for each reason that has occurred, in no particular order. A reason is the
    /// [name](crate::tunnel::End::name) of an end, `failed` for a [`TunnelError`](crate::tunnel::TunnelError), and `dropped` where the
    /// future of the tunnel was dropped.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.reasons.iter().copied()
    }

    /// Bytes that came from downstream and that the upstream streams have accepted.
    #[must_use]
    pub fn from_downstream(&self) -> u64 {
        self.from_downstream
    }

    /// Bytes that came from upstream and that the downstream streams have accepted.
    #[must_use]
    pub fn from_upstream(&self) -> u64 {
        self.from_upstream
    }

    pub(super) fn add(&mut self, reason: &'static str, from_downstream: u64, from_upstream: u64) {
        self.from_downstream += from_downstream;
        self.from_upstream += from_upstream;
        match self.reasons.iter_mut().find(|(name, _)| *name == reason) {
            Some((_, count)) => *count += 1,
            None => self.reasons.push((reason, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_counted_by_its_reason() {
        let mut ended = Ended::default();
        assert_eq!(ended.count(), 0);
        for (reason, down, up) in [("closed", 1, 2), ("idle", 10, 20), ("closed", 100, 200)] {
            ended.add(reason, down, up);
        }
        assert_eq!(
            ended.by_reason().collect::<Vec<_>>(),
            [("closed", 2), ("idle", 1)]
        );
        assert_eq!(
            (ended.count(), ended.from_downstream(), ended.from_upstream()),
            (3, 111, 222)
        );
    }
}
