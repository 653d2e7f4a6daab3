//! `--explain`: which way a request takes, and why, and what its origin receives. Nothing is sent.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use http::header::{HOST, HeaderName, HeaderValue};
use http::request::Parts;
use switchover::handshake::wants_upgrade;
use switchover::header::{Hop, hop_by_hop};
use switchover::tunnel::Drain;

use super::configuration::Configuration;
use super::flags::Explained;
use super::listen::Address;
use super::opening::Facts;
use super::phases::Plan;
use super::proxy::Proxy;
use super::real_ip::Proxied;
use super::request::Request;
use super::rewrite::End;
use super::said;
use super::tls_variables::TlsFacts;
use super::worker::{self, Worker};

impl Request {
    /// Writes a step down, if somebody wants to know.
    pub(crate) fn explain(&self, step: impl FnOnce() -> String) {
        if self.state.lock().story.is_none() {
            return;
        }
        let step = step();
        if let Some(story) = &mut self.state.lock().story {
            story.push(step);
        }
    }

    /// Why the request is one of its server.
    pub(crate) fn reason_of_server(&self) -> String {
        let in_target = self.head.uri.authority().map(http::uri::Authority::as_str);
        let host = in_target.or_else(|| self.head.headers.get(HOST)?.to_str().ok());
        let host = host.unwrap_or_default();
        match self.worker.listener(self.listener).knows(host) {
            true => format!("{host} is one of its names"),
            false => format!("no server of the address has the name {host:?}, and this one is the default"),
        }
    }

    /// What the lines of a server or a location have come to.
    pub(crate) fn explain_end(&self, of: &str, end: &End) {
        self.explain(|| match end {
            End::Same if self.state.lock().is_of_location => {
                format!("the lines of the {of} leave it as it is")
            }
            End::Same => format!(
                "the lines of the {of} make it {}, and it stays here",
                self.state.lock().uri
            ),
            End::Rewritten => format!("the lines of the {of} make it {}", self.state.lock().uri),
            End::Answer(answer) => format!("the lines of the {of} answer {}", answer.status),
            End::Redirect(status, to) => format!("the lines of the {of} redirect ({status}) to {to}"),
        });
    }
}

/// Prints which way a request takes.
pub(crate) fn run(asked: &Explained, configuration: Configuration) -> ExitCode {
    match described(asked, configuration) {
        Ok(lines) => {
            let mut output = io::stdout().lock();
            for line in &lines {
                // Standard output may be closed early, by `head` for one.
                let _ = writeln!(output, "{line}");
            }
            ExitCode::SUCCESS
        }
        Err(why) => {
            said(&format!("nginx_conf: --explain {}: {why}", asked.url));
            ExitCode::from(2)
        }
    }
}

fn described(asked: &Explained, configuration: Configuration) -> Result<Vec<String>, String> {
    let (is_tls, head) = head(asked)?;
    let port = head.uri.authority().and_then(http::uri::Authority::port_u16);
    let port = port.unwrap_or(if is_tls { 443 } else { 80 });
    let listeners = configuration.listeners.iter().enumerate();
    let fits = |address: &Address| address.port() == Some(port);
    let mut fitting =
        listeners.filter(|(_, listener)| fits(&listener.address) && listener.tls.is_some() == is_tls);
    let (index, listener) = fitting
        .next()
        .ok_or_else(|| format!("nothing listens on port {port} for it"))?;
    let mut lines = vec![format!("listen {}", listener.address)];
    let mut head = head;
    // As a client writes it.
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str())
        .to_owned();
    head.uri = target.parse().map_err(|why| format!("{why}"))?;
    let runtime = worker::runtime().map_err(|why| why.to_string())?;
    let client = SocketAddr::from((asked.client.unwrap_or(Ipv4Addr::LOCALHOST.into()), 50_000));
    let hop = Hop::from(client).at_port(port).tls(is_tls);
    runtime.block_on(async {
        let worker = Arc::new(Worker::new(Arc::new(configuration), Drain::new()));
        let facts = Facts {
            tls: is_tls.then(|| Arc::new(TlsFacts::believed())),
            ..Facts::default()
        };
        let request = Request::new(
            Box::new(head),
            hop,
            Proxied::default(),
            Arc::new(facts),
            index,
            worker,
        );
        request.state.lock().story = Some(Vec::new());
        let plan = request.plan().await;
        let ending = request.ending(plan).await;
        lines.append(&mut request.state.lock().story.take().unwrap_or_default());
        lines.extend(ending);
    });
    Ok(lines)
}

