//! `proxy_ssl_*`: how upstreams are spoken to over TLS.

use std::path::Path;

use switchover::tls::TlsClientConfig;

use super::findings::{Findings, Place};
use super::location::Surroundings;
use super::proxy_pass::Target;
use super::scope::{At, Scope};
use super::unverified;

/// How the servers of a location are spoken to.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamTls {
    pub(crate) config: TlsClientConfig,
    /// `proxy_ssl_name`, where it is a name.
    name: Option<String>,
}

impl UpstreamTls {
    /// The name that certificates have to be for: what `proxy_pass` names, where nothing else is said. As in nginx, a port is no
    /// part of it.
    pub(crate) fn name_for(&self, target: &Target) -> String {
        let name = self.name.as_ref().unwrap_or(&target.host);
        match name.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
            _ => name.clone(),
        }
    }
}

/// How TLS is spoken to the servers of a location. Their certificates are verified unless `proxy_ssl_verify off` says otherwise;
/// nginx does that only if it is configured to.
pub(crate) fn upstream(
    place: &Place,
    scope: &Scope,
    has_variables: bool,
    around: &mut Surroundings<'_>,
) -> Option<UpstreamTls> {
    let is_verified = match &scope.upstream_verified {
        Some(said) => said.value,
        None => !around.limits.nginx_tls,
    };
    let findings = &mut *around.findings;
    match &scope.upstream_verified {
        Some(At { value: true, .. }) => {}
        Some(off) => {
            let text = "an attacker in between takes the upstream's place: the certificate is not verified. Write proxy_ssl_verify \
                        on; and proxy_ssl_trusted_certificate, with the upstream's own certificate if nothing else has signed it";
            findings.hint(&off.place, text);
        }
        None if around.limits.nginx_tls => {}
        None if has_variables => {}
        None => {
            let text = "certificates are verified here; nginx does that only by proxy_ssl_verify on, and by \
                        proxy_ssl_trusted_certificate. For an upstream whose certificate nobody knows write proxy_ssl_verify off;";
            findings.hint(place, text);
        }
    }
    let folder = around.folder;
    let mut read = |file: &At<String>| read_file(file, folder, findings);
    let identity = match (&scope.upstream_certificate, &scope.upstream_certificate_key) {
        (Some(chain), Some(key)) => Some((read(chain)?, read(key)?)),
        _ => None,
    };
    let config = if is_verified {
        let mut builder = TlsClientConfig::builder();
        if let Some(roots) = &scope.upstream_roots {
            builder = builder.only_roots(read(roots)?);
        }
        if let Some((chain, key)) = identity {
            builder = builder.client_certificate(chain, key);
        }
        // Where nginx verifies, it has a limit of its own.
        let limit = scope.upstream_depth.as_ref().map(|said| said.value);
        let limit = limit.or(scope.upstream_verified.as_ref().map(|_| 1));
        builder
            .max_intermediates(limit)
            .build()
            .map_err(|why| why.to_string())
    } else {
        unverified::config(identity)
    };
    let name = match &scope.upstream_name {
        Some(said) if !said.value.contains('$') => Some(said.value.clone()),
        Some(said) if !matches!(&*said.value, "$proxy_host" | "${proxy_host}") => {
            let text = "proxy_ssl_name with variables is not carried out: certificates have to be for the host in proxy_pass";
            findings.warning(&said.place, text);
            None
        }
        _ => None,
    };
    match config {
        Ok(config) => Some(UpstreamTls { config, name }),
        Err(why) => {
            findings.error(place, format!("proxy_pass to https: {why}"));
            None
        }
    }
}

pub(crate) fn read_file(file: &At<String>, prefix: &Path, findings: &mut Findings) -> Option<Vec<u8>> {
    let path = prefix.join(&file.value);
    match std::fs::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(why) => {
            findings.error(&file.place, format!("{}: {why}", path.display()));
            None
        }
    }
}
