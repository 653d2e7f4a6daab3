//! What is judged of a request before its phases: whether its client has shown the certificate that the server wants, whether
//! nginx would read its method and its path at all.

use http::{Method, StatusCode};
use switchover::route::path_as_nginx;

use super::client_certificates::{Verdict, Verify};
use super::request::Request;
use super::uri;

/// nginx's own statuses: the client's certificate is not to be believed, or there is none. Clients are answered 400.
const BAD_CERTIFICATE: u16 = 495;
const NO_CERTIFICATE: u16 = 496;

impl Request {
    /// `ssl_verify_client`: what a request is answered whose client has not shown the certificate that its server wants.
    pub(crate) fn kept_out_by_certificate(&self) -> Option<StatusCode> {
        let tls = self.facts.tls.as_ref().filter(|_| !self.is_sub)?;
        let (server, verify) = (&self.server, self.server.verify);
        if verify == Verify::Off {
            return None;
        }
        // The handshake was about one server, and the request is for another: what was verified is not what this one wants.
        let is_other_name =
            !tls.server_name.is_empty() && self.host_name().as_deref() != Some(&*tls.server_name);
        let believes_others = match (&server.clients, &tls.clients) {
            (Some(own), Some(of_handshake)) => !own.believe_as(of_handshake),
            _ => false,
        };
        let is_proof = tls.verdict != Verdict::None;
        if is_other_name || believes_others && is_proof {
            return Some(StatusCode::MISDIRECTED_REQUEST);
        }
        let kept_out = match (&tls.verdict, verify) {
            (Verdict::None, Verify::On) => NO_CERTIFICATE,
            (Verdict::Failed(_), _) => BAD_CERTIFICATE,
            (Verdict::Unknown(_), Verify::On | Verify::Optional) => BAD_CERTIFICATE,
            _ => return None,
        };
        StatusCode::from_u16(kept_out).ok()
    }

    /// `$uri`, of the target. nginx takes no path that it cannot decode, whatever it is for.
    pub(crate) fn read_uri(&self) -> Result<(), StatusCode> {
        if self.is_sub {
            return Ok(());
        }
        if !is_method(self.head.method.as_str()) {
            return Err(StatusCode::BAD_REQUEST);
        }
        // As in nginx, whatever the configuration says: the one is for proxies of another kind, the other shows what was sent.
        if self.head.method == Method::CONNECT {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        let path = self.head.uri.path();
        let uri = match path {
            // OPTIONS for the server as a whole has no path to go by: nginx takes none.
            "*" => return Err(StatusCode::BAD_REQUEST),
            path => path_as_nginx(path).map_err(|_| StatusCode::BAD_REQUEST)?,
        };
        let uri = String::from_utf8_lossy(&uri).into_owned();
        let merged = match self.merges_slashes() {
            true => uri,
            false => uri::without_merging(path, uri),
        };
        self.state.lock().uri = merged;
        match self.head.method {
            Method::TRACE => Err(StatusCode::METHOD_NOT_ALLOWED),
            _ => Ok(()),
        }
    }

    /// Of the server that the handshake was about, else of the default one: the name in the request comes behind its path.
    fn merges_slashes(&self) -> bool {
        let listener = self.worker.listener(self.listener);
        let tls = self.facts.tls.as_ref();
        match tls.filter(|tls| !tls.server_name.is_empty()) {
            Some(tls) => listener.server(Some(&tls.server_name)).0.merges_slashes,
            None => listener.merges_slashes,
        }
    }
}

/// Of what nginx takes methods to consist. A guard that compares `$request_method` would not know `post`.
fn is_method(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'))
}
