//! `valid_referers`: from which pages a request may come; `$invalid_referer` is 1 for all others.

use super::names::Names;
use super::regex::{GivenUp, Regex};
use super::tree::Directive;

/// What holds in a location.
#[derive(Clone, Debug, Default)]
pub(crate) struct Referers {
    /// Without the field.
    none: bool,
    /// With one that has no scheme.
    blocked: bool,
    /// Hosts, each with the start of its paths.
    hosts: Vec<(Host, String)>,
    regexes: Vec<Regex>,
    /// `server_names`.
    pub(crate) server_names: bool,
}

#[derive(Clone, Debug)]
enum Host {
    Exact(String),
    EndsWith(String),
    BeginsWith(String),
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
                    for name in server_names.iter().filter(|name| !name.starts_with('~')) {
                        referers.add(name);
                    }
                }
                regex if regex.starts_with('~') => {
                    referers.regexes.push(Regex::new(&regex[1..], true)?);
                }
                host => referers.add(host),
            }
        }
        Ok(referers)
    }

    fn add(&mut self, text: &str) {
        let (host, path) = text.find('/').map_or((text, ""), |at| text.split_at(at));
        let host = host.to_ascii_lowercase();
        let host = match (host.strip_prefix('*'), host.strip_suffix('*')) {
            (Some(suffix), _) => Host::EndsWith(suffix.to_owned()),
            (_, Some(prefix)) => Host::BeginsWith(prefix.to_owned()),
            _ if host.starts_with('.') => {
                self.hosts
                    .push((Host::Exact(host[1..].to_owned()), path.to_owned()));
                Host::EndsWith(host)
            }
            _ => Host::Exact(host),
        };
        self.hosts.push((host, path.to_owned()));
    }

    /// Whether a request with this field is none of those that may come.
    pub(crate) fn are_invalid(&self, referer: Option<&str>) -> Result<bool, GivenUp> {
        let Some(referer) = referer.filter(|referer| !referer.is_empty()) else {
            return Ok(!self.none);
        };
        let lower = referer.to_ascii_lowercase();
        let Some(rest) = lower
            .strip_prefix("http://")
            .or_else(|| lower.strip_prefix("https://"))
        else {
            return Ok(!self.blocked);
        };
        let behind = &referer[referer.len() - rest.len()..];
        let end = rest.find(['/', ':', '?']).unwrap_or(rest.len());
        let host = &rest[..end];
        let path = behind
            .find('/')
            .map_or("", |at| behind[at..].split('?').next().unwrap_or_default());
        let fits = |(known, start): &(Host, String)| {
            let is_host = match known {
                Host::Exact(name) => name == host,
                Host::EndsWith(suffix) => host.ends_with(&**suffix),
                Host::BeginsWith(prefix) => host.starts_with(&**prefix),
            };
            is_host && path.starts_with(&**start)
        };
        if self.hosts.iter().any(fits) {
            return Ok(false);
        }
        for regex in &self.regexes {
            if regex.is_match(behind)? {
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
