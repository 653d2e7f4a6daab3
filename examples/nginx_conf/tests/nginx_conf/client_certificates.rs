//! `ssl_verify_client`: what each server wants of its clients, and what it says of the certificates that they show; and
//! `ssl_protocols`, by which some clients are not served at all.

use std::net::SocketAddr;
use std::sync::Arc;
use support::bounded::within;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::certificates::{Authority, Identity, NOW, VERSIONS};
use crate::named::kinds;
use crate::over_tls::{OLD_CERTIFICATE, OLD_KEY};
use crate::program::{Folder, Program};

/// Each server by its name, with what it says of clients. All have the same certificate but the last, which has none of its own.
const SERVERS: [(&str, &str); 15] = [
    ("default.example", "ssl_verify_client on; ssl_client_certificate known.pem;"),
    ("off.example", "ssl_client_certificate known.pem;"),
    ("optional.example", "ssl_verify_client optional; ssl_client_certificate known.pem;"),
    ("any.example", "ssl_verify_client optional_no_ca; ssl_client_certificate known.pem;"),
    ("other.example", "ssl_verify_client on; ssl_client_certificate other.pem;"),
    (
        "trusted.example",
        "ssl_verify_client optional; ssl_client_certificate known.pem; ssl_trusted_certificate other.pem;",
    ),
    (
        "revoked.example",
        "ssl_verify_client on; ssl_client_certificate known.pem; ssl_crl revoked.pem;",
    ),
    ("itself.example", "ssl_verify_client on; ssl_client_certificate itself.chain.pem;"),
    (
        "paged.example",
        "ssl_verify_client on; ssl_client_certificate known.pem; error_page 495 /bad; error_page 496 =418 /none;
         location = /bad { return 200 bad; } location = /none { return 200 none; }",
    ),
    ("below.example", "ssl_verify_client on; ssl_client_certificate below.pem;"),
    ("both.example", "ssl_verify_client on; ssl_verify_depth 2; ssl_client_certificate both.pem;"),
    ("bare.example", "ssl_verify_client optional;"),
    ("past.example", "ssl_verify_client on; ssl_client_certificate past.pem;"),
    ("old.example", "ssl_verify_client on; ssl_client_certificate old.pem;"),
    ("any-past.example", "ssl_verify_client optional_no_ca; ssl_client_certificate past.pem;"),
];

const SHOWN: &str = "$ssl_client_verify $ssl_client_s_dn/$ssl_client_i_dn $ssl_client_s_dn_legacy $ssl_client_i_dn_legacy \
                     $ssl_client_serial $ssl_client_fingerprint $ssl_client_v_start $ssl_client_v_end \
                     $ssl_client_v_remain $ssl_client_escaped_cert";

/// Status and body of the answer under a name, to a request for a host.
async fn answer(program: &Program, connector: &TlsConnector, name: &'static str, host: &str) -> String {
    let name = ServerName::try_from(name).unwrap();
    let stream = TcpStream::connect(program.address).await.unwrap();
    let mut stream = connector.connect(name, stream).await.expect("a handshake");
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // Some end without the last words of TLS.
    let _ = within("the end", stream.read_to_string(&mut answer)).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.get(9..12).unwrap_or("-");
    match status {
        "200" | "418" => format!("{status} {body}"),
        status => status.to_owned(),
    }
}

/// A client that does not look at its own certificate, which is of version 1.
fn shows_old() -> Arc<SingleCertAndKey> {
    let certificate = CertificateDer::from_pem_slice(OLD_CERTIFICATE.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(OLD_KEY.as_bytes()).unwrap();
    let key = any_supported_type(&key).unwrap();
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key)))
}

struct Case {
    name: &'static str,
    host: &'static str,
    shown: Option<&'static str>,
    begins: &'static str,
}

const fn case(name: &'static str, shown: Option<&'static str>, begins: &'static str) -> Case {
    Case {
        name,
        host: name,
        shown,
        begins,
    }
}

const fn for_host(
    name: &'static str,
    host: &'static str,
    shown: Option<&'static str>,
    begins: &'static str,
) -> Case {
    Case {
        name,
        host,
        shown,
        begins,
    }
}

