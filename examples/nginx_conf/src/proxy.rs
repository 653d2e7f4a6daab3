//! A location with `proxy_pass`: whom it asks, as what, and how long it waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::uri::PathAndQuery;
use switchover::gateway::Acceptor;
use switchover::handshake::HandshakePolicy;
use switchover::header::{Protocol, Protocols};
use switchover::route::{Locations as Prefixes, PathPattern, PathReading};
use switchover::service::RelayConfig;
use switchover::upstream::Retry;

use super::fields::Fields;
use super::findings::Place;
use super::limits;
use super::location::Surroundings;
use super::locations::Pattern;
use super::next_upstream;
use super::proxy_pass::{Target, Whom};
use super::redirects::Redirection;
use super::resolver::Resolver;
use super::route::{Leading, Route, Tls};
use super::scope::Scope;
use super::text::{Asked, Text};
use super::tls::{self, UpstreamTls};
use super::tree::Directive;
use super::tries;
use super::upstreams::Upstream;
use super::uri;

/// A location with `proxy_pass`.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Its number among all of the configuration: each worker has a relay for it.
    pub(crate) index: usize,
    pub(crate) whom: Pass,
    pub(crate) fields: Fields,
    /// Decides on requests that ask for an upgrade, by what holds in this location.
    pub(crate) upgrades: Acceptor,
    /// What it decides by.
    pub(crate) policy: HandshakePolicy,
    pub(crate) relay: RelayConfig,
    /// By what the outcome is asked for again.
    retry: Retry,
    /// How TLS is spoken; none where there is no need.
    tls: Option<UpstreamTls>,
    connect_timeout: Duration,
    /// Whether the bytes of its connections are counted.
    is_metered: bool,
    /// The matched prefix, where the target's own encoding stays behind it.
    prefix: Option<Prefixes<()>>,
    /// `--nginx-paths`.
    reads_as_nginx: bool,
    /// Whom names in a URL with variables are asked of, and for how long.
    resolver: Option<(Arc<Resolver>, Duration)>,
    pub(crate) is_bound: bool,
    line: Directive,
    pub(crate) place: Place,
}

/// Whom a location asks.
#[derive(Debug)]
pub(crate) enum Pass {
    /// The same for all requests.
    Fixed {
        target: Target,
        upstream: Arc<Upstream>,
        group: Leading,
    },
    /// A URL with variables.
    Variable(Text),
}

