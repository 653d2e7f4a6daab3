//! What Linux says of this process.

use std::io;

/// How many descriptors are open, without the pipes that the library keeps for splicing.
pub(crate) fn descriptors() -> io::Result<usize> {
    // The one that reads the folder is not counted.
    Ok(kinds()?.0.saturating_sub(1))
}

/// How many descriptors of pipes are open.
pub(crate) fn pipes() -> io::Result<usize> {
    Ok(kinds()?.1)
}

/// The descriptors that are no pipes, and those that are.
fn kinds() -> io::Result<(usize, usize)> {
    let (mut others, mut pipes) = (0, 0);
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let target = std::fs::read_link(entry?.path()).unwrap_or_default();
        match target.to_str().is_some_and(|target| target.starts_with("pipe:")) {
            true => pipes += 1,
            false => others += 1,
        }
    }
    Ok((others, pipes))
}

/// The most descriptors that this process may have.
pub(crate) fn descriptor_limit() -> io::Result<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3));
    Ok(soft.and_then(|soft| soft.parse().ok()).unwrap_or(u64::MAX))
}

pub(crate) fn resident_kb() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.and_then(|number| number.parse().ok()).unwrap_or(0))
}

pub(crate) fn processor_seconds() -> io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let field = |at: usize| {
        behind_name
            .split_whitespace()
            .nth(at)
            .and_then(|text| text.parse::<f64>().ok())
    };
    // Hundredths of a second, in user mode and in the kernel.
    Ok((field(11).unwrap_or(0.0) + field(12).unwrap_or(0.0)) / 100.0)
}
