//! This file decides which server has a host: the exact name, the longest wildcard at the start, the longest wildcard at the end,
//! the default (nginx: `server_name`).

use std::collections::HashMap;

use super::HostPattern;
use super::host::Kind;
use crate::http1::host_name;

/// Servers by the names of their hosts: `S` is whatever a server is to the caller, its [`Locations`](super::Locations)
/// mostly.
///
/// As in nginx, the first server that is added is the default, for hosts that have no other, unless another is added
/// as [the default](Hosts::add_default). Looking a host up takes as long with ten thousand names as with one.
///
/// ```
/// use switchover::route::Hosts;
///
/// let mut hosts = Hosts::default();
/// hosts.add(["example.com".parse()?, "www.example.*".parse()?], "the site").unwrap();
/// hosts.add(["*.example.com".parse()?], "a tenant").unwrap();
/// assert_eq!(hosts.find(Some("example.com:80")), Some(&"the site"));
/// assert_eq!(hosts.find(Some("www.example.com")), Some(&"a tenant"));
/// assert_eq!(hosts.find(Some("www.example.org")), Some(&"the site"));
/// assert_eq!(hosts.find(Some("other")), Some(&"the site"), "by default");
/// assert_eq!(hosts.find_named(Some("other")), None);
/// # Ok::<(), switchover::route::HostPatternError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hosts<S> {
    exact: HashMap<String, usize>,
    start: HashMap<String, usize>,
    end: HashMap<String, usize>,
    /// The length of the longest name in `start` and `end`: what is longer is not looked up.
    longest: usize,
    servers: Vec<S>,
    default: Option<usize>,
}

/// A server that cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostsError {
    /// Another server, or this one, has the name already. nginx warns, and goes on as if it were not there.
    #[error("the server name {0} is there already")]
    Duplicate(HostPattern),
    /// There is a default already.
    #[error("there is a default server already")]
    SecondDefault,
}

impl<S> Default for Hosts<S> {
    fn default() -> Self {
        Hosts {
            exact: HashMap::new(),
            start: HashMap::new(),
            end: HashMap::new(),
            longest: 0,
            servers: Vec::new(),
            default: None,
        }
    }
}

impl<S> Hosts<S> {
    /// Adds a server with its names.
    ///
    /// # Errors
    ///
    /// [`HostsError::Duplicate`]; nothing has been added then.
    pub fn add(&mut self, names: impl IntoIterator<Item = HostPattern>, server: S) -> Result<(), HostsError> {
        let index = self.servers.len();
        let mut added = Vec::new();
        for pattern in names {
            if self.has(&pattern) {
                added.iter().for_each(|pattern| self.forget(pattern));
                return Err(HostsError::Duplicate(pattern));
            }
            for (names, name) in self.places(&pattern) {
                names.insert(name, index);
            }
            self.longest = self.longest.max(pattern.to_string().len());
            added.push(pattern);
        }
        self.servers.push(server);
        Ok(())
    }

    /// Adds a server that also has all hosts that no other has: nginx's `default_server`.
    ///
    /// # Errors
    ///
    /// [`HostsError`]; nothing has been added then.
    pub fn add_default(
        &mut self,
        names: impl IntoIterator<Item = HostPattern>,
        server: S,
    ) -> Result<(), HostsError> {
        if self.default.is_some() {
            return Err(HostsError::SecondDefault);
        }
        self.add(names, server)?;
        self.default = Some(self.servers.len() - 1);
        Ok(())
    }

    /// Whether a name is taken. `.example.com` takes `example.com` and `*.example.com`.
    #[must_use]
    pub fn has(&self, pattern: &HostPattern) -> bool {
        match &pattern.0 {
            Kind::Exact(name) => self.exact.contains_key(name),
            Kind::Start(suffix) => self.start.contains_key(suffix),
            Kind::StartOrBare(suffix) => self.exact.contains_key(suffix) || self.start.contains_key(suffix),
            Kind::End(prefix) => self.end.contains_key(prefix),
        }
    }

