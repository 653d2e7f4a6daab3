//! A proxy as a process: measured from outside, and gone when it is dropped, also in a panic.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::machine::Cores;

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` on the proxy's core and waits until something listens at `address`.
    pub(crate) fn start(mut command: Command, address: SocketAddr, cores: Cores) -> io::Result<Process> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = cores.for_proxy(|| command.spawn())?;
        let mut process = Process { child };
        let since = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            if let Some(status) = process.child.try_wait()? {
                return Err(io::Error::other(format!("it has ended at once: {status}")));
            }
            if since.elapsed() > Duration::from_secs(30) {
                return Err(io::Error::other("it does not listen after 30 s"));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(process)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(mut self) -> io::Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        kill_process(id.ok_or(io::ErrorKind::NotFound)?, Signal::TERM)?;
        let since = Instant::now();
        while self.child.try_wait()?.is_none() {
            if since.elapsed() > Duration::from_secs(30) {
                return Err(io::Error::other("it does not end within 30 s"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// The processor time that it and its children have used so far.
    ///
    /// In nanoseconds from `schedstat`, which counts a running thread up to its last tick: exact while the proxy
    /// sleeps, and otherwise a few milliseconds short.
    pub(crate) fn cpu(&self) -> Duration {
        let mut nanoseconds = 0;
        for id in family(self.id()) {
            for thread in threads(id) {
                let text = fs::read_to_string(format!("/proc/{id}/task/{thread}/schedstat"));
                let first = text
                    .ok()
                    .and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
                nanoseconds += first.unwrap_or(0);
            }
        }
        Duration::from_nanos(nanoseconds)
    }

    /// As [`cpu`](Process::cpu), once it has gone to sleep: after the last of what it was given to do.
    pub(crate) async fn cpu_when_quiet(&self) -> Duration {
        let mut last = self.cpu();
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = self.cpu();
            if now == last {
                break;
            }
            last = now;
        }
        last
    }

    /// The memory that it and its children hold, in bytes: what is shared with other processes is divided by them.
    pub(crate) fn memory(&self) -> u64 {
        let held = |id| {
            let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        family(self.id()).into_iter().filter_map(held).sum::<u64>() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The children first: a parent that is killed does not take them along.
        for id in family(self.id()).into_iter().rev() {
            if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
                let _ = kill_process(id, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}

/// All threads of a process.
pub(crate) fn threads(id: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{id}/task")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// A process and what descends from it.
fn family(id: u32) -> Vec<u32> {
    let mut family = vec![id];
    let mut next = 0;
    while next < family.len() {
        let id = family[next];
        next += 1;
        for thread in threads(id) {
            let children =
                fs::read_to_string(format!("/proc/{id}/task/{thread}/children")).unwrap_or_default();
            family.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    family
}
