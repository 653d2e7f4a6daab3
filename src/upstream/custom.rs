//! A rule of the caller's for which server a request gets.

use std::fmt;
use std::sync::Arc;

use super::Balance;
use crate::connect::ConnectRequest;

/// A server that a [`CustomBalance`] may choose.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Choice<'a> {
    /// What the server is called.
    pub name: &'a str,
    /// The name that it was found by ([`Builder::resolve`](super::Builder::resolve)); none for one that the program has named.
    pub source: Option<&'a str>,
    /// Its weight.
    pub weight: u32,
    /// How many tunnels it has.
    pub tunnels: usize,
    /// Whether it may be chosen: it is not [out](super::Health) or [down](super::Group::set_down), has room, and this request has
    /// not had it.
    pub is_open: bool,
}

/// A rule of the caller's, with another one for the requests that it says nothing of.
///
/// ```
/// use switchover::upstream::{Balance, CustomBalance, Group, Server};
///
/// // A request that names a server gets it; the others go where the fewest tunnels are.
/// let named = CustomBalance::new(|request, servers| {
///     let name = request.head().headers.get("x-server")?.to_str().ok()?;
///     servers.iter().position(|server| server.is_open && server.name == name)
/// });
/// let group = Group::builder()
///     .balance(Balance::Custom(named.otherwise(Balance::LeastTunnels)))
///     .server(Server::to("10.0.0.1:9000"))
///     .server(Server::to("10.0.0.2:9000"))
///     .build();
/// # let _: Group = group;
/// ```
#[derive(Clone)]
pub struct CustomBalance {
    choose: Arc<Choose>,
    otherwise: Box<Balance>,
}

type Choose = dyn Fn(&ConnectRequest<'_>, &[Choice<'_>]) -> Option<usize> + Send + Sync;

impl CustomBalance {
    /// `choose` returns the position of a server in the list. The list has all servers but the [backups](super::Server::backup), in
    /// the order in which they were added, and those that were found behind them.
    ///
    /// It is called for each attempt, in the task of the request, and must not block. A position of a server that is not open, or of
    /// none, is as no position: the request goes by [the other rule](Self::otherwise).
    pub fn new(
        choose: impl Fn(&ConnectRequest<'_>, &[Choice<'_>]) -> Option<usize> + Send + Sync + 'static,
    ) -> Self {
        CustomBalance {
            choose: Arc::new(choose),
            otherwise: Box::default(),
        }
    }

    /// By what requests are spread that the rule says nothing of, and those for which only backups or servers that are out are left.
    /// Default: [`Balance::RoundRobin`].
    #[must_use]
    pub fn otherwise(self, balance: Balance) -> Self {
        CustomBalance {
            otherwise: Box::new(balance),
            ..self
        }
    }

    pub(super) fn choose(&self, request: &ConnectRequest<'_>, choices: &[Choice<'_>]) -> Option<usize> {
        (self.choose)(request, choices)
    }

    pub(super) fn other(&self) -> &Balance {
        &self.otherwise
    }
}

impl fmt::Debug for CustomBalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomBalance")
            .field("otherwise", &self.otherwise)
            .finish_non_exhaustive()
    }
}

/// Clones are the same.
impl PartialEq for CustomBalance {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.choose, &other.choose) && self.otherwise == other.otherwise
    }
}

impl Eq for CustomBalance {}

#[cfg(test)]
mod tests {
    use super::super::{Group, Server};
    use super::*;
    use crate::connect::Connect;
    use crate::header::Hop;

    async fn chosen(group: &Group, head: &http::request::Parts) -> String {
        let before: Vec<u64> = group.servers().iter().map(|server| server.tried).collect();
        let request = ConnectRequest::new(head, Hop::unknown());
        let _ = group.pool_key(request).await;
        let servers = group.servers();
        let mut changed = servers
            .iter()
            .zip(before)
            .filter(|(server, before)| server.tried > *before);
        changed.next().expect("a server was chosen").0.name.clone()
    }

    #[tokio::test]
    async fn the_callers_choice_counts_where_it_is_open() {
        let rule = CustomBalance::new(|request, servers| {
            assert_eq!(servers.len(), 2, "backups are not among them");
            assert!(servers.iter().all(|server| server.source.is_none()));
            let wanted = request.head().headers.get("x-server")?;
            let position = servers
                .iter()
                .position(|server| server.name.as_bytes() == wanted.as_bytes());
            // One that is not there.
            Some(position.unwrap_or(7))
        });
        let group: Group = Group::builder()
            .balance(Balance::Custom(rule))
            .server(Server::to("10.0.0.1:9000"))
            .server(Server::to("10.0.0.9:9000").backup())
            .server(Server::to("10.0.0.2:9000"))
            .build();
        let head = |wanted: Option<&str>| {
            let mut builder = http::Request::builder();
            if let Some(wanted) = wanted {
                builder = builder.header("x-server", wanted);
            }
            builder.body(()).unwrap().into_parts().0
        };
        let (one, two) = (head(Some("10.0.0.1:9000")), head(Some("10.0.0.2:9000")));
        for _ in 0..3 {
            assert_eq!(chosen(&group, &two).await, "10.0.0.2:9000");
        }
        assert_eq!(chosen(&group, &one).await, "10.0.0.1:9000");
        // Nothing said, or nothing that can be: by turns.
        for other in [head(None), head(Some("nowhere"))] {
            assert_eq!(chosen(&group, &other).await, "10.0.0.1:9000");
            assert_eq!(chosen(&group, &other).await, "10.0.0.2:9000");
        }
        assert!(group.set_down("10.0.0.2:9000", true));
        assert_eq!(chosen(&group, &two).await, "10.0.0.1:9000");
    }

    #[tokio::test]
    async fn the_other_rule_is_carried_out_whole() {
        let key = super::super::Key::Header(http::HeaderName::from_static("x-key"));
        let with = |balance| {
            let servers = (1..9).map(|last| Server::to(format!("10.0.0.{last}:9000")));
            let builder = servers.fold(Group::builder().balance(balance), super::super::Builder::server);
            let group: Group = builder.build();
            group
        };
        let plain = with(Balance::Hash(key.clone()));
        let custom = with(Balance::Custom(
            CustomBalance::new(|_, _| None).otherwise(Balance::Hash(key)),
        ));
        for number in 0..32 {
            let head = http::Request::builder().header("x-key", format!("key-{number}"));
            let head = head.body(()).unwrap().into_parts().0;
            assert_eq!(chosen(&custom, &head).await, chosen(&plain, &head).await);
        }
    }

    #[test]
    fn clones_are_equal_and_others_are_not() {
        let rule = CustomBalance::new(|_, _| None);
        assert_eq!(rule.clone(), rule);
        assert_ne!(rule.clone().otherwise(Balance::Random), rule);
        assert_ne!(CustomBalance::new(|_, _| None), rule);
    }
}