const CASES: [Case; 54] = [
    case("default.example", None, "400"),
    case("default.example", Some("known"), "200 SUCCESS CN="),
    case("default.example", Some("other"), "400"),
    case("default.example", Some("expired"), "400"),
    case("default.example", Some("itself"), "400"),
    case("off.example", None, "200 NONE "),
    case("off.example", Some("known"), "200 NONE "),
    case("optional.example", None, "200 NONE "),
    case("optional.example", Some("known"), "200 SUCCESS CN="),
    case("optional.example", Some("other"), "400"),
    case("optional.example", Some("expired"), "400"),
    case("optional.example", Some("itself"), "400"),
    case("any.example", None, "200 NONE "),
    case("any.example", Some("known"), "200 SUCCESS CN="),
    case(
        "any.example",
        Some("other"),
        "200 FAILED:unable to verify the first certificate CN=",
    ),
    case(
        "any.example",
        Some("itself"),
        "200 FAILED:self-signed certificate CN=",
    ),
    case("any.example", Some("expired"), "400"),
    case("other.example", Some("known"), "400"),
    case("other.example", Some("other"), "200 SUCCESS CN="),
    case("other.example", None, "400"),
    case("trusted.example", Some("other"), "200 SUCCESS CN="),
    case("trusted.example", Some("known"), "200 SUCCESS CN="),
    case("trusted.example", Some("itself"), "400"),
    case("revoked.example", Some("known"), "200 SUCCESS CN="),
    case("revoked.example", Some("revoked"), "400"),
    case("revoked.example", Some("other"), "400"),
    case("default.example", Some("revoked"), "200 SUCCESS CN="),
    case("itself.example", Some("itself"), "200 SUCCESS CN="),
    case("itself.example", Some("known"), "400"),
    // An authority alone that another one has issued; and beside that one.
    case("below.example", Some("below"), "400"),
    case("below.example", Some("known"), "400"),
    case("both.example", Some("below"), "200 SUCCESS CN="),
    case("both.example", Some("known"), "200 SUCCESS CN="),
    case("default.example", Some("below"), "400"),
    // An authority whose own time is over.
    case("past.example", Some("of past"), "400"),
    case("any-past.example", Some("of past"), "400"),
    case("any-past.example", None, "200 NONE "),
    // Of version 1, which signs the handshake as any other.
    case("old.example", Some("old"), "200 SUCCESS CN="),
    case(
        "any.example",
        Some("old"),
        "200 FAILED:self-signed certificate CN=",
    ),
    case("default.example", Some("old"), "400"),
    // A key that signs nothing.
    case("default.example", Some("encryption"), "400"),
    case("any.example", Some("encryption"), "400"),
    case("paged.example", Some("other"), "400"),
    case("paged.example", None, "418 none"),
    // By what the default says: it wants one, and this server takes what comes of it.
    case("bare.example", None, "200 NONE "),
    case("bare.example", Some("known"), "200 SUCCESS CN="),
    case("bare.example", Some("other"), "400"),
    case("unknown.example", Some("known"), "200 SUCCESS CN="),
    case("unknown.example", None, "400"),
    // The handshake was about another server.
    for_host("optional.example", "other.example", Some("known"), "421"),
    for_host("off.example", "default.example", None, "421"),
    for_host("default.example", "optional.example", Some("known"), "421"),
    for_host("default.example", "off.example", Some("known"), "200 SUCCESS CN="),
    for_host("off.example", "off.example:443", None, "200 NONE "),
];

