//! How many descriptors a test needs.
#![cfg(unix)]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Whether this process, and each that it starts, may hold so many descriptors. The soft limit is raised where that is enough. If it
/// is not, the test is skipped with a printed line, also where peers are required: a machine cannot install that.
#[must_use]
pub fn may_hold(descriptors: u64) -> bool {
    let now = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= descriptors);
    if is_enough(now.current) {
        return true;
    }
    let raised = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    let is_raised = is_enough(now.maximum) && setrlimit(Resource::Nofile, raised).is_ok();
    if !is_raised {
        println!("skipped: the hard limit of descriptors is below {descriptors}");
    }
    is_raised
}
