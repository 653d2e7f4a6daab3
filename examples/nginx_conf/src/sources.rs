//! `-T`: the files of a configuration, printed as nginx prints them. A file that is included several times is printed once.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The files of a configuration, in the order in which they were read.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<(PathBuf, Vec<u8>)>);

impl Sources {
    pub(crate) fn add(&mut self, file: &Path, content: &[u8]) {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        if self.0.iter().all(|(known, _)| *known != file) {
            self.0.push((file, content.to_owned()));
        }
    }

    /// Prints all files, each under the line that names it.
    ///
    /// # Errors
    ///
    /// The output cannot be written to.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for (file, content) in &self.0 {
            writeln!(out, "# configuration file {}:", file.display())?;
            out.write_all(content)?;
            writeln!(out)?;
        }
        out.flush()
    }
}
