//! Whom a request goes to: the group or the server that the URL of its location names, once its variables have their values.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use http::uri::PathAndQuery;
use switchover::service::Relay;

use super::connection::report;
use super::peer::Address;
use super::phases::Stop;
use super::proxy::{Pass, Proxy};
use super::proxy_pass::{Target, Whom, is_url};
use super::request::Request;
use super::route::Leading;
use super::tries::Tries;
use super::upstreams::Upstream;

/// An upstream, as this request asks it.
pub(crate) struct Leads {
    pub(crate) group: Leading,
    pub(crate) relay: Relay<Leading>,
    /// What it is asked for; none is the client's target.
    pub(crate) path: Option<PathAndQuery>,
    pub(crate) tries: Arc<Tries>,
}

impl Request {
    /// Whom a request goes to.
    pub(crate) async fn leads(&self, proxy: &Arc<Proxy>) -> Result<Leads, Stop> {
        let failed = |why: String| {
            report(self.hop(), format!("proxy_pass ({}): {why}", proxy.place));
            Stop::from(StatusCode::BAD_GATEWAY)
        };
        // Of what was to be asked before, and was not.
        self.state.lock().tries = None;
        let (target, upstream, group, relay): (Arc<Target>, Arc<Upstream>, Leading, Relay<Leading>);
        let bound = self.bound(proxy);
        match &proxy.whom {
            Pass::Fixed {
                target: fixed,
                upstream: known,
                group: led,
            } => {
                target = Arc::new(fixed.clone());
                upstream = known.clone();
                group = led.clone();
                relay = match &bound {
                    None => self.worker.relays[proxy.index].clone(),
                    Some(address) => {
                        let key = format!("{} by {address}", target.authority);
                        self.worker
                            .relay_for(proxy, &key, known, || Ok(led.clone()))
                            .map_err(failed)?
                            .1
                    }
                };
            }
            Pass::Variable(url) => {
                let url = self.with(|asked| url.value(asked));
                self.has_its_values()?;
                // As in nginx, that is no fault of an upstream.
                if !is_url(&url) {
                    failed(format!("{url:?} is no URL"));
                    return Err(StatusCode::INTERNAL_SERVER_ERROR.into());
                }
                target = Arc::new(Target::read(&url).map_err(failed)?);
                let found;
                (upstream, found) = self.found(proxy, &target).await.map_err(failed)?;
                let key = format!("{}://{found} {bound:?}", target.https);
                let led = || proxy.lead(&target, &upstream);
                (group, relay) = self
                    .worker
                    .relay_for(proxy, &key, &upstream, led)
                    .map_err(failed)?;
            }
        }
        self.leads_to(&target);
        let path = self.with(|asked| proxy.target(&target, asked));
        let path = path.map_err(|()| Stop::from(StatusCode::BAD_REQUEST))?;
        let key = upstream.key.as_ref();
        let key = key.map(|key| self.with(|asked| key.value(asked)).into_bytes());
        let sticky = upstream.sticky.clone();
        let wanted = sticky
            .as_ref()
            .and_then(|sticky| self.with(|asked| sticky.wanted(asked)));
        self.has_its_values()?;
        let tries = Tries::new(key, sticky, wanted, bound);
        self.state.lock().tries = Some(tries.clone());
        self.explain(|| {
            let path = path.as_ref().map_or(self.own_target(), |path| path.as_str());
            format!("proxy_pass ({}) to {} for {path}", proxy.place, target.authority)
        });
        if let Some(shown) = &upstream.shown {
            self.explain(|| shown.clone());
        }
        Ok(Leads {
            group,
            relay,
            path,
            tries,
        })
    }

    /// The answer of the servers that were asked goes to nobody: nothing more comes of them, and the request does not count there for
    /// what comes in their place.
    pub(crate) fn pass_over(&self, stop: &Stop) {
        let Some(tries) = self.state.lock().tries.take() else {
            return;
        };
        drop(tries.counted());
        let status = match stop {
            Stop::Answered(response) => Some(response.status().as_u16()),
            Stop::Status(status, _) => Some(status.as_u16()),
            Stop::Go(_) | Stop::Plan(_) => None,
        };
        let mut all = self.with(|asked| {
            let group = asked.target.map_or("", |target| &target.host);
            tries.all(group, status)
        });
        all.iter_mut().for_each(|server| server.is_over = true);
        let all = Some(all).filter(|all| !all.is_empty());
        self.state.lock().tries_before.extend(all);
    }

    /// The servers that a URL with variables leads to, and the text by which they are known.
    async fn found(&self, proxy: &Proxy, target: &Target) -> Result<(Arc<Upstream>, String), String> {
        let key = target.authority.clone();
        Ok(match target.whom(&self.worker.configuration.groups)? {
            Whom::Group(upstream) => (upstream, key),
            Whom::Server(Address::Named(_)) => {
                let servers = proxy.look_up(target).await?;
                self.explain(|| format!("{} is at {servers:?}", target.host));
                let key = format!("{key} {servers:?}");
                (
                    self.worker.upstream_for(&key, || Upstream::of_found(&servers)),
                    key,
                )
            }
            Whom::Server(address) => (self.worker.upstream_for(&key, || Upstream::of_one(address)), key),
        })
    }

    /// `proxy_bind`.
    fn bound(&self, proxy: &Proxy) -> Option<SocketAddr> {
        if !proxy.is_bound {
            return None;
        }
        let location = self.state.lock().location.clone()?;
        let text = location.handling.bind.as_ref()?.value.clone()?;
        let value = self.with(|asked| text.value(asked));
        let address = value.parse::<SocketAddr>();
        address.ok().or_else(|| {
            let address = value.trim_matches(['[', ']']).parse().ok()?;
            Some(SocketAddr::new(address, 0))
        })
    }
}