    /// The server for a host, the default where no name matches. `host` is the value of `Host`; its port does not
    /// count.
    ///
    /// None where there are no servers at all.
    #[must_use]
    pub fn find(&self, host: Option<&str>) -> Option<&S> {
        let default = || self.servers.get(self.default.unwrap_or_default());
        self.find_named(host).or_else(default)
    }

    /// As [`find`](Hosts::find), without a default.
    #[must_use]
    pub fn find_named(&self, host: Option<&str>) -> Option<&S> {
        let name = host_name(host.unwrap_or_default());
        let dots = || name.match_indices('.').map(|(at, _)| at);
        // From the longest to the shortest in each.
        let short = |part: &&str| part.len() <= self.longest;
        let mut starts = dots().map(|at| &name[at + 1..]).filter(short);
        let mut ends = dots().rev().map(|at| &name[..at]).filter(short);
        let index = self
            .exact
            .get(&name[..])
            .or_else(|| starts.find_map(|suffix| self.start.get(suffix)))
            .or_else(|| ends.find_map(|prefix| self.end.get(prefix)))?;
        self.servers.get(*index)
    }

    /// All servers, in the order in which they were added.
    pub fn iter(&self) -> std::slice::Iter<'_, S> {
        self.servers.iter()
    }

    fn forget(&mut self, pattern: &HostPattern) {
        for (names, name) in self.places(pattern) {
            names.remove(&name);
        }
    }

    /// Where a name is looked up, and by what.
    fn places(&mut self, pattern: &HostPattern) -> Vec<(&mut HashMap<String, usize>, String)> {
        match &pattern.0 {
            Kind::Exact(name) => vec![(&mut self.exact, name.clone())],
            Kind::Start(suffix) => vec![(&mut self.start, suffix.clone())],
            Kind::StartOrBare(suffix) => vec![
                (&mut self.exact, suffix.clone()),
                (&mut self.start, suffix.clone()),
            ],
            Kind::End(prefix) => vec![(&mut self.end, prefix.clone())],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_there_once() {
        let pattern = |text: &str| text.parse::<HostPattern>().unwrap();
        let mut hosts = Hosts::default();
        hosts
            .add([pattern("a.example"), pattern("*.b.example")], 0)
            .unwrap();
        for taken in [
            "a.example",
            "A.example:80",
            ".a.example",
            "*.b.example",
            ".b.example",
        ] {
            let refused = hosts.add([pattern("new.example"), pattern(taken)], 1);
            assert_eq!(refused, Err(HostsError::Duplicate(pattern(taken))));
            assert_eq!(
                hosts.find_named(Some("new.example")),
                None,
                "nothing is left of it"
            );
        }
        hosts.add([pattern("b.example"), pattern("a.*")], 1).unwrap();
        hosts.add_default([], 2).unwrap();
        assert_eq!(hosts.add_default([], 3), Err(HostsError::SecondDefault));
        assert_eq!(hosts.find(Some("other")), Some(&2));
        assert_eq!(hosts.iter().count(), 3);
        assert_eq!(Hosts::<()>::default().find(Some("a")), None);
    }

    /// Labels that meet often.
    fn name() -> impl Strategy<Value = String> {
        proptest::collection::vec("[ab]", 1..4).prop_map(|labels| labels.join("."))
    }

    proptest! {
        #[test]
        fn the_server_found_is_the_first_by_rank_that_matches(
            patterns in proptest::collection::vec((name(), 0..4usize), 0..12),
            host in name(),
        ) {
            let mut hosts = Hosts::default();
            let mut added: Vec<HostPattern> = Vec::new();
            for (name, kind) in patterns {
                let text: [String; 4] = [name.clone(), format!("*.{name}"), format!(".{name}"), format!("{name}.*")];
                let pattern: HostPattern = text[kind].parse().unwrap();
                if hosts.add([pattern.clone()], pattern.clone()).is_ok() {
                    added.push(pattern);
                }
            }
            // `.a.b` has the name `a.b` as if it were exact.
            added.sort_by_key(|pattern| (pattern.0 != Kind::StartOrBare(host.clone()), pattern.rank()));
            let first = added.iter().find(|pattern| pattern.matches(&host));
            prop_assert_eq!(hosts.find_named(Some(&host)), first);
        }
    }
}
