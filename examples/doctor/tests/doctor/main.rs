//! The example doctor in front of real proxies and servers, each set up wrongly in one way: it has to find what is wrong, by
//! the name that stays, and where.
//!
//! What a machine lacks is skipped with a printed line. With `SWITCHOVER_PEERS=required` a skip is a failure.

mod endless;
mod examined;
mod flags;
mod gateway;
mod haproxy;
mod newcomers;
mod nginx;
mod over_tls;
mod scripted;
mod seeds;

use support::{black_hole, certificates, nginx as peer, peers as programs};
