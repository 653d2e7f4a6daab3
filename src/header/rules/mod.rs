//! Which fields are set, added and removed by the operator's rules, and in which order: nginx's `proxy_set_header`,
//! `proxy_hide_header` and `add_header`.
//!
//! Rules are applied last: after hop-by-hop removal, so that no client can nominate a field away that a rule sets, and
//! after [`ForwardedRules`](super::ForwardedRules), so that a rule has the last word. They cannot touch what the proxy
//! itself says of the connection, the framing and the handshake: such a rule is an error when it is made, not later.
//!
//! ```
//! use http::StatusCode;
//! use switchover::header::rules::{HeaderRules, RuleError, Statuses, Variables};
//! use switchover::header::Hop;
//!
//! let rules = HeaderRules::default()
//!     .set_on_request("X-Real-IP", "$remote_addr")?
//!     .set_on_request("X-Forwarded-For", "$proxy_add_x_forwarded_for")?
//!     .remove_on_request("X-Debug")?
//!     .add_on_response("X-Served-For", "$host", Statuses::Always)?;
//! let refused = HeaderRules::default().set_on_request("Connection", "upgrade").unwrap_err();
//! assert_eq!(refused.to_string(), "Connection is set by the proxy");
//!
//! let request = http::Request::get("/chat").header("Host", "a.example:80").header("X-Debug", "1");
//! let (mut parts, ()) = request.header("X-Forwarded-For", "192.0.2.1").body(()).unwrap().into_parts();
//! let hop = Hop::from("198.51.100.1".parse::<std::net::IpAddr>().unwrap());
//!
//! // What the variables stand for is looked up before anything is changed.
//! let prepared = rules.prepare(&Variables::new(&parts, &hop));
//! prepared.apply_to_request(&mut parts.headers);
//! assert_eq!(parts.headers["x-forwarded-for"], "192.0.2.1, 198.51.100.1");
//! assert!(!parts.headers.contains_key("x-debug"));
//!
//! let mut response = http::HeaderMap::new();
//! prepared.apply_to_response(&mut response, StatusCode::SWITCHING_PROTOCOLS);
//! assert_eq!(response["x-served-for"], "a.example");
//! # Ok::<(), RuleError>(())
//! ```

mod host;
mod owned;
mod prepared;
mod redirects;
mod statuses;
mod template;
mod underscores;
mod variables;

pub use host::HostRule;
pub use owned::RuleError;
pub use prepared::PreparedRules;
pub use statuses::Statuses;
pub use template::{Template, TemplateError};
pub use underscores::Underscores;
pub use variables::Variables;

use std::sync::Arc;

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use self::owned::Touch;
use self::redirects::Redirect;

/// What is set, added and removed, on requests and on responses. Cheap to clone.
///
/// Values are [`Template`]s. Their variables are nginx's: `$args`, `$arg_NAME`, `$cookie_NAME`, `$host`, `$http_NAME`,
/// `$is_args`, `$proxy_add_x_forwarded_for`, `$proxy_host`, `$query_string`, `$realip_remote_addr`, `$remote_addr`,
/// `$remote_port`, `$request_method`, `$request_uri`, `$scheme`, `$server_name` and `$server_port`. A field that is
/// repeated has all its lines in `$http_NAME`, as in nginx from 1.23 on. One that is not known stands for nothing.
///
/// The default has no rules, leaves the client's `Host`, and [drops](Underscores) look-alikes of the proxy's own
/// fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules(Arc<Inner>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Inner {
    request: Vec<(HeaderName, Action)>,
    response: Vec<(HeaderName, Action, Statuses)>,
    redirects: Vec<Redirect>,
    host: HostRule,
    underscores: Underscores,
    only_plain_names: bool,
    server_name: String,
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Set(Template),
    Add(Template),
    Remove,
}

impl Action {
    /// Whether it leaves nothing of what the sender has sent.
    fn replaces(&self) -> bool {
        !matches!(self, Action::Add(_))
    }
}

impl HeaderRules {
    /// Whether a field of requests is not the client's to send: it is set, or removed.
    #[cfg(feature = "gateway")]
    pub(crate) fn decides_on_request(&self, name: &HeaderName) -> bool {
        let mut rules = self.0.request.iter();
        self.drops(name) || rules.any(|(rule, action)| rule == name && action.replaces())
    }

    /// The same of responses with this status, and the upstream.
    #[cfg(feature = "gateway")]
    pub(crate) fn decides_on_response(&self, name: &HeaderName, status: StatusCode) -> bool {
        let mut rules = self.0.response.iter();
        rules.any(|(rule, action, statuses)| rule == name && action.replaces() && statuses.contains(status))
    }

    /// Sets a field on requests: nginx's `proxy_set_header`. All that the client has sent under the name goes, also
    /// where the value comes out empty and no field takes its place.
    ///
    /// `Origin` can be set, to what the origin expects. Danger: it then believes every page on the web to be its own
    /// (cross-site WebSocket hijacking). Name the origins that may connect with
    /// [`HandshakePolicy::allow_origin`](crate::handshake::HandshakePolicy::allow_origin); that is checked on what
    /// the client has sent.
    ///
    /// # Errors
    ///
    /// [`RuleError`]: no name, a field of the proxy's own, a variable that there is none of.
    pub fn set_on_request(mut self, name: &str, value: &str) -> Result<Self, RuleError> {
        let template: Template = value.parse()?;
        // Where it is always empty it is a removal, which may touch more.
        match template.constant().is_some_and(HeaderValue::is_empty) {
            true => self.remove_on_request(name),
            false => {
                let name = owned::request_field(name, Touch::Set)?;
                self.change().request.push((name, Action::Set(template)));
                Ok(self)
            }
        }
    }

