//! The example doctor in front of real proxies and servers, each set up wrongly in one way: it has to find what is wrong, by
//! the name that stays, and where.
//!
//! What a machine lacks is skipped with a printed line. With `SWITCHOVER_PEERS=required` a skip is a failure.

#[path = "../upstream/black_hole.rs"]
mod black_hole;
#[path = "../certificates/mod.rs"]
mod certificates;
mod examined;
mod flags;
mod gateway;
mod haproxy;
mod nginx;
mod over_tls;
#[allow(dead_code, reason = "other test targets use the rest")]
#[path = "../nginx/peer.rs"]
mod peer;
#[allow(dead_code, reason = "other test targets use the rest")]
#[path = "../real_peers/programs.rs"]
mod programs;
mod scripted;
mod seeds;
