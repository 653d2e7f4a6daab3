//! `ssl_verify_client`: certificates of clients, and who is believed about them.
//!
//! As in nginx the handshake fails over none of them: what is wrong with a certificate is said in the answer to a request
//! (495, 496), and in `$ssl_client_verify`. That a client has the key of its certificate is part of the handshake.

use std::path::PathBuf;
use std::sync::Arc;

use switchover::tls::rustls::client::danger::HandshakeSignatureValid;
use switchover::tls::rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use switchover::tls::rustls::pki_types::pem::PemObject;
use switchover::tls::rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime,
};
use switchover::tls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use switchover::tls::rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationOptionsBuilder, VerifiedPath, anchor_from_trusted_cert,
};

use super::certificate::Certificate;
use super::location::Surroundings;
use super::scope::{At, Scope};
use super::tls::read_file;
use super::unverified::{is_signed_by, key_of_version_1};

/// `ssl_verify_client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    Off,
    On,
    Optional,
    /// A certificate of any issuer will do.
    OptionalWithoutAuthority,
}

impl Verify {
    pub(crate) fn read(text: &str) -> Result<Verify, String> {
        match text {
            "off" => Ok(Verify::Off),
            "on" => Ok(Verify::On),
            "optional" => Ok(Verify::Optional),
            "optional_no_ca" => Ok(Verify::OptionalWithoutAuthority),
            other => Err(format!(
                "{other:?} is neither on, off, optional nor optional_no_ca"
            )),
        }
    }
}

/// What was found of a client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has shown none.
    #[default]
    None,
    Success,
    /// Nobody that is believed has issued it.
    Unknown(String),
    Failed(String),
}

impl Verdict {
    /// `$ssl_client_verify`.
    pub(crate) fn shown(&self) -> String {
        match self {
            Verdict::None => "NONE".to_owned(),
            Verdict::Success => "SUCCESS".to_owned(),
            Verdict::Unknown(why) | Verdict::Failed(why) => format!("FAILED:{why}"),
        }
    }
}

/// What a server says of the authorities, which is what it has in common with another that says the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    roots: Option<PathBuf>,
    trusted: Option<PathBuf>,
    revoked: Option<PathBuf>,
    depth: usize,
}

/// Whose certificates are believed.
#[derive(Debug)]
pub(crate) struct Clients {
    said: Said,
    roots: Vec<CertificateDer<'static>>,
    /// Of those that are named, the ones that somebody else has issued. As in OpenSSL a way through them has to end at a root.
    between: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    /// `ssl_client_certificate`: whose certificates clients are asked for. Those of `ssl_trusted_certificate` are not named.
    hints: Vec<DistinguishedName>,
    /// None believes what no list revokes; with lists, each certificate has to be on the side of one.
    revoked: Option<Vec<CertRevocationList<'static>>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Clients {
    /// What a server says that speaks TLS with a certificate of its own; none where it asks for no certificates.
    pub(crate) fn read(scope: &Scope, around: &mut Surroundings<'_>) -> Option<Arc<Clients>> {
        let verify = scope
            .verify_client
            .as_ref()
            .filter(|said| said.value != Verify::Off)?;
        let is_without = verify.value == Verify::OptionalWithoutAuthority;
        if scope.client_roots.is_none() && scope.trusted_roots.is_none() && !is_without {
            around
                .findings
                .error(&verify.place, "ssl_verify_client needs ssl_client_certificate");
            return None;
        }
        let path = |file: &Option<At<String>>| file.as_ref().map(|file| around.folder.join(&file.value));
        let said = Said {
            roots: path(&scope.client_roots),
            trusted: path(&scope.trusted_roots),
            revoked: path(&scope.revoked),
            depth: scope.verify_depth.as_ref().map_or(1, |said| said.value),
        };
        let mut clients = Clients {
            said,
            roots: Vec::new(),
            between: Vec::new(),
            anchors: Vec::new(),
            hints: Vec::new(),
            revoked: None,
            algorithms: ring::default_provider().signature_verification_algorithms,
        };
        for (file, is_named) in [(&scope.client_roots, true), (&scope.trusted_roots, false)] {
            if let Some(file) = file {
                let pem = read_file(file, around.folder, around.findings)?;
                if let Err(why) = clients.add(&pem, is_named) {
                    around
                        .findings
                        .error(&file.place, format!("{}: {why}", file.value));
                }
            }
        }
        if clients.anchors.is_empty() && !is_without {
            let text = "ssl_verify_client: no authority is named that has issued its own certificate, so that nobody is believed, as in nginx: \
                        name the root as well";
            around.findings.hint(&verify.place, text);
        }
        if let Some(file) = &scope.revoked {
            let pem = read_file(file, around.folder, around.findings)?;
            match lists(&pem) {
                Ok(lists) => clients.revoked = Some(lists),
                Err(why) => around
                    .findings
                    .error(&file.place, format!("{}: {why}", file.value)),
            }
        }
        Some(Arc::new(clients))
    }

