//! The list of all findings, each under a stable name: how bad it is, what it means, what to change, and the RFC.

use std::fmt;

use super::Severity;
use crate::handshake::Rejection;

/// One entry for each diagnosis, so that its name, its meaning and its remedy stand together.
macro_rules! registry {
    ($($variant:ident $name:literal $severity:ident $reference:literal $sentence:literal => $change:expr;)*) => {
        /// What can be wrong with an upgrade. The [name](Diagnosis::name) of each is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Diagnosis {
            $(#[doc = concat!("`", $name, "`: ", $sentence, ".")] $variant,)*
        }

        impl Diagnosis {
            /// All of them.
            pub const ALL: &'static [Diagnosis] = &[$(Diagnosis::$variant),*];

            /// The name, in lower case with hyphens. It does not change from version to version.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Diagnosis::$variant => $name,)*
                }
            }

            /// How bad it is.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Diagnosis::$variant => Severity::$severity,)*
                }
            }

            /// What is wrong, without a full stop.
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Diagnosis::$variant => $sentence,)*
                }
            }

            /// What to change, in one or two sentences.
            pub fn change(self) -> &'static str {
                match self {
                    $(Diagnosis::$variant => $change,)*
                }
            }

            /// Where that is written: the section of an RFC.
            pub const fn reference(self) -> &'static str {
                match self {
                    $(Diagnosis::$variant => $reference,)*
                }
            }
        }
    };
}

