//! Which tap an upgrade gets, and what that means for the extensions that are offered and agreed on.
//!
//! Knows heads. It must not know messages.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;

use super::UpgradeConfig;
use crate::handshake::{Switched, UpgradeRequest};
use crate::header::Hop;
use crate::http1::RequestHead;
use crate::tunnel::{Compression, Tap};

type Choose = dyn Fn(&Parts, Hop) -> Option<Tap> + Send + Sync;

/// Makes the tap of one upgrade.
#[derive(Clone)]
pub(super) struct Taps(Arc<Choose>);

impl Taps {
    pub(super) fn new(make: impl Fn(&Parts, Hop) -> Option<Tap> + Send + Sync + 'static) -> Self {
        Taps(Arc::new(make))
    }
}

impl fmt::Debug for Taps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taps")
    }
}

impl UpgradeConfig {
    /// The tap of this upgrade, before step (4): the request then offers the extensions that the tap can do with.
    pub(crate) fn tap_of(
        &self,
        upgrade: &mut UpgradeRequest,
        head: &mut RequestHead,
        hop: Hop,
    ) -> Option<Tap> {
        let Taps(make) = self.taps.as_ref()?;
        let tap = make(head.parts(), hop)?;
        match tap.compression_mode() {
            Compression::Strip => upgrade.offer_extensions(head.fields_mut(), |_| false),
            #[cfg(feature = "deflate")]
            Compression::Inflate => {
                let is_deflate = |name: &[u8]| name.eq_ignore_ascii_case(b"permessage-deflate");
                upgrade.offer_extensions(head.fields_mut(), is_deflate);
            }
            Compression::Opaque => {}
        }
        Some(tap)
    }

    /// The same tap, when the origin has agreed: it is of use where frames are known.
    pub(crate) fn agreed(&self, tap: Option<Tap>, switched: &Switched) -> Option<Tap> {
        let tap = tap.filter(|_| switched.protocol().is_websocket())?;
        Some(match tap.compression_mode() {
            #[cfg(feature = "deflate")]
            Compression::Inflate => tap.deflate(switched.deflate()),
            _ => tap,
        })
    }
}
