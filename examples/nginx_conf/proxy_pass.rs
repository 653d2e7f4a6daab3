//! `proxy_pass`: to whom, by what name, and what of the target is replaced.

use std::collections::HashMap;
use std::sync::Arc;

use super::upstreams::{Description, Group, with_port};

/// The groups of a configuration, by name.
pub(crate) type Groups = HashMap<String, Arc<Group>>;

/// Where a location leads.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) group: Arc<Group>,
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
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(wrong("a URL begins with http:// or https://")),
        };
        if rest.starts_with("unix:") {
            return Err(NoTarget::LeftOut(
                "proxy_pass to a Unix socket is not carried out: 501",
            ));
        }
        let (host, replacement) = match rest.find('/') {
            Some(at) => (&rest[..at], Some(rest[at..].to_owned())),
            None => (rest, None),
        };
        if replacement.as_ref().is_some_and(|path| path.contains(['?', '#'])) || host.contains(['?', '#']) {
            return Err(NoTarget::LeftOut(
                "proxy_pass with a query is not carried out: 501",
            ));
        }
        let default = if https { 443 } else { 80 };
        let authority = with_port(host, default).ok_or_else(|| wrong("a URL names a host"))?;
        let without_default = authority.strip_suffix(&format!(":{default}"));
        let group = match groups.get(host) {
            Some(group) => group.clone(),
            // Locations that name the same server share it.
            None => groups
                .entry(authority.clone())
                .or_insert_with(|| Group::new(&Description::of_one(&authority)))
                .clone(),
        };
        Ok(Target {
            group,
            https,
            port: authority.rsplit_once(':').map_or("", |(_, port)| port).to_owned(),
            host: without_default.unwrap_or(&authority).to_owned(),
            replacement,
        })
    }
}
