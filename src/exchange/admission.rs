//! Law: an upgrade beyond a cap is refused before any upstream has heard of it; one within it keeps its place until
//! its tunnel has ended, or it has failed.

use super::config::UpgradeConfig;
use crate::handshake::Rejection;
use crate::header::Hop;
use crate::tunnel::{PeerPermit, Permit};

/// The places of one upgrade, given back when this is dropped. To be dropped after its connections are closed.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    _permit: Option<Permit>,
    // Boxed: three words that a tunnel carries along only where peers are counted.
    _peer: Option<Box<PeerPermit>>,
}

impl UpgradeConfig {
    /// Lets one more upgrade in. A peer without an address is not counted as a peer.
    pub(crate) fn admit(&self, hop: Hop) -> Result<Admission, Rejection> {
        let mut admission = Admission::default();
        // The peer first: what it is refused is nothing of everyone else's.
        if let (Some(cap), Some(peer)) = (&self.peer_cap, hop.peer()) {
            let permit = cap.try_acquire(peer).ok_or(Rejection::TooManyTunnelsOfPeer)?;
            admission._peer = Some(Box::new(permit));
        }
        if let Some(cap) = &self.cap {
            let permit = cap.try_acquire().ok_or(Rejection::TooManyTunnels)?;
            admission._permit = Some(permit);
        }
        Ok(admission)
    }
}