impl Request {
    /// What a plan would come to.
    async fn ending(&self, plan: Plan) -> Vec<String> {
        match plan {
            Plan::Close => vec!["the connection is closed without an answer (444)".to_owned()],
            Plan::Respond(response) => {
                let mut lines = vec![format!("answer {}", response.status())];
                lines.extend(fields(response.headers()));
                lines
            }
            Plan::Proxy(proxy, location) => match self.leads(&proxy).await {
                Err(_) => vec!["the upstream is not to be found: 502".to_owned()],
                Ok(leads) => {
                    let path = leads
                        .path
                        .as_ref()
                        .map_or(self.own_target(), |path| path.as_str());
                    let mut lines = self.goes_up(&proxy, path);
                    if location.handling.gzip.may_be_for(&self.head) {
                        lines.push("the answer is compressed (gzip) if its status, type and length are those of gzip".to_owned());
                    }
                    lines
                }
            },
        }
    }

    /// The head that an origin receives.
    fn goes_up(&self, proxy: &Proxy, path: &str) -> Vec<String> {
        let is_named = proxy.is_named(&self.head.headers);
        let is_upgrade =
            wants_upgrade(&self.head) && self.with(|asked| proxy.fields.carry_upgrade(asked, is_named));
        let rules = self.with(|asked| proxy.fields.request_rules(asked));
        let mut headers = self.head.headers.clone();
        let _ = hop_by_hop::strip(&mut headers);
        self.with(|asked| rules.apply_to_request(&mut headers, &asked.variables()));
        let what = match (wants_upgrade(&self.head), is_upgrade) {
            (true, true) => "the upgrade is asked of the origin",
            (true, false) => "the upgrade is not asked of the origin: proxy_set_header says nothing of it",
            _ => "an ordinary request",
        };
        let method = self.state.lock().method.clone();
        let mut lines = vec![
            what.to_owned(),
            format!("the origin receives: {method} {path} HTTP/1.1"),
        ];
        lines.extend(fields(&headers));
        if is_upgrade {
            lines.extend([
                "    upgrade: websocket".to_owned(),
                "    connection: upgrade".to_owned(),
            ]);
        }
        lines
    }
}

fn fields(headers: &http::HeaderMap) -> impl Iterator<Item = String> {
    let lines = headers.iter();
    lines.map(|(name, value)| format!("    {name}: {}", String::from_utf8_lossy(value.as_bytes())))
}

fn head(asked: &Explained) -> Result<(bool, Parts), String> {
    let url = asked
        .url
        .replacen("wss://", "https://", 1)
        .replacen("ws://", "http://", 1);
    let uri: http::Uri = url.parse().map_err(|why| format!("{why}"))?;
    let is_tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err("a URL begins with http://, https://, ws:// or wss://".to_owned()),
    };
    let host = uri
        .authority()
        .map(|authority| authority.as_str().to_owned())
        .unwrap_or_default();
    let request = http::Request::builder().method(&*asked.method).uri(uri).body(());
    let (mut head, ()) = request.map_err(|why| why.to_string())?.into_parts();
    let host = HeaderValue::try_from(host).map_err(|why| why.to_string())?;
    head.headers.insert(HOST, host);
    if asked.url.starts_with("ws") {
        for (name, value) in [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            head.headers
                .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    for (name, value) in &asked.fields {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|why| why.to_string())?;
        let value = HeaderValue::try_from(value).map_err(|why| why.to_string())?;
        // A field that is there already is another one.
        head.headers.insert(name, value);
    }
    Ok((is_tls, head))
}