registry! {
    // Before there is a connection.
    NameNotResolved "name-not-resolved" Error "RFC 9110, section 4.3.2"
        "the host's name has no address" =>
        "Correct the name, or give it an address in the DNS that this machine asks.";
    ConnectionRefused "connection-refused" Error "RFC 9293, section 3.10.7"
        "nobody listens on this port" =>
        "Start the server, or correct the port; a server in a container listens on 0.0.0.0, not on 127.0.0.1.";
    ConnectionTimedOut "connection-timed-out" Error "RFC 9293, section 3.8.3"
        "nobody answers at this address: packets are dropped, as firewalls do" =>
        "Open the port in every firewall and security group on the way, or correct the address.";
    HostUnreachable "host-unreachable" Error "RFC 1122, section 3.2.2.1"
        "there is no way to this address" =>
        "Correct the address, or the routes of this machine.";
    // TLS.
    TlsToPlainPort "tls-to-plain-port" Error "RFC 8446, section 5.1"
        "TLS was spoken to a port that speaks plain HTTP" =>
        "Use ws:// or http:// for this port, or the TLS port of the same server, or give its listener a certificate.";
    PlainToTlsPort "plain-to-tls-port" Error "RFC 8446, section 5.1"
        "plain HTTP was spoken to a port that speaks TLS" =>
        "Use wss:// or https:// for this port. If it is a proxy's upstream, the proxy has to speak TLS to it.";
    AlpnWithoutHttp11 "alpn-without-http11" Error "RFC 7301, section 3.2"
        "the front agrees to no HTTP/1.1 by ALPN, in which an upgrade is made" =>
        "Let the front offer http/1.1 beside h2; a front of HTTP/2 alone has to speak RFC 8441.";
    CertificateNotTrusted "certificate-not-trusted" Error "RFC 9110, section 4.3.4"
        "the certificate is not acceptable" =>
        "Give the listener a certificate for this name, issued by an authority that clients know.";
    ClientCertificateRequired "client-certificate-required" Error "RFC 8446, section 4.3.2"
        "the server demands a client certificate, or does not accept the one that it was given" =>
        "Browsers open a WebSocket with a client certificate only if they have one already: do not demand it on this port.";
    TlsFailed "tls-failed" Error "RFC 8446, section 6.2"
        "the TLS handshake has failed" =>
        "Look into the log of the server that has the certificate.";
    TlsTimedOut "tls-timed-out" Error "RFC 8446, section 4"
        "the TCP connection stands, and the TLS handshake did not complete in time" =>
        "Check that the port speaks TLS, and that nothing on the way holds TLS back: a TCP proxy without a server behind it, \
         or a firewall that inspects TLS.";
    // The request is out, and no response head is in.
    NoAnswer "no-answer" Error "RFC 9110, section 15.6.5"
        "the connection stands, and no answer came in time" =>
        "Find the one that waits: a WebSocket server behind a proxy that lost Upgrade, which waits for one; a server that is \
         stuck; a port that speaks another protocol; or a firewall that drops what it does not know.";
    AnswerIncomplete "answer-incomplete" Error "RFC 9112, section 8"
        "an answer has begun, and its head did not complete in time" =>
        "Look into the log of the server: it is stuck in the middle of its answer, or sends it a few bytes at a time.";
    InterimWithoutEnd "interim-without-end" Error "RFC 9110, section 15.2"
        "interim responses (1xx) came, and no final one" =>
        "Look into the server, or the hop in front of it, that sends them: a request has one final answer.";
    ClosedUnanswered "closed-unanswered" Error "RFC 9112, section 9.6"
        "the connection was closed instead of an answer" =>
        "Look into the log of the next hop. A proxy in TCP mode does so if no server behind it is up; a TLS port does so with \
         plain HTTP, and a port that speaks HTTP/2 alone with HTTP/1.1.";
    ResetUnanswered "reset-unanswered" Error "RFC 9293, section 3.5.2"
        "the connection was reset instead of an answer, as firewalls and content inspection do" =>
        "Try the same with TLS (wss://), which inspection cannot read; on a network of your own let WebSocket through, or \
         forward the port on layer 4.";
    NotHttp "not-http" Error "RFC 9112, section 2.2"
        "the answer is not HTTP/1.1" =>
        "Correct the port: another protocol is spoken there.";
    BareLineFeed "bare-line-feed" Error "RFC 9112, section 2.2"
        "the lines of the answer's head end with LF alone, which proxies and clients refuse" =>
        "End each line with CRLF: a server that is written by hand has to write \\r\\n.";
    AnswerMalformed "answer-malformed" Error "RFC 9112, sections 4 to 6"
        "the answer begins as HTTP does, and its head breaks a rule of HTTP/1.1" =>
        "Look into the program that wrote the head: the server, or a hop that has added a field.";
    AnswerCutShort "answer-cut-short" Error "RFC 9112, section 8"
        "the connection was closed in the middle of the answer's head" =>
        "Look into the log of the server that answers: it has failed while it wrote, or a hop takes no head as large as this.";
    Http2Only "http2-only" Error "RFC 9113, section 3.3"
        "the port speaks HTTP/2 without TLS, and no HTTP/1.1" =>
        "Let the hop in front speak HTTP/1.1 to it, or WebSocket over HTTP/2 (RFC 8441).";
    AnswerHeadTooLarge "answer-head-too-large" Error "RFC 9110, section 5.4"
        "the head of the answer is larger than proxies take" =>
        "Send fewer and smaller cookies from the origin, or raise the limit of each hop.";
    // The answer is no 101.
    UpgradeLost "upgrade-lost" Error "RFC 9110, sections 7.6.1 and 7.8"
        "Upgrade and Connection were lost on the way: the origin was asked for a page, not for a WebSocket" =>
        Rejection::UpgradeMissing.hint();
    UpgradeFieldLost "upgrade-field-lost" Error "RFC 9110, section 7.8"
        "Upgrade was lost on the way, and Connection was not" =>
        Rejection::UpgradeMissing.hint();
    ConnectionFieldLost "connection-field-lost" Error "RFC 9110, section 7.6.1"
        "the connection option upgrade was lost on the way, and Upgrade was not" =>
        Rejection::ConnectionOptionMissing.hint();
    Http10Hop "http10-hop" Error "RFC 9110, section 7.8"
        "a hop speaks HTTP/1.0, in which Upgrade means nothing" =>
        Rejection::HandshakeInHttp10.hint();
    KeyChanged "key-changed" Error "RFC 6455, section 4.2.1"
        "the Sec-WebSocket-Key was lost or changed on the way" =>
        Rejection::KeyMissing.hint();
    VersionChanged "version-changed" Error "RFC 6455, section 4.4"
        "the Sec-WebSocket-Version was lost or changed on the way" =>
        Rejection::VersionMissing.hint();
    MethodChanged "method-changed" Error "RFC 6455, section 4.1"
        "the method was changed on the way" =>
        Rejection::Method.hint();
    MethodNotAllowed "method-not-allowed" Error "RFC 9110, section 15.5.6"
        "the server refuses GET at this path, so something else than a WebSocket is served there" =>
        "Correct the path, or the route of the proxy that leads to it. Where the path is right, the upgrade was lost on the way.";
    HandshakeInvalid "handshake-invalid" Error "RFC 6455, section 4.2.1"
        "the handshake has arrived and is not one that a server may accept" =>
        "Compare what was sent with what has arrived.";
    HandshakeRefused "handshake-refused" Error "RFC 6455, section 4.2.2"
        "the upgrade arrived and is refused: without it the answer is another" =>
        "Read what the answer says, then the log of the application: it wants a cookie, a token, a subprotocol or a parameter.";
    RequestRefused "request-refused" Error "RFC 9110, section 15.5.1"
        "the server refuses the request, and gives its reason in its own words" =>
        "Change what the answer names. If that is not clear, look into the log of the application for these words.";
    SessionUnknown "session-unknown" Error "RFC 9110, section 3.3"
        "the server does not know the session that the request names: the requests of one session reach different servers, or \
         the session has ended" =>
        "Give the load balancer affinity, so that all requests of a session reach the same server (`ip_hash` in nginx, a \
         cookie in HAProxy); or let the client use the WebSocket transport alone, without polling before it.";
    ProtocolParameters "protocol-parameters" Error "RFC 6455, section 4.1"
        "the library behind this path wants parameters in the query that the request lacks" =>
        "For Socket.IO open /socket.io/?EIO=4&transport=websocket, with the EIO of the server's version.";
    HostRefused "host-refused" Error "RFC 9110, section 7.2"
        "the server refuses the Host that it received: the name is not one of its own, or the port is missing or wrong" =>
        "Let each proxy pass Host on as it came, with its port, and add the name to the server's list of hosts.";
    CsrfRefused "csrf-refused" Error "RFC 6455, section 10.2"
        "the request is refused by a check against cross-site request forgery, which no WebSocket can pass" =>
        "Exempt this path from the check of tokens, and check the Origin of the handshake instead.";
    VersionRefused "version-refused" Error "RFC 6455, section 4.4"
        "the server does not speak version 13 of WebSocket" =>
        "Bring the server's WebSocket library up to date.";
    SubprotocolRefused "subprotocol-refused" Error "RFC 6455, section 4.2.2"
        "the server refuses the subprotocols that are offered" =>
        "Offer one that the server speaks, or let it speak the one that is offered.";
    RedirectToTls "redirect-to-tls" Error "RFC 6455, section 4.1"
        "the answer redirects to https, and no browser follows it for a WebSocket" =>
        "Open the WebSocket by wss:// at once.";
    RedirectToSlash "redirect-to-slash" Error "RFC 6455, section 4.1"
        "the answer redirects to the same path with or without the slash at its end, and no browser follows it for a \
         WebSocket" =>
        "Open the WebSocket at the path that the redirection names, or let the proxy serve both.";
    Redirect "redirect" Error "RFC 6455, section 4.1"
        "the answer is a redirection, which no browser follows for a WebSocket" =>
        "Open the WebSocket where it leads to. If that is a login page, the request lacks a session: cookies go along \
         only to their own site.";
    RedirectToLogin "redirect-to-login" Error "RFC 6455, section 4.1"
        "the answer redirects to a login page, which no WebSocket can follow: the request has no valid session" =>
        "Log in first, so that the session's cookie goes along, and check its SameSite and Domain; or exempt this path from \
         the login of the proxy and check a token in the application.";
    Unauthorized "unauthorized" Error "RFC 9110, section 15.5.2"
        "credentials are demanded, and a browser sends none with a WebSocket but cookies and those of the URL's site" =>
        "Authenticate by a cookie, by a token in the URL or in the first message; or leave this path out of the proxy's \
         login.";
    ProxyAuthentication "proxy-authentication" Error "RFC 9110, section 15.5.8"
        "a forward proxy on the way demands credentials" =>
        "Configure the client to use the proxy, or exclude this host from it.";
    OriginRefused "origin-refused" Error "RFC 6455, section 10.2"
        "the Origin is refused" =>
        "Open the page from an allowed origin, or add its origin to the server's list; and let each proxy pass Origin and \
         Host on as they came.";
    Forbidden "forbidden" Error "RFC 6455, section 4.2.2"
        "the request is forbidden: mostly the Origin is not on the server's list, or differs from Host" =>
        "Add the page's origin to the server's list, and let each proxy pass Host on as it came; a firewall for web \
         applications may also refuse what it does not know.";
    CorsInsteadOfOrigin "cors-instead-of-origin" Notice "RFC 6455, section 10.2"
        "the answer has CORS fields, which do not govern WebSockets: no browser looks at them" =>
        "Check the Origin of the handshake instead; it is what keeps the pages of others out.";
    NotFound "not-found" Error "RFC 9110, section 15.5.5"
        "there is nothing at this path" =>
        "Correct the path, or the route of the proxy: which prefix it matches, and whether the upstream's path begins with \
         it. A WebSocket server that answers 404 to ordinary requests did not see the upgrade.";
    PageServed "page-served" Error "RFC 6455, section 4.1"
        "a web page was served instead of a switch: the request reached what serves pages, as single-page applications do for \
         every unknown path" =>
        "Correct the path, or add a route for it that leads to the WebSocket server and stands before the one for pages. \
         Where the path is right, the upgrade was lost on the way.";
    BadRequest "bad-request" Error "RFC 9110, section 15.5.1"
        "the request is refused as malformed by the proxy that answers" =>
        "Its log names the fault: an invalid Host, a field that is not allowed, or a head that is too large for it.";
    RequestHeadTooLarge "request-head-too-large" Error "RFC 6585, section 5"
        "the head of the request is larger than this hop takes" =>
        "Send less, cookies above all, or raise the limit of the hop.";
    RateLimited "rate-limited" Error "RFC 6585, section 4"
        "too many requests or connections from this address" =>
        "Wait longer before each new attempt; behind a proxy all clients may be counted as one address.";
    ServerError "server-error" Error "RFC 9110, section 15.6.1"
        "the server failed while it handled the request" =>
        "Look into its log. A WebSocket handler that receives an ordinary request fails so too: then Upgrade was lost on the way.";
    BadGateway "bad-gateway" Error "RFC 9110, section 15.6.3"
        "a proxy received no usable answer from the next hop" =>
        "Its log says which: `connection refused` is a wrong address or a server that is down, `upstream prematurely closed` \
         an upstream that speaks TLS or no HTTP, `upstream sent too big header` a head that does not fit its buffer.";
    ResponseHeadTooLarge "response-head-too-large" Error "RFC 9110, section 5.4"
        "the head of the origin's answer does not fit the buffer of a proxy" =>
        "Send fewer and smaller cookies from the origin, or raise the proxy's buffer for the response head.";
    Unavailable "unavailable" Error "RFC 9110, section 15.6.4"
        "a load balancer has no server for this request, or the server is overloaded" =>
        "Check that a server of this route is up and passes its health check; a limit on connections has the same answer.";
    GatewayTimeout "gateway-timeout" Error "RFC 9110, section 15.6.5"
        "a proxy has waited too long for the next hop" =>
        "Look whether the upstream's address is right and open in its firewall, and what keeps it from answering.";
    OriginUnreachable "origin-unreachable" Error "RFC 9110, section 15.6"
        "the content delivery network does not reach the origin" =>
        "Let the network's addresses through to the origin, and make its mode of TLS that of the origin.";
    ContentInspection "content-inspection" Error "RFC 9110, section 7.7"
        "a filter of the network has answered in the origin's place" =>
        "Use wss://, which it passes on or refuses as a whole; on a network of your own let WebSocket through.";
    UnexpectedStatus "unexpected-status" Error "RFC 6455, section 4.1"
        "the answer is no 101, so there is no WebSocket" =>
        "Look into the log of the server or proxy that answered.";
    BodyIncomplete "body-incomplete" Notice "RFC 9112, section 8"
        "the body of the answer did not end in time" =>
        "If it is a stream of events, nothing is wrong with that; else look into the server's log.";
    // The answer is a 101, and no switch.
    AcceptWrong "accept-wrong" Error "RFC 6455, section 4.1"
        "the 101 does not answer the key: it was made for another request, by a cache or by a hop with a key of its own" =>
        "Keep caches off this path, and let the key pass as it is.";
    SwitchInvalid "switch-invalid" Error "RFC 9110, section 15.2.2"
        "the 101 is one that no client may accept" =>
        "Let the server's fields pass: Upgrade, Connection and Sec-WebSocket-Accept.";
    ExtensionNotOffered "extension-not-offered" Error "RFC 6455, section 4.1"
        "the 101 agrees to an extension that was not offered" =>
        "Let Sec-WebSocket-Extensions pass both ways, or neither.";
    SubprotocolNotOffered "subprotocol-not-offered" Error "RFC 6455, section 4.1"
        "the 101 agrees to a subprotocol that was not offered" =>
        "Select one of those that the client names, or none.";
    SubprotocolIgnored "subprotocol-ignored" Warning "RFC 6455, section 4.1"
        "subprotocols were offered and none was selected, which some browsers take for a failure" =>
        "Let the server select one, or offer none; look whether Sec-WebSocket-Protocol arrives.";
    // After the switch.
    NoFrames "no-frames" Error "RFC 6455, section 5.5.3"
        "the switch is made, and not one frame passes: a hop that buffers, or content inspection" =>
        "Use wss://; turn buffering and inspection off for this path, or forward the port on layer 4.";
    ClosedAfterSwitch "closed-after-switch" Error "RFC 6455, section 7.1.5"
        "the connection ends right after the switch" =>
        "Look into the log of the application, then of each hop: one that answers 101 and does not tunnel ends so too.";
    FirstFrameLost "first-frame-lost" Error "RFC 6455, section 4.2.2"
        "the first frame after the switch is lost, and later ones pass" =>
        "A hop drops what arrives in one segment with a head. Bring it up to date.";
    FramesInvalid "frames-invalid" Error "RFC 6455, section 5.2"
        "what comes after the switch is not WebSocket from a server" =>
        "A hop changes the bytes, or writes HTTP into the tunnel: look which one compresses, filters or answers by itself.";
    MessageAltered "message-altered" Error "RFC 6455, section 5.2"
        "a message does not come back as it was sent" =>
        "A hop changes the bytes: look which one compresses or filters.";
    LargeMessageLost "large-message-lost" Error "RFC 6455, section 7.4.1"
        "a short message passes, and one of 70 KiB does not" =>
        "Raise the largest message of the server or of a hop that reads frames; a buffering hop does so too.";
    FramesWithoutEnd "frames-without-end" Warning "RFC 6455, section 10.4"
        "frames come so fast, or so many, that nothing else could be examined" =>
        "Look into the application: a loop that sends, or answers what it sent itself.";
    CloseUnanswered "close-unanswered" Notice "RFC 6455, section 5.5.1"
        "the Close frame is not answered in time" =>
        "Let the server's library answer it; a hop that does not pass Close frames on has the same effect.";
    PingsUnanswered "pings-unanswered" Warning "RFC 6455, section 5.5.2"
        "pings are not answered, so an idle connection cannot be distinguished from a dead one" =>
        "Let the server's library answer them, and hops pass control frames on.";
    IdleTimeout "idle-timeout" Warning "RFC 6455, section 5.5.2"
        "the connection ends when nothing has been said for a while" =>
        "Send a ping from either end more often than that, or raise the hop's idle timeout.";
    ClosedByPeer "closed-by-peer" Warning "RFC 6455, section 7.4"
        "the other side has closed the WebSocket" =>
        "The close code says why.";
    ConnectionLost "connection-lost" Warning "RFC 6455, section 7.1.5"
        "the connection ends without a Close frame while it is in use" =>
        "Look which hop has a limit on the lifetime of connections, or was restarted.";
    HalfCloseEnds "half-close-ends" Notice "RFC 9293, section 3.6"
        "a hop takes the end of one direction for the end of both" =>
        "WebSocket ends by Close frames and does without. Other protocols in an upgrade may need a hop that can.";
    // What has arrived is not what was sent, and no rule of the handshake is broken by it.
    HostChanged "host-changed" Notice "RFC 9110, section 7.2"
        "Host was changed on the way; servers that compare it with Origin refuse the pages of their own site" =>
        "Let each proxy pass Host on as it came.";
    OriginChanged "origin-changed" Warning "RFC 6455, section 10.2"
        "Origin was lost or changed on the way: the server takes every page for one of its own, or for none" =>
        "Let Origin pass as it came, and let the server know the origins that may connect.";
    PathChanged "path-changed" Notice "RFC 9110, section 7.1"
        "the path was changed on the way" =>
        "Look whether the application serves it.";
    FieldsLost "fields-lost" Warning "RFC 9110, section 7.6"
        "fields of the request were lost on the way" =>
        "Let them pass: nothing but Connection and what it names ends at a hop.";
    FieldsChanged "fields-changed" Notice "RFC 9110, section 7.7"
        "fields of the request were changed on the way" =>
        "Look whether a hop does so on purpose.";
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different_and_in_lower_case_with_hyphens() {
        for (at, diagnosis) in Diagnosis::ALL.iter().enumerate() {
            let name = diagnosis.name();
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(name.bytes().all(plain), "{name}");
            assert!(
                Diagnosis::ALL[..at].iter().all(|other| other.name() != name),
                "{name}"
            );
        }
    }

    #[test]
    fn sentences_have_no_full_stop_and_remedies_have_one() {
        for diagnosis in Diagnosis::ALL {
            assert!(!diagnosis.sentence().ends_with('.'), "{diagnosis}");
            assert!(diagnosis.change().ends_with('.'), "{diagnosis}");
            assert!(diagnosis.reference().starts_with("RFC "), "{diagnosis}");
        }
    }
}
