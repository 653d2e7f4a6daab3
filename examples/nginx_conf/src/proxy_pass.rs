//! `proxy_pass`: to whom, by what name, and what of the target is replaced.

use std::collections::HashMap;
use std::sync::Arc;

use super::peer::{Address, with_port};
use super::upstreams::Upstream;

/// What a server is known by: the case of a name does not count, that of a socket's path does.
pub(crate) fn known_as(name: &str) -> String {
    match name.contains("unix:") {
        true => name.to_owned(),
        false => name.to_ascii_lowercase(),
    }
}

/// The groups of a configuration, by name, which has no case.
#[derive(Debug, Default)]
pub(crate) struct Groups(HashMap<String, Arc<Upstream>>);

impl Groups {
    /// False if there is one by that name already.
    pub(crate) fn add(&mut self, name: &str, upstream: Upstream) -> bool {
        let before = self.0.insert(known_as(name), Arc::new(upstream));
        before.is_none()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.get(&known_as(name))
    }

    /// The one server that a URL names. Locations that name the same server share it.
    pub(crate) fn of_one(&mut self, name: &str, address: Address) -> Arc<Upstream> {
        let upstream = || Arc::new(Upstream::of_one(address));
        self.0.entry(known_as(name)).or_insert_with(upstream).clone()
    }
}

/// Where a location leads.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) https: bool,
    /// `$proxy_host`.
    pub(crate) host: String,
    /// `$proxy_port`.
    pub(crate) port: String,
    /// Host and port, by which a server is known that is in no group.
    pub(crate) authority: String,
    /// What takes the place of the matched prefix; none where the target goes up as it came.
    pub(crate) replacement: Option<String>,
    /// As it is written, by which a group is known.
    name: String,
}

/// Whom a target names.
pub(crate) enum Whom {
    Group(Arc<Upstream>),
    /// One server, which has no group yet.
    Server(Address),
}

impl Target {
    pub(crate) fn read(url: &str) -> Result<Target, String> {
        let wrong = |why: &str| format!("{url:?}: {why}");
        let (https, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            _ => return Err(wrong("a URL begins with http:// or https://")),
        };
        let (host, replacement) = split(rest);
        if host.starts_with("unix:") {
            return Ok(Target {
                https,
                // As nginx calls it.
                host: "localhost".to_owned(),
                port: String::new(),
                authority: host.to_owned(),
                replacement,
                name: host.to_owned(),
            });
        }
        let default = if https { 443 } else { 80 };
        let authority = with_port(host, default).ok_or_else(|| wrong("a URL names a host"))?;
        let without_default = authority.strip_suffix(&format!(":{default}"));
        Ok(Target {
            https,
            port: authority.rsplit_once(':').map_or("", |(_, port)| port).to_owned(),
            host: without_default.unwrap_or(&authority).to_owned(),
            replacement,
            name: host.to_owned(),
            authority,
        })
    }

    /// The group that it names, or the one server.
    pub(crate) fn whom(&self, groups: &Groups) -> Result<Whom, String> {
        if let Some(upstream) = groups.get(&self.name) {
            return Ok(Whom::Group(upstream.clone()));
        }
        let named = self.name.rsplit_once(':');
        if let Some((name, _)) =
            named.filter(|(name, _)| groups.get(name).is_some_and(|group| group.is_named))
        {
            return Err(format!("upstream {name} has the ports that its servers have"));
        }
        if let Some(upstream) = groups.get(&self.authority) {
            return Ok(Whom::Group(upstream.clone()));
        }
        let default = if self.https { 443 } else { 80 };
        let address = Address::read(&self.authority, default);
        address
            .map(Whom::Server)
            .ok_or_else(|| format!("{:?} names no host", self.name))
    }
}

/// Whether a text begins as a URL does, with a port where there is a colon for it. Of which host is another question.
pub(crate) fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let is_known = ["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    let (host, _) = split(rest);
    let port = host.rsplit_once(':').map(|(_, port)| port);
    let has_no_port = host.starts_with("unix:") || host.ends_with(']');
    is_known && (has_no_port || port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0)))
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
        None => rest.find(['/', '?']),
    };
    match at {
        Some(at) if rest[at..].starts_with('?') => (&rest[..at], Some(format!("/{}", &rest[at..]))),
        Some(at) => (&rest[..at], Some(rest[at..].to_owned())),
        None => (rest, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two paths that differ by case are two sockets; two names are one host.
    #[test]
    fn the_case_of_what_a_server_is_known_by() {
        let mut groups = Groups::default();
        let mut of = |url: &str| {
            let target = Target::read(url).unwrap();
            match target.whom(&groups).unwrap() {
                Whom::Group(known) => known,
                Whom::Server(address) => groups.of_one(&target.authority, address),
            }
        };
        for (one, other, are_same) in [
            ("http://unix:/tmp/One", "http://unix:/tmp/one", false),
            ("http://unix:/tmp/two", "http://unix:/tmp/two:/path", true),
            ("http://One.example", "http://one.EXAMPLE:80/path", true),
            ("http://one.example", "https://one.example", false),
        ] {
            assert_eq!(Arc::ptr_eq(&of(one), &of(other)), are_same, "{one} {other}");
        }
    }
}