#[tokio::test]
async fn certificates_that_clients_show_or_do_not() {
    let (authority, other) = (Authority::new(), Authority::named("o,t+h \"er\" \u{e9}"));
    let below = authority.below("below");
    let past = Authority::of("past", 2010..2011);
    let both = format!("{}{}", authority.pem, below.pem);
    let (revoked, list) = authority.issue_revoked(&["client.example"]);
    let old = Identity {
        chain: OLD_CERTIFICATE.to_owned(),
        key: OLD_KEY.to_owned(),
    };
    let identities = [
        ("known", authority.issue(&["client.example"], NOW)),
        ("other", other.issue(&["client.example"], NOW)),
        ("expired", authority.issue(&["client.example"], 2010..2011)),
        ("itself", Authority::by_itself(&["client.example"], NOW, true)),
        ("revoked", revoked),
        ("below", below.issue(&["client.example"], NOW)),
        ("of past", past.issue(&["client.example"], NOW)),
        ("old", old),
        ("encryption", authority.issue_for_encryption(&["client.example"])),
    ];
    let identity =
        |name: &str| -> &Identity { &identities.iter().find(|(known, _)| *known == name).unwrap().1 };
    let servers: String = SERVERS
        .iter()
        .map(|(name, said)| {
            let own = match *name {
                "bare.example" => "",
                _ => "ssl_certificate all.chain.pem; ssl_certificate_key all.key.pem;",
            };
            format!("server {{ listen LISTEN ssl; server_name {name}; {own} {said} location / {{ return 200 \"{SHOWN}\"; }} }}\n")
        })
        .collect();
    let text = format!(
        "events {{}}\nhttp {{ include FOLDER/folders.conf; access_log off; ssl_protocols TLSv1.2 TLSv1.3;\n{servers} }}\n"
    );
    let names: Vec<&str> = SERVERS
        .iter()
        .map(|(name, _)| *name)
        .chain(["unknown.example"])
        .collect();
    let server = authority.issue(&names, NOW);
    let mut given: Vec<Vec<String>> = Vec::new();
    for kind in kinds() {
        let folder = Folder::of(SocketAddr::from(([127, 0, 0, 1], 9)), &text);
        server.write(&folder.path, "all");
        identity("itself").write(&folder.path, "itself");
        for (name, pem) in [
            ("known", &authority.pem),
            ("other", &other.pem),
            ("revoked", &list),
            ("below", &below.pem),
            ("past", &past.pem),
            ("both", &both),
            ("old", &OLD_CERTIFICATE.to_owned()),
        ] {
            std::fs::write(folder.path.join(format!("{name}.pem")), pem).unwrap();
        }
        let program = folder.start(kind, "test.conf", &[]);
        let mut answers = Vec::new();
        for version in VERSIONS {
            for case in &CASES {
                let shown = case.shown.map(identity);
                let mut config = authority.client(&[version], shown.filter(|_| case.shown != Some("old")));
                if case.shown == Some("old") {
                    config.client_auth_cert_resolver = shows_old();
                }
                let connector = TlsConnector::from(Arc::new(config));
                let answer = answer(&program, &connector, case.name, case.host).await;
                let said = format!(
                    "{kind:?} {version:?} {} for {} with {:?}",
                    case.name, case.host, case.shown
                );
                assert!(answer.starts_with(case.begins), "{said}: {answer}");
                answers.push(answer);
            }
        }
        given.push(answers);
    }
    if let [ours, nginx] = &given[..] {
        for (ours, nginx) in ours.iter().zip(nginx) {
            assert_eq!(ours, nginx);
        }
    }
}

#[tokio::test]
async fn versions_of_tls_are_those_of_the_default_server() {
    let authority = Authority::new();
    let server = authority.issue(&["first.example", "second.example"], NOW);
    // What the default server says, what the other one says, and which of TLS 1.2 and 1.3 are spoken then.
    for (first, second, spoken) in [
        ("TLSv1.3", "TLSv1.2 TLSv1.3", [false, true]),
        ("TLSv1.3", "TLSv1.2", [false, true]),
        ("TLSv1 TLSv1.1 TLSv1.2", "TLSv1.3", [true, false]),
        ("TLSv1.2 TLSv1.3", "TLSv1.3", [true, true]),
        // A line that certbot includes beside one that is there.
        ("TLSv1.2; ssl_protocols TLSv1.3", "TLSv1.3", [true, true]),
        ("TLSv1.3; ssl_protocols TLSv1.3", "TLSv1.2", [false, true]),
    ] {
        let one = |name: &str, versions: &str| {
            format!(
                "server {{ listen LISTEN ssl; server_name {name}; ssl_protocols {versions}; return 200 hi; }}\n"
            )
        };
        let text = format!(
            "events {{}}\nhttp {{ include FOLDER/folders.conf; access_log off; ssl_certificate all.chain.pem; \
             ssl_certificate_key all.key.pem;\n{}{} }}\n",
            one("first.example", first),
            one("second.example", second),
        );
        for kind in kinds() {
            let folder = Folder::of(SocketAddr::from(([127, 0, 0, 1], 9)), &text);
            server.write(&folder.path, "all");
            let program = folder.start(kind, "test.conf", &[]);
            for name in ["first.example", "second.example"] {
                for (version, is_spoken) in VERSIONS.into_iter().zip(spoken) {
                    let connector = TlsConnector::from(Arc::new(authority.client(&[version], None)));
                    let stream = TcpStream::connect(program.address).await.unwrap();
                    let shaken = connector
                        .connect(ServerName::try_from(name).unwrap(), stream)
                        .await;
                    let said = format!("{kind:?} {first} and {second}: {version:?} to {name}: {shaken:?}");
                    assert_eq!(shaken.is_ok(), is_spoken, "{said}");
                }
            }
        }
    }
}
