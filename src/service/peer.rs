//! Where a server puts the address of the peer: among the extensions of a request, as a value of one of a few types.
//!
//! That nobody has put it anywhere is distinguished from a peer that has no address.

use std::net::SocketAddr;

#[cfg(feature = "axum")]
use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};
use http::Extensions;
use http::request::Parts;
#[cfg(feature = "axum")]
use http::{HeaderValue, Version, header::HOST};

use crate::header::Hop;

/// The hop of a request, if the server says anything of it.
pub(super) fn hop(extensions: &Extensions) -> Option<Hop> {
    let hop = extensions.get::<Hop>().copied();
    #[cfg(feature = "axum")]
    let hop = hop.or_else(|| extensions.get::<ConnectInfo<Hop>>().map(|info| info.0));
    hop.or_else(|| address(extensions).map(Hop::from))
        .or_else(|| is_unix(extensions).then(Hop::unknown))
}

fn address(extensions: &Extensions) -> Option<SocketAddr> {
    let plain = extensions.get::<SocketAddr>().copied();
    #[cfg(feature = "axum")]
    let plain = plain
        .or_else(|| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0))
        .or_else(|| extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0));
    plain
}

/// Gives a request of a test a `Host`, as a client would have: one whose peer is known by axum's `MockConnectInfo` alone, which is
/// for tests. From a client it would be refused.
#[cfg(feature = "axum")]
pub(super) fn name_host_in_test(parts: &mut Parts) {
    let extensions = &parts.extensions;
    let is_mocked = extensions.get::<MockConnectInfo<SocketAddr>>().is_some()
        && extensions.get::<Hop>().is_none()
        && extensions.get::<ConnectInfo<Hop>>().is_none()
        && extensions.get::<SocketAddr>().is_none()
        && extensions.get::<ConnectInfo<SocketAddr>>().is_none()
        && !is_unix(extensions);
    if !is_mocked || parts.headers.contains_key(HOST) || parts.version != Version::HTTP_11 {
        return;
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    if let Ok(host) = HeaderValue::from_str(authority.unwrap_or("localhost")) {
        parts.headers.insert(HOST, host);
    }
}

#[cfg(not(feature = "axum"))]
pub(super) fn name_host_in_test(_: &mut Parts) {}

/// Whether the peer is one of a Unix socket, which has no address that an origin could use.
#[cfg(unix)]
fn is_unix(extensions: &Extensions) -> bool {
    use std::os::unix::net::SocketAddr as StdAddress;
    use tokio::net::unix::SocketAddr as TokioAddress;

    let plain = extensions.get::<TokioAddress>().is_some() || extensions.get::<StdAddress>().is_some();
    #[cfg(feature = "axum")]
    let plain = plain
        || extensions.get::<ConnectInfo<TokioAddress>>().is_some()
        || extensions.get::<ConnectInfo<StdAddress>>().is_some();
    plain
}

#[cfg(not(unix))]
fn is_unix(_: &Extensions) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop_with<T: Clone + Send + Sync + 'static>(value: T) -> Option<Hop> {
        let mut extensions = Extensions::new();
        extensions.insert(value);
        hop(&extensions)
    }

    #[test]
    fn where_servers_put_it() {
        let address: SocketAddr = "192.0.2.7:4711".parse().unwrap();
        let found = Some(Hop::from(address));
        assert_eq!(hop_with(address), found);
        assert_eq!(
            hop_with(Hop::from(address).tls(true)),
            Some(Hop::from(address).tls(true))
        );
        #[cfg(feature = "axum")]
        {
            assert_eq!(hop_with(ConnectInfo(address)), found);
            assert_eq!(hop_with(MockConnectInfo(address)), found);
            assert_eq!(hop_with(ConnectInfo(Hop::from(address))), found);
        }
        assert_eq!(hop_with("192.0.2.7:4711"), None);
        assert_eq!(hop(&Extensions::new()), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_peer_of_a_unix_socket_has_none() {
        let unnamed = std::os::unix::net::SocketAddr::from_pathname("/run/a.sock").unwrap();
        assert_eq!(hop_with(unnamed.clone()), Some(Hop::unknown()));
        assert_eq!(
            hop_with(tokio::net::unix::SocketAddr::from(unnamed.clone())),
            Some(Hop::unknown())
        );
        #[cfg(feature = "axum")]
        assert_eq!(hop_with(ConnectInfo(unnamed)), Some(Hop::unknown()));
    }

    #[test]
    fn the_hop_says_more_than_an_address() {
        let mut extensions = Extensions::new();
        let address: SocketAddr = "192.0.2.7:4711".parse().unwrap();
        extensions.insert(address);
        extensions.insert(Hop::from(address).tls(true));
        assert_eq!(hop(&extensions).unwrap().scheme(), "https");
    }
}
