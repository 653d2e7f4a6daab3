//! This file decides when an upgrade has a place under the caps: before any upstream is asked. The place is free again when the
//! tunnel has ended or the upgrade has failed. It must not know upstreams.

use super::config::UpgradeConfig;
use crate::handshake::Rejection;
use crate::header::Hop;
use crate::tunnel::{PeerPermit, Permit, Tunnels};

/// The places of one upgrade, given back when this is dropped. To be dropped after its connections are closed.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    _permit: Option<Permit>,
    // Boxed: three words that a tunnel carries along only where peers are counted.
    _peer: Option<Box<PeerPermit>>,
}

impl UpgradeConfig {
    /// Lets one more upgrade in. A client without an address is not counted as one. `locate` finds the client behind proxies
    /// that are trusted, and is called only where clients are counted.
    pub(crate) fn admit(&self, locate: impl FnOnce() -> Hop) -> Result<Admission, Rejection> {
        if self.tunnels.as_ref().is_some_and(Tunnels::is_draining) {
            return Err(Rejection::Draining);
        }
        let mut admission = Admission::default();
        // The client first: what it is refused is nothing of everyone else's.
        if let Some(cap) = &self.peer_cap {
            if let Some(client) = locate().client() {
                let permit = cap.try_acquire(client).ok_or(Rejection::PeerLimit)?;
                admission._peer = Some(Box::new(permit));
            }
        }
        if let Some(cap) = &self.cap {
            let permit = cap.try_acquire().ok_or(Rejection::TooManyTunnels)?;
            admission._permit = Some(permit);
        }
        Ok(admission)
    }
}