    /// Adds a line to a field of requests, beside what the client has sent.
    ///
    /// # Errors
    ///
    /// As [`set_on_request`](HeaderRules::set_on_request).
    pub fn add_on_request(mut self, name: &str, value: &str) -> Result<Self, RuleError> {
        let name = owned::request_field(name, Touch::Set)?;
        let template = value.parse()?;
        self.change().request.push((name, Action::Add(template)));
        Ok(self)
    }

    /// Removes a field from requests.
    ///
    /// Of the handshake's fields the two offers can go: without `Sec-WebSocket-Extensions` nothing is compressed, and
    /// without `Sec-WebSocket-Protocol` no subprotocol is chosen.
    ///
    /// # Errors
    ///
    /// As [`set_on_request`](HeaderRules::set_on_request).
    pub fn remove_on_request(mut self, name: &str) -> Result<Self, RuleError> {
        let name = owned::request_field(name, Touch::Remove)?;
        self.change().request.push((name, Action::Remove));
        Ok(self)
    }

    /// Sets a field on responses, in place of what the upstream has sent under the name.
    ///
    /// # Errors
    ///
    /// As [`set_on_request`](HeaderRules::set_on_request).
    pub fn set_on_response(self, name: &str, value: &str, statuses: Statuses) -> Result<Self, RuleError> {
        let template = value.parse()?;
        self.on_response(name, Action::Set(template), statuses)
    }

    /// Adds a line to a field of responses, beside what the upstream has sent: nginx's `add_header`. Nothing where the
    /// value comes out empty.
    ///
    /// `Access-Control-Allow-*` has no bearing on WebSockets, to which browsers do not apply CORS: see
    /// [`HandshakePolicy::allow_origin`](crate::handshake::HandshakePolicy::allow_origin).
    ///
    /// # Errors
    ///
    /// As [`set_on_request`](HeaderRules::set_on_request).
    pub fn add_on_response(self, name: &str, value: &str, statuses: Statuses) -> Result<Self, RuleError> {
        let template = value.parse()?;
        self.on_response(name, Action::Add(template), statuses)
    }

    /// Removes a field from all responses: nginx's `proxy_hide_header`.
    ///
    /// # Errors
    ///
    /// As [`set_on_request`](HeaderRules::set_on_request).
    pub fn remove_on_response(self, name: &str) -> Result<Self, RuleError> {
        self.on_response(name, Action::Remove, Statuses::Always)
    }

    /// Where the address in `Location` of a response begins with `from`, or that in `Refresh`, `to` takes the place of this
    /// beginning: nginx's `proxy_redirect`. Of several rules the first that fits holds. Other rules for responses come
    /// after it. Default: none, and the client is sent where the upstream says.
    ///
    /// ```
    /// use switchover::header::HeaderRules;
    ///
    /// // location /one/ { proxy_pass http://backend:9000/two/; }
    /// let rules = HeaderRules::default().redirect("http://backend:9000/two/", "/one/")?;
    /// # Ok::<(), switchover::header::rules::RuleError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`RuleError::Value`].
    pub fn redirect(mut self, from: &str, to: &str) -> Result<Self, RuleError> {
        let redirect = Redirect::new(from.parse()?, to.parse()?);
        self.change().redirects.push(redirect);
        Ok(self)
    }

    /// Which `Host` goes upstream. Default [`HostRule::Client`].
    #[must_use]
    pub fn host(mut self, host: HostRule) -> Self {
        self.change().host = host;
        self
    }

    /// What becomes of a client's fields with an underscore in their names. Default [`Underscores::DropLookAlikes`].
    #[must_use]
    pub fn underscores(mut self, underscores: Underscores) -> Self {
        self.change().underscores = underscores;
        self
    }

    /// What `$server_name` stands for, unless the [`Variables`] say otherwise. Default: nothing.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.change().server_name);
        self
    }

    /// The upstream's host and port as the value of `$proxy_host` and [`HostRule::Upstream`], unless the [`Variables`] say
    /// otherwise. Default: not known.
    #[must_use]
    pub fn upstream(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.change().upstream);
        self
    }

    /// Looks all variables up. To be called while the request is still as the client has sent it.
    #[must_use]
    pub fn prepare(&self, variables: &Variables<'_>) -> PreparedRules {
        let variables = variables.or(&self.0.server_name, &self.0.upstream);
        let value = |action: &Action| match action {
            Action::Set(template) | Action::Add(template) => template.value(&variables),
            Action::Remove => None,
        };
        PreparedRules {
            host: self.0.host.value(&variables),
            request: self.0.request.iter().map(|(_, action)| value(action)).collect(),
            response: self
                .0
                .response
                .iter()
                .map(|(_, action, _)| value(action))
                .collect(),
            redirects: self
                .0
                .redirects
                .iter()
                .filter_map(|redirect| redirect.prepare(&variables))
                .collect(),
            rules: self.clone(),
        }
    }

    /// Applies the rules to a request that is about to go upstream. `variables` are of the request as it came: where
    /// the two are one, [`prepare`](HeaderRules::prepare) first.
    pub fn apply_to_request(&self, headers: &mut HeaderMap, variables: &Variables<'_>) {
        self.prepare(variables).apply_to_request(headers);
    }

    /// Applies the rules to a response that is about to go to the client. The variables are the request's.
    pub fn apply_to_response(&self, headers: &mut HeaderMap, status: StatusCode, variables: &Variables<'_>) {
        self.prepare(variables).apply_to_response(headers, status);
    }

    fn on_response(mut self, name: &str, action: Action, statuses: Statuses) -> Result<Self, RuleError> {
        let name = owned::response_field(name)?;
        self.change().response.push((name, action, statuses));
        Ok(self)
    }

    fn change(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}
