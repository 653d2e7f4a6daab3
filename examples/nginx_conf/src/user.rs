//! `user`: whom nginx, started as root, lets its workers be. Here nothing changes whom the process is: it may read what it could read when it
//! was started, and that is said.

use std::os::unix::fs::MetadataExt;

use super::findings::Findings;
use super::tree::Directive;

const TO_DO: &str = "files and sockets that only root may open are open to requests. Start this program as the user itself, with \
                     CAP_NET_BIND_SERVICE for ports below 1024: systemd has User= and AmbientCapabilities= for it";

/// Warns of a `user` that root would have to become. What is to be said at the start where there is none: nginx's workers are nobody then.
pub(crate) fn look(line: Option<&Directive>, findings: &mut Findings) -> Option<String> {
    if !is_root() {
        return None;
    }
    match line {
        None => Some(format!(
            "this program runs as root, where nginx's workers would be nobody: {TO_DO}"
        )),
        Some(line) if line.first() == "root" => None,
        Some(line) => {
            let text = format!(
                "{} is not carried out, and all is served as root: {TO_DO}",
                line.shown()
            );
            findings.warning(&line.place, text);
            None
        }
    }
}

/// Where nothing says who the process is, it may be root.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").map_or(true, |process| process.uid() == 0)
}