impl Proxy {
    /// None with an error among the findings. `is_plain` is a location, not one of the blocks within it.
    pub(crate) fn read(
        line: &Directive,
        scope: &Scope,
        pattern: &Pattern,
        is_plain: bool,
        around: &mut Surroundings<'_>,
    ) -> Option<Arc<Proxy>> {
        let (place, url) = (&line.place, line.first());
        let wrong = |around: &mut Surroundings<'_>, why: String| {
            around.findings.error(place, format!("proxy_pass {why}"));
        };
        let has_variables = url.contains('$');
        let tls = match has_variables || url.to_ascii_lowercase().starts_with("https://") {
            true => Some(tls::upstream(place, scope, has_variables, around)?),
            false => None,
        };
        let connect_timeout = limits::connect_timeout(scope);
        let retry = next_upstream::retry(scope);
        let whom = if has_variables {
            Pass::Variable(Text::parse(url, around.names, place, around.findings))
        } else {
            let read = Target::read(url).and_then(|target| {
                let upstream = match target.whom(around.groups)? {
                    Whom::Group(upstream) => upstream,
                    Whom::Server(address) => around.groups.of_one(&target.authority, address),
                };
                Ok((target, upstream))
            });
            let (target, upstream) = match read {
                Ok(read) => read,
                Err(why) => {
                    wrong(around, why);
                    return None;
                }
            };
            let may_replace = is_plain && pattern.prefix().is_some();
            if target.replacement.is_some() && !may_replace {
                let text = "takes no path behind the host in a location by a regular expression or a name, in if and in \
                            limit_except; nginx does not start either";
                wrong(around, text.to_owned());
            }
            let tls = tls.as_ref().filter(|_| target.https);
            let route = route(tls, &target, connect_timeout, around.names.has_byte_counts());
            let route = match route {
                Ok(route) => route,
                Err(why) => {
                    wrong(around, why);
                    return None;
                }
            };
            let group = upstream
                .group
                .retry(retry.clone())
                .on_attempt(tries::ended)
                .connect_with(route);
            Pass::Fixed {
                target,
                upstream,
                group,
            }
        };
        let redirects = Redirection::of_location(&scope.redirections, url, pattern);
        let mut fields = Fields::new(scope, around.findings);
        match redirects {
            Ok(redirects) => fields.redirects = redirects,
            Err(why) => around.findings.error(place, why),
        }
        let proxy = Arc::new(Proxy {
            index: around.proxies.len(),
            whom,
            fields,
            upgrades: Acceptor::new(around.limits.of_upgrades(scope)),
            policy: around.limits.policy(),
            relay: around.limits.of_relay(scope),
            retry,
            tls,
            connect_timeout,
            is_metered: around.names.has_byte_counts(),
            prefix: prefix(pattern),
            reads_as_nginx: around.limits.reading == PathReading::Nginx,
            resolver: resolver(scope),
            is_bound: scope
                .handling
                .bind
                .as_ref()
                .is_some_and(|bind| bind.value.is_some()),
            line: line.clone(),
            place: place.clone(),
        });
        around.proxies.push(proxy.clone());
        Some(proxy)
    }

    /// Whether what a request asks for in `Upgrade` is what a flag names: no WebSocket, and allowed all the same.
    pub(crate) fn is_named(&self, headers: &HeaderMap) -> bool {
        let Ok(protocols) = Protocols::of(headers) else {
            return false;
        };
        let mut allowed = protocols
            .iter()
            .filter(|protocol| self.policy.allows(protocol))
            .peekable();
        allowed.peek().is_some() && allowed.all(|protocol| *protocol != Protocol::WEBSOCKET)
    }

    /// The same upstream, by the rules of a block within the location.
    pub(crate) fn within(
        &self,
        scope: &Scope,
        pattern: &Pattern,
        around: &mut Surroundings<'_>,
    ) -> Option<Arc<Proxy>> {
        let is_plain = true;
        Proxy::read(&self.line, scope, pattern, is_plain, around)
    }

    /// The group that a URL with variables has led to, and the name of its upstream for the pool.
    pub(crate) fn lead(&self, target: &Target, upstream: &Upstream) -> Result<Leading, String> {
        let route = route(
            self.tls.as_ref().filter(|_| target.https),
            target,
            self.connect_timeout,
            self.is_metered,
        )?;
        let group = upstream.group.retry(self.retry.clone());
        Ok(group.on_attempt(tries::ended).connect_with(route))
    }

    /// The servers at a host, as its addresses are looked up for this request.
    ///
    /// # Errors
    ///
    /// There is no `resolver`, or it has found none.
    pub(crate) async fn look_up(&self, target: &Target) -> Result<Vec<SocketAddr>, String> {
        let host = target.authority.rsplit_once(':').map_or("", |(host, _)| host);
        let Some((resolver, limit)) = &self.resolver else {
            return Err(format!("no resolver defined to resolve {host}"));
        };
        let found = resolver.addresses(host, *limit).await;
        let found = found.map_err(|why| format!("{host} could not be resolved: {why}"))?;
        let port = target
            .port
            .parse()
            .map_err(|_| format!("{:?} is no port", target.port))?;
        let mut servers: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        // In whichever order they came, they are the same group.
        servers.sort_unstable();
        Ok(servers)
    }

    /// What the upstream is asked for; none where that is the client's target as it came.
    ///
    /// # Errors
    ///
    /// It can be no target.
    pub(crate) fn target(&self, target: &Target, asked: &Asked<'_>) -> Result<Option<PathAndQuery>, ()> {
        let (uri, args, is_unparsed, is_found, is_of_location) = {
            let state = asked.state.lock();
            (
                state.uri.clone(),
                state.args.clone(),
                state.is_unparsed,
                state.is_found,
                state.is_of_location,
            )
        };
        let own = asked.head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let made = match (&target.replacement, &self.whom) {
            (None, _) if is_unparsed => return Ok(None),
            // Of a URL with variables, what is behind the host is all of it.
            (Some(replacement), Pass::Variable(_)) => replacement.clone(),
            (Some(replacement), _) if is_of_location => {
                let is_clients = is_unparsed && !is_found;
                if let (true, Some(prefix)) = (is_clients && !self.reads_as_nginx, &self.prefix) {
                    // As it came, behind the prefix.
                    let found = prefix.find(own).map_err(drop)?;
                    return found.replace_prefix(replacement, own).map(Some).ok_or(());
                }
                let location = asked.state.lock().location.clone();
                let matched = location.as_ref().and_then(|location| location.pattern.prefix());
                // As long as the prefix is, whatever stands there: the name of a file may be another.
                let rest = matched.map_or(0, str::len).min(uri.len());
                let rest = uri.get(rest..).unwrap_or(&uri);
                let path = format!("{replacement}{}", uri::escape(rest));
                // Text by text, as in nginx; but what has been replaced does not climb.
                if path.split('/').any(|segment| segment == "..") {
                    return Err(());
                }
                uri::joined(&path, &args)
            }
            _ => uri::joined(&uri::escape(&uri), &args),
        };
        uri::possible(made).parse().map(Some).map_err(drop)
    }
}

fn resolver(scope: &Scope) -> Option<(Arc<Resolver>, Duration)> {
    let resolver = scope.handling.resolver.as_ref()?.value.clone();
    Some((resolver, resolver_timeout(scope)))
}

/// `resolver_timeout`.
pub(crate) fn resolver_timeout(scope: &Scope) -> Duration {
    let said = scope.handling.resolver_timeout.as_ref();
    said.map_or(Duration::from_secs(30), |said| said.value)
}

fn prefix(pattern: &Pattern) -> Option<Prefixes<()>> {
    let pattern = match pattern {
        Pattern::Exact(path) => PathPattern::exact(path),
        Pattern::Prefix { path, .. } => PathPattern::prefix(path),
        _ => return None,
    };
    let mut prefixes = Prefixes::default();
    prefixes.add(pattern.ok()?, ()).ok()?;
    Some(prefixes)
}

fn route(
    tls: Option<&UpstreamTls>,
    target: &Target,
    connect_timeout: Duration,
    is_metered: bool,
) -> Result<Route, String> {
    let tls = match tls {
        Some(tls) => Some(Tls::new(tls.config.clone(), tls.name_for(target)).map_err(|why| why.to_string())?),
        None => None,
    };
    Ok(Route {
        tls,
        connect_timeout,
        is_metered,
    })
}
