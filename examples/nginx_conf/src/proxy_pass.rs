//! `proxy_pass`: to whom, by what name, and what of the target is replaced.

use std::collections::HashMap;
use std::sync::Arc;

use super::peer::{Address, with_port};
use super::upstreams::Upstream;

/// The groups of a configuration, by name, which has no case.
#[derive(Debug, Default)]
pub(crate) struct Groups(HashMap<String, Arc<Upstream>>);

impl Groups {
    /// False if there is one by that name already.
    pub(crate) fn add(&mut self, name: &str, upstream: Upstream) -> bool {
        let before = self.0.insert(name.to_ascii_lowercase(), Arc::new(upstream));
        before.is_none()
    }

    fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.get(&name.to_ascii_lowercase())
    }

    /// The one server that a URL names. Locations that name the same server share it.
    fn of_one(&mut self, name: String, address: Address) -> Arc<Upstream> {
        let upstream = || Arc::new(Upstream::of_one(address));
        self.0.entry(name).or_insert_with(upstream).clone()
    }
}

/// Where a location leads.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) https: bool,
    /// `$proxy_host`.
    pub(crate) host: String,
    /// `$proxy_port`.
    pub(crate) port: String,
    /// What takes the place of the matched prefix; none where the target goes up as it came.
    pub(crate) replacement: Option<String>,
}

/// Why a URL leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoTarget {
    /// nginx would not take it either.
    Wrong(String),
    /// Not carried out here.
    LeftOut(&'static str),
}

impl Target {
    pub(crate) fn read(url: &str, groups: &mut Groups) -> Result<Target, NoTarget> {
        let wrong = |why: &str| NoTarget::Wrong(format!("{url:?}: {why}"));
        if url.contains('$') {
            return Err(NoTarget::LeftOut(
                "proxy_pass with variables is not carried out: 501",
            ));
        }
        let (https, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            _ => return Err(wrong("a URL begins with http:// or https://")),
        };
        let (host, replacement) = split(rest);
        if replacement.as_ref().is_some_and(|path| path.contains(['?', '#'])) || host.contains(['?', '#']) {
            return Err(NoTarget::LeftOut(
                "proxy_pass with a query is not carried out: 501",
            ));
        }
        if let Some(address) = host.strip_prefix("unix:").and_then(|_| Address::read(host, 0)) {
            return Ok(Target {
                upstream: groups.of_one(host.to_owned(), address),
                https,
                // As nginx calls it.
                host: "localhost".to_owned(),
                port: String::new(),
                replacement,
            });
        }
        let default = if https { 443 } else { 80 };
        let authority = with_port(host, default).ok_or_else(|| wrong("a URL names a host"))?;
        let named = host
            .rsplit_once(':')
            .filter(|(name, _)| groups.get(name).is_some());
        if let Some((name, _)) = named {
            return Err(wrong(&format!(
                "upstream {name} has the ports that its servers have"
            )));
        }
        let without_default = authority.strip_suffix(&format!(":{default}"));
        let upstream = match (groups.get(host), Address::read(&authority, default)) {
            (Some(upstream), _) => upstream.clone(),
            (None, Some(address)) => groups.of_one(authority.to_ascii_lowercase(), address),
            (None, None) => return Err(wrong("a URL names a host")),
        };
        Ok(Target {
            upstream,
            https,
            port: authority.rsplit_once(':').map_or("", |(_, port)| port).to_owned(),
            host: without_default.unwrap_or(&authority).to_owned(),
            replacement,
        })
    }
}

/// The host, and the path that follows it. The path of a Unix socket ends with a colon.
fn split(rest: &str) -> (&str, Option<String>) {
    let at = match rest.strip_prefix("unix:") {
        Some(path) => {
            let end = path.find(':').map(|at| at + "unix:".len());
            return match end {
                Some(end) => (
                    &rest[..end],
                    Some(rest[end + 1..].to_owned()).filter(|path| !path.is_empty()),
                ),
                None => (rest, None),
            };
        }
        None => rest.find('/'),
    };
    match at {
        Some(at) => (&rest[..at], Some(rest[at..].to_owned())),
        None => (rest, None),
    }
}
