//! The two cores, the descriptors, and what to say about the machine in a report.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which core runs the proxy, and which everything else. On a machine with one core nothing is pinned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pinned: Option<(usize, usize)>,
}

impl Cores {
    /// The first two that this process may use. From here on this thread is on the second.
    pub(crate) fn choose() -> Cores {
        let pinned = sched_getaffinity(None).ok().and_then(|allowed| {
            let mut allowed = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
            Some((allowed.next()?, allowed.next()?))
        });
        let cores = Cores { pinned };
        cores.pin(|(_, load)| load);
        cores
    }

    /// Runs `spawn` on the proxy's core: a child starts where its parent is, with all the threads it will have.
    pub(crate) fn for_proxy<T>(&self, spawn: impl FnOnce() -> T) -> T {
        self.pin(|(proxy, _)| proxy);
        let spawned = spawn();
        self.pin(|(_, load)| load);
        spawned
    }

    fn pin(&self, which: impl FnOnce((usize, usize)) -> usize) {
        if let Some(both) = self.pinned {
            let mut set = CpuSet::new();
            set.set(which(both));
            // It has been allowed a moment ago. If that has changed, the numbers are noisier.
            let _ = sched_setaffinity(None, &set);
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self.pinned {
            Some((proxy, load)) => format!("proxy on core {proxy}, load and upstream on core {load}"),
            None => "one core only: nothing is pinned, and the rates say little".to_owned(),
        }
    }
}

/// Allows as many descriptors as may be, for this process and its children.
pub(crate) fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let reached = if setrlimit(Resource::Nofile, raised).is_ok() {
        limit.maximum
    } else {
        limit.current
    };
    usize::try_from(reached.unwrap_or(1 << 20)).unwrap_or(1 << 20)
}

/// Processor and kernel, in one line.
pub(crate) fn describe() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let cores = processor
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    format!(
        "{model}, {cores} cores, Linux {}",
        read("/proc/sys/kernel/osrelease").trim()
    )
}
