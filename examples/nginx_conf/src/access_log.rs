//! `log_format` and `access_log`: one line for each request when it has ended, and for each tunnel when that has.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::findings::Findings;
use super::names::Names;
use super::scope::Reading;
use super::text::{Asked, Text};
use super::tree::Directive;

/// The format that is there without being defined.
const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
    \"$http_referer\" \"$http_user_agent\"";

/// Formats by their names.
pub(crate) type Formats = HashMap<String, Format>;

#[derive(Clone, Debug)]
pub(crate) struct Format {
    line: Text,
    escape: Escape,
}

/// What becomes of quotation marks and control bytes in what a client has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    Default,
    Json,
    None,
}

/// One `access_log`.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    path: String,
    format: Format,
    /// `if=`: a line only where it is neither empty nor `0`.
    condition: Option<Text>,
}

/// The formats that a configuration defines, and nginx's own.
pub(crate) fn formats(lines: &[&Directive], names: &Names, findings: &mut Findings) -> Formats {
    let mut formats = Formats::new();
    for line in lines {
        let mut pieces = line.arguments.get(1..).unwrap_or_default();
        let mut escape = Escape::Default;
        if let [first, rest @ ..] = pieces {
            if let Some(named) = first.strip_prefix("escape=") {
                pieces = rest;
                escape = match named {
                    "json" => Escape::Json,
                    "none" => Escape::None,
                    _ => Escape::Default,
                };
            }
        }
        if pieces.is_empty() {
            findings.error(&line.place, "log_format takes a name and the format of a line");
            continue;
        }
        let text = Text::parse_shown(&pieces.concat(), names, &line.place, findings);
        let format = Format { line: text, escape };
        if formats.insert(line.first().to_owned(), format).is_some() {
            findings.error(
                &line.place,
                format!("the format {} is there already", line.first()),
            );
        }
    }
    formats
}

impl Log {
    /// None for `off`.
    pub(crate) fn read(directive: &Directive, reading: &mut Reading<'_>) -> Result<Option<Log>, String> {
        let (path, place) = (directive.first(), &directive.place);
        if path == "off" {
            return Ok(None);
        }
        if path.is_empty() {
            return Err("access_log takes a file, or off".to_owned());
        }
        if path.starts_with("syslog:") || path.contains('$') {
            let text = "access_log to syslog, or to files by variables, is not carried out";
            reading.findings.warning(place, text);
            return Ok(None);
        }
        let parameters = directive.arguments.iter().skip(1);
        let (mut named, mut condition) = ("combined", None);
        for parameter in parameters {
            match parameter.split_once('=') {
                Some(("if", value)) => {
                    condition = Some(Text::parse(value, reading.names, place, reading.findings));
                }
                // Lines are written at once.
                Some(("buffer" | "flush" | "gzip", _)) => {}
                _ if parameter == "gzip" => {}
                _ => named = parameter,
            }
        }
        let format = match (reading.formats.get(named), named) {
            (Some(format), _) => format.clone(),
            (None, "combined") => Format {
                line: Text::parse_shown(COMBINED, reading.names, place, reading.findings),
                escape: Escape::Default,
            },
            (None, _) => return Err(format!("there is no log_format {named}")),
        };
        Ok(Some(Log {
            path: path.to_owned(),
            format,
            condition,
        }))
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// The open files of all logs, each once however many locations write to it.
#[derive(Debug, Default)]
pub(crate) struct LogFiles(HashMap<String, Arc<Mutex<File>>>);

impl LogFiles {
    /// Opens the file of a log for its lines to be appended.
    pub(crate) fn open(&mut self, log: &Log, prefix: &Path) -> std::io::Result<()> {
        if !self.0.contains_key(&log.path) {
            let path = prefix.join(&log.path);
            let file = OpenOptions::new().append(true).create(true).open(path)?;
            self.0.insert(log.path.clone(), Arc::new(Mutex::new(file)));
        }
        Ok(())
    }

    /// Opens all files again, which somebody may have moved away.
    pub(crate) fn reopen(&self, prefix: &Path) -> std::io::Result<()> {
        for (path, file) in &self.0 {
            let opened = OpenOptions::new()
                .append(true)
                .create(true)
                .open(prefix.join(path))?;
            *file.lock().unwrap_or_else(PoisonError::into_inner) = opened;
        }
        Ok(())
    }

    /// Writes a line to each log that wants one.
    pub(crate) fn write(&self, logs: &[Log], asked: &Asked<'_>) {
        for log in logs {
            let unwanted = |condition: &Text| matches!(&*condition.value(asked), "" | "0");
            if log.condition.as_ref().is_some_and(unwanted) {
                continue;
            }
            let escape = |value: &str| log.format.escape.apply(value);
            let line = log.format.line.value_with(asked, escape) + "\n";
            if let Some(file) = self.0.get(&log.path) {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                // A log on a full disk must not end what it records.
                let _ = file.write_all(line.as_bytes());
            }
        }
    }
}

impl Escape {
    fn apply(self, value: &str) -> String {
        let mut escaped = String::with_capacity(value.len());
        match self {
            Escape::None => escaped.push_str(value),
            Escape::Default if value.is_empty() => escaped.push('-'),
            Escape::Default => {
                for byte in value.bytes() {
                    match byte {
                        b'"' | b'\\' | 0..=0x1f | 0x7f.. => escaped.push_str(&format!("\\x{byte:02X}")),
                        printable => escaped.push(char::from(printable)),
                    }
                }
            }
            Escape::Json => {
                for sign in value.chars() {
                    match sign {
                        '"' | '\\' => escaped.extend(['\\', sign]),
                        '\n' => escaped.push_str("\\n"),
                        '\r' => escaped.push_str("\\r"),
                        '\t' => escaped.push_str("\\t"),
                        control if control < ' ' => {
                            escaped.push_str(&format!("\\u{:04X}", u32::from(control)))
                        }
                        other => escaped.push(other),
                    }
                }
            }
        }
        escaped
    }
}
