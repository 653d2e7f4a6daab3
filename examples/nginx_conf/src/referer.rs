//! `valid_referers`: from which pages a request may come; `$invalid_referer` is 1 for all others.

use std::collections::HashMap;

use super::names::Names;
use super::regex::{GivenUp, Regex};
use super::tree::Directive;

/// A field that is shorter names no host, as nginx reads it.
const SHORTEST: usize = "http://i.ru".len();

/// A host that is longer is not looked up.
const LONGEST_HOST: usize = 256;

/// What holds in a location.
#[derive(Clone, Debug, Default)]
pub(crate) struct Referers {
    /// Without the field.
    none: bool,
    /// With one that has no scheme.
    blocked: bool,
    /// Hosts, each with the start of its paths. Those that end with a dot begin the host, those that begin with one end it.
    hosts: HashMap<String, String>,
    /// `server_names` that are regular expressions: they are about the host alone.
    of_hosts: Vec<Regex>,
    regexes: Vec<Regex>,
    /// `server_names`.
    pub(crate) server_names: bool,
}

impl Referers {
    pub(crate) fn read(lines: &[&Directive], server_names: &[String]) -> Result<Referers, String> {
        let mut referers = Referers::default();
        let words = lines.iter().flat_map(|line| &line.arguments);
        for word in words {
            match &**word {
                "none" => referers.none = true,
                "blocked" => referers.blocked = true,
                "server_names" => {
                    referers.server_names = true;
                    for name in server_names {
                        match name.strip_prefix('~') {
                            Some(regex) => referers.of_hosts.push(Regex::new(regex, true)?),
                            None => referers.add(name)?,
                        }
                    }
                }
                regex if regex.starts_with('~') => {
                    referers.regexes.push(Regex::new(&regex[1..], true)?);
                }
                host => referers.add(host)?,
            }
        }
        let names_none =
            referers.hosts.is_empty() && referers.of_hosts.is_empty() && referers.regexes.is_empty();
        if names_none && !referers.server_names {
            return Err("valid_referers names no page: none and blocked alone are not enough".to_owned());
        }
        Ok(referers)
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        let (host, path) = text.find('/').map_or((text, ""), |at| text.split_at(at));
        let host = host.to_ascii_lowercase();
        let keys = match (host.strip_prefix("*."), host.strip_suffix(".*")) {
            (Some(_), _) => vec![host[1..].to_owned()],
            (_, Some(prefix)) => vec![format!("{prefix}.")],
            _ if host.starts_with('.') => vec![host[1..].to_owned(), host],
            _ => vec![host],
        };
        for key in keys {
            if key.contains('*') || key.trim_matches('.').is_empty() {
                return Err(format!(
                    "valid_referers {text}: it is no host, and no wildcard of hosts"
                ));
            }
            if self.hosts.insert(key, path.to_owned()).is_some() {
                return Err(format!("valid_referers {text}: the host is named twice"));
            }
        }
        Ok(())
    }

    /// How the paths of a host have to begin: by its whole name, or else by its longest end that is known, or else by its longest
    /// beginning.
    fn of_host(&self, host: &str) -> Option<&String> {
        let dots = || host.match_indices('.').map(|(at, _)| at);
        let by_end = || dots().find_map(|at| self.hosts.get(&host[at..]));
        let by_beginning = || dots().rev().find_map(|at| self.hosts.get(&host[..=at]));
        let whole = self.hosts.get(host);
        whole
            .filter(|_| !host.starts_with('.') && !host.ends_with('.'))
            .or_else(by_end)
            .or_else(by_beginning)
    }

    /// Whether a request with this field is none of those that may come. An empty field is a field.
    pub(crate) fn are_invalid(&self, referer: Option<&[u8]>) -> Result<bool, GivenUp> {
        let Some(referer) = referer else {
            return Ok(!self.none);
        };
        let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
            let start = referer.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        let Some(scheme) = scheme.filter(|_| referer.len() >= SHORTEST) else {
            return Ok(!self.blocked);
        };
        let behind = &referer[scheme.len()..];
        let ends = |byte: &u8| matches!(byte, b'/' | b':');
        let end = behind.iter().position(ends).unwrap_or(behind.len());
        if end > LONGEST_HOST {
            return Ok(true);
        }
        let host = String::from_utf8_lossy(&behind[..end]).to_ascii_lowercase();
        if let Some(start) = self.of_host(&host) {
            let path = behind.iter().position(|byte| *byte == b'/');
            let path = path.map_or(&b""[..], |at| &behind[at..]);
            // A host that is known decides, whatever the expressions say.
            return Ok(!path.starts_with(start.as_bytes()));
        }
        let behind = String::from_utf8_lossy(behind);
        let of_hosts = self.of_hosts.iter().map(|regex| (regex, &*host));
        let of_pages = self.regexes.iter().map(|regex| (regex, &*behind));
        for (regex, text) in of_hosts.chain(of_pages) {
            if regex.is_match(text)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The number of `$invalid_referer`.
pub(crate) fn number(names: &Names) -> Option<usize> {
    names.number("invalid_referer")
}