    fn add(&mut self, pem: &[u8], is_named: bool) -> Result<(), String> {
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|why| why.to_string())?;
            let anchor = anchor_from_trusted_cert(&certificate)
                .map_err(|why| why.to_string())?
                .to_owned();
            let name = DistinguishedName::in_sequence(anchor.subject.as_ref());
            let is_known = self.hints.iter().any(|known| known.as_ref() == name.as_ref());
            if is_named && !is_known {
                self.hints.push(name);
            }
            count += 1;
            match Certificate::read(&certificate).is_some_and(|read| read.is_of_itself()) {
                true => {
                    self.anchors.push(anchor);
                    self.roots.push(certificate);
                }
                false => self.between.push(certificate),
            }
        }
        match count > 0 {
            true => Ok(()),
            false => Err("there is no certificate in it".to_owned()),
        }
    }

    /// Whether another server believes the same authorities.
    pub(crate) fn believe_as(&self, other: &Clients) -> bool {
        self.said == other.said
    }

    /// What there is to say of the certificates that a client has shown.
    pub(crate) fn judge(&self, shown: Option<&[CertificateDer<'_>]>, now: UnixTime) -> Verdict {
        let Some([own, between @ ..]) = shown else {
            return Verdict::None;
        };
        match self.verified(own, between, now) {
            Ok(()) => match Certificate::read(own).is_some_and(|read| read.is_for_clients()) {
                true => Verdict::Success,
                false => Verdict::Failed("unsupported certificate purpose".to_owned()),
            },
            // One of an old version, or one that is marked as an authority.
            Err(webpki::Error::UnsupportedCertVersion | webpki::Error::CaUsedAsEndEntity)
                if self.revoked.is_none() =>
            {
                self.judge_direct(own, now)
            }
            Err(webpki::Error::UnknownIssuer) => Verdict::Unknown(match Certificate::read(own) {
                Some(read) if read.is_of_itself() => "self-signed certificate".to_owned(),
                _ => "unable to verify the first certificate".to_owned(),
            }),
            Err(why) => Verdict::Failed(reason(&why)),
        }
    }

    /// By one of the authorities itself, or being one of them.
    fn judge_direct(&self, own: &CertificateDer<'_>, now: UnixTime) -> Verdict {
        let Some(read) = Certificate::read(own) else {
            return Verdict::Failed("certificate cannot be read".to_owned());
        };
        let issuers = self.roots.iter().filter_map(|root| Certificate::read(root));
        let mut wrong = issuers
            .filter(|root| read.is_issued_by(root))
            .map(|root| root.out_of_time_at(now))
            .peekable();
        if wrong.peek().is_none() {
            return Verdict::Unknown(match read.is_of_itself() {
                true => "self-signed certificate".to_owned(),
                false => "unable to verify the first certificate".to_owned(),
            });
        }
        let of_root = wrong.reduce(|one, other| one.and(other)).flatten();
        match read.wrong_at(now).or(of_root) {
            Some(why) => Verdict::Failed(why.to_owned()),
            None => Verdict::Success,
        }
    }

    fn verified(
        &self,
        own: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let own = EndEntityCert::try_from(own)?;
        let lists: Vec<&CertRevocationList<'_>> = self.revoked.iter().flatten().collect();
        let revocation = match &self.revoked {
            None => None,
            Some(_) => {
                let builder = RevocationOptionsBuilder::new(&lists);
                let builder = builder.map_err(|_| webpki::Error::UnknownRevocationStatus)?;
                Some(builder.with_expiration_policy(ExpirationPolicy::Enforce).build())
            }
        };
        let most = self.said.depth;
        // An anchor has no dates for webpki. OpenSSL looks at all certificates of a path.
        let is_in_time = |anchor: &TrustAnchor<'_>| {
            let mut roots = self
                .anchors
                .iter()
                .zip(&self.roots)
                .filter(|(known, _)| *known == anchor);
            roots.any(|(_, root)| {
                Certificate::read(root).is_some_and(|root| root.out_of_time_at(now).is_none())
            })
        };
        let is_fit = |path: &VerifiedPath<'_>| {
            if path.intermediate_certificates().count() > most {
                return Err(webpki::Error::MaximumPathDepthExceeded);
            }
            match is_in_time(path.anchor()) {
                true => Ok(()),
                false => Err(webpki::Error::CertExpired {
                    time: now,
                    not_after: now,
                }),
            }
        };
        let usage = KeyUsage::client_auth();
        let between: Vec<CertificateDer<'_>> = between.iter().chain(&self.between).cloned().collect();
        own.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            &between,
            now,
            usage,
            revocation,
            Some(&is_fit),
        )
        .map(drop)
    }
}

/// Lists of revoked certificates; at least one.
fn lists(pem: &[u8]) -> Result<Vec<CertRevocationList<'static>>, String> {
    let mut lists = Vec::new();
    for list in CertificateRevocationListDer::pem_slice_iter(pem) {
        let list = list.map_err(|why| why.to_string())?;
        let list = OwnedCertRevocationList::from_der(&list).map_err(|why| why.to_string())?;
        lists.push(CertRevocationList::from(list));
    }
    match lists.is_empty() {
        true => Err("there is no list in it".to_owned()),
        false => Ok(lists),
    }
}

/// As OpenSSL has it, where it has a word for it.
fn reason(why: &webpki::Error) -> String {
    use webpki::Error::*;
    let known = match why {
        CertExpired { .. } => "certificate has expired",
        CertNotValidYet { .. } => "certificate is not yet valid",
        CertRevoked => "certificate revoked",
        UnknownRevocationStatus => "unable to get certificate CRL",
        CrlExpired { .. } => "CRL has expired",
        MaximumPathDepthExceeded => "certificate chain too long",
        RequiredEkuNotFoundContext(_) => "unsupported certificate purpose",
        InvalidSignatureForPublicKey => "certificate signature failure",
        _ => return why.to_string(),
    };
    known.to_owned()
}

impl ClientCertVerifier for Clients {
    /// A client without a certificate is answered, not refused.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    /// What there is to say of it is said later.
    fn verify_client_cert(
        &self,
        _own: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match key_of_version_1(certificate) {
            None => verify_tls12_signature(message, certificate, signed, &self.algorithms),
            Some(key) => is_signed_by(&key, message, signed, &self.algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match key_of_version_1(certificate) {
            None => verify_tls13_signature(message, certificate, signed, &self.algorithms),
            Some(key) => verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
