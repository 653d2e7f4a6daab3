//! Many tunnels: how many there may be, how they end together, and a look at one of them.
//!
//! Values that the caller owns and passes in. The engine knows none of them.

mod cap;
mod drain;
mod drain_signal;
mod drain_state;
mod peer_cap;
mod wakers;
mod watch;

pub use cap::{Cap, Permit, WaitEmpty};
pub use drain::{Drain, Schedule};
pub use drain_signal::DrainSignal;
pub use peer_cap::{PeerCap, PeerPermit};
pub use watch::TunnelWatch;
pub(in crate::tunnel) use watch::Watched;
