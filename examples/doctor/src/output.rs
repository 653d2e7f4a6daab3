//! Standard output and standard error. A reader that has gone, as `head` does, is no fault.

use std::io::{self, ErrorKind, Write};

/// Prints a text.
///
/// # Errors
///
/// Those of writing, but for a reader that has gone.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match printed(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Prints a text, and says if its reader has gone.
pub(crate) fn printed(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// Writes an error, if anyone reads it.
pub(crate) fn complain(why: &str) {
    let _ = writeln!(io::stderr().lock(), "doctor: {why}");
}
