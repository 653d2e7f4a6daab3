//! The gateway as its operators meet it: its caps, its upstreams, its probes, and how it ends.
#![cfg(unix)]

mod admin;
mod example_gateway;
mod example_upstreams;
mod flags;
mod kubernetes;
mod log;
#[cfg(target_os = "linux")]
mod names;
mod policy_flags;
mod probes;
#[cfg(target_os = "linux")]
mod silent;

use std::time::Duration;

use support::{program, running_gateway};

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
