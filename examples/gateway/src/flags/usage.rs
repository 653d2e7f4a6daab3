//! What `--help` prints: each flag, what it does, and its default in brackets.

/// What `--version` prints.
pub(crate) const VERSION: &str = concat!("gateway ", env!("CARGO_PKG_VERSION"), "\n");

/// Whether there is a flag of this name. Each has a place of its own in the text.
pub(super) fn has(flag: &str) -> bool {
    flag.starts_with("--") && USAGE.split_whitespace().any(|word| word == flag)
}

pub(crate) const USAGE: &str = "\
An HTTP gateway that carries upgrades, WebSocket above all, and relays everything else.

  --listen ADDR              listen here; repeatable (127.0.0.1:8080)
  --route '[HOST]/PREFIX=URL[,URL...]'
                             send what matches to URL (http, https, ws or wss); repeatable. The longest prefix wins. A
                             URL with a path replaces the matched prefix, one without keeps the request target.
                             Several URLs take turns, and the next one steps in where one fails before it has
                             answered. Behind a URL: ;weight=N, ;max-tunnels=N, ;backup, and ;resolve=DURATION for a name
                             each of whose addresses is a server, asked for again as often as that. HOST may be a
                             wildcard, *.example.com, .example.com or www.example.*; [HOST]=/PATH=URL is for that path
                             alone. unix:/PATH instead of a URL is a Unix socket, unix:/PATH:/REPLACEMENT one with a
                             path that replaces the prefix
  --balance HOW              how the URLs of a route take turns: round-robin, least-tunnels, random, power-of-two (of two by
                             chance the one with fewer tunnels), or hash:KEY for the same one each time, where KEY is
                             client, header:NAME, cookie:NAME or query:NAME (round-robin)
  --tls-cert FILE            speak TLS on all listeners, with this certificate chain (PEM); needs --tls-key. Clients may
                             speak HTTP/2 there, and open WebSockets over it (RFC 8441)
  --tls-key FILE             the private key of the first certificate in the chain (PEM)
  --upstream-ca FILE         believe https and wss servers only by these roots (PEM; the system's roots). Their
                             certificates must be for the host of the URL
  --accept-proxy-protocol NETWORK
                             connections come from balancers in this network (10.0.0.0/8) and begin with a PROXY
                             protocol header; all others are closed. Repeatable
  --send-proxy-protocol v1|v2
                             begin connections to upstreams with such a header
  --workers N                threads, each with its own runtime and its own listening sockets (1)
  --connect-timeout DURATION connecting to an upstream, TLS handshake included; then 504 (10s)
  --handshake-timeout DURATION
                             from the connection, or from the end of the request's body, to the head of the answer; then 504
                             (as --read-timeout, or 60s)
  --read-timeout DURATION    a tunnel without a byte in either direction ends (5m); also the wait for more of a body (60s)
  --send-timeout DURATION    a side that does not take bytes meant for it (60s)
  --header-timeout DURATION  the first request head of a connection, from the accept to its last byte, and each later one from
                             its first byte; then 408. Before the first, as long again for the TLS handshake (30s)
  --keep-alive-timeout DURATION
                             a connection on which nothing is asked for, after an answer (75s)
  --half-close-timeout DURATION
                             after one side of a tunnel has ended, silence of the other (30s); also --linger-timeout
  --tunnel-mode stream|websocket
                             what a tunnel knows of a WebSocket: its bytes, or its frames. With frames it ends with a Close
                             1001 to both ends where it is the gateway that ends it, as after SIGTERM, and a side that
                             sends what is no frame is sent a Close 1002 (stream)
  --ping-interval DURATION   send a ping to a side of a WebSocket that has been silent for so long; needs --tunnel-mode
                             websocket (no pings)
  --pong-timeout DURATION    how long such a side may stay silent then, and a second more for each KiB that was sent to it
                             since its last answer, at most 255; needs --ping-interval (10s)
  --max-message-bytes N      the longest message that a client may send over a WebSocket, and
  --max-frame-bytes N        the longest frame. What is longer goes nowhere: the client is sent a Close 1009, the upstream a
                             1001. Of compressed messages it is the compressed length. These and the next four need
                             --tunnel-mode websocket (no limit)
  --max-fragments N          the most frames that a message of a client may have: at one more it is sent a Close 1008 (no limit)
  --max-messages-per-second N[,BURST]
                             how many messages a client may send, and how many at once (no limit; BURST is N)
  --max-bytes-per-second N[,BURST]
                             how many bytes a client may send in messages, and how many at once; a frame longer than BURST is
                             beyond it, unless --over-rate is delay (no limit; BURST is N)
  --max-control-frames-per-second N[,BURST]
                             how many pings and pongs a client may send, and how many at once, the first answer to each ping of
                             the gateway's not counted (no limit; BURST is N)
  --over-rate close|delay    what becomes of a frame beyond these three: the client is sent a Close 1008 and the upstream a
                             1001, or the frame waits, and the client is not read meanwhile (close)
  --limit-close 'CODE[ TEXT]'
                             the Close for the upstream of a client that has exceeded a limit (1001)
  --abnormal-close 'CODE[ TEXT]'|none
                             the Close for a client whose upstream ends or fails without one, or takes no bytes any more; or none,
                             and its connection ends without; needs --tunnel-mode websocket (1011)
  --abnormal-close-upstream 'CODE[ TEXT]'|none
                             the same for an upstream whose client has gone (1001)
  --drain-timeout DURATION   after SIGTERM, how long tunnels may go on (30s); a second SIGTERM ends them at once
  --drain-spread DURATION    the last part of that time, over which the tunnels that are left end one after the other, and
                             not all at once (0s)
  --drain-delay DURATION     after SIGTERM, how long everything goes on as before, but for /ready, so that a balancer can
                             take notice (0s)
  --drain-close 'CODE[ TEXT]'
                             the Close with which they end, as '1012 back in a minute'; needs --tunnel-mode websocket
                             (1001 shutting down)
  --evacuate WINDOW          end the tunnels of a server that leaves, one after the other over WINDOW, a DURATION or 0s for at once:
                             where an operator takes it out (--admin), or its name resolves to its address no more
                             (;resolve=). Those that have not had their turn when it is back go on (they all go on)
  --evacuate-ejected DURATION
                             a server that fails, and has been out for longer than this, leaves too (none does)
  --evacuate-close 'CODE[ TEXT]'
                             the Close with which they end, as '1012 moving'; needs --tunnel-mode websocket (1001)
  --rebalance N              when a server is back, end at most N tunnels of the others in a second until each has its share by
                             weight (none). These three need --evacuate
  --health ADDR              answer probes here, also while draining: /live, /ready (503 from SIGTERM on) and /status
  --admin ADDR               see and steer the gateway here, also while draining: a page for a browser, /metrics (Prometheus),
                             and as JSON /tunnels, /servers, /failures and /summary; POST ends tunnels, drains, and takes
                             servers out. An address that other hosts can reach needs --admin-token-file. The operators page of the manual has the whole list (none)
  --admin-token-file FILE    the administration answers only those that send the token in the first line of FILE, 16 to 1024
                             characters, as 'Authorization: Bearer TOKEN'; the page asks for it. Needs --admin
  --admin-host NAME          another name or address, without a port, by which clients may ask for the administration. Every
                             other but localhost and the address of the listener is refused, because a page of another
                             site could use one (DNS rebinding). Repeatable; needs --admin
  --max-tunnels N            upgrades beyond this many, by all workers together, get a 503 (no limit)
  --max-tunnels-per-client N upgrades of one client, by its address or the first 64 bits of it, beyond this many get a 429
                             (no limit)
  --max-header-bytes N       the largest head, request or response (65536)
  --set-header 'NAME: VALUE' set a field on requests, with nginx's variables: 'X-Real-IP: $remote_addr'; repeatable.
                             An empty value removes the field. Host is set too, to '$host' as to any other value.
                             $proxy_host is the host of the route's first URL, $server_port the port of --listen or
                             that of the PROXY protocol header, and there is no $server_name
  --trace refuse|relay       a TRACE is answered 405 (refuse), or goes upstream
  --allow-upgrade TOKEN      a protocol that may be switched to; repeatable (websocket). '*' is any but HTTP: h2c needs its
                             name
  --upgrade-body auto|allow|refuse
                             a body in an upgrade request, which goes up before the tunnel begins: in all but WebSocket
                             handshakes, in all, or in none (auto)
  --subprotocols any|tokens  what a WebSocket client may offer as subprotocols: any names, as kubectl does, or different
                             tokens alone; else 400 (any)
  --incomplete-handshakes relay|refuse
                             a WebSocket handshake that has lost its upgrade on the way, to a proxy in front that does
                             not carry it: relayed as the ordinary request that is left of it, or refused with 426 and
                             what to change there (relay)
  --early-half-close drop|serve
                             a client that ends its write side before its upgrade is answered has left, and its upstream is
                             freed, or still gets its answer and what follows (drop)
  --allow-origin ORIGIN      an Origin that may open a WebSocket: https://example.com, https://*.example.com for exactly one
                             label before the name, null, or file://; repeatable (any)
  --access-log -|FILE        a line of JSON for each tunnel that opens and for each that ends, for each other request, and
                             for each connection that fails before a request; to standard output, or appended to FILE,
                             which SIGUSR1 opens again (none)
  --access-log-query keep|drop
                             what the log has of a query: all, or only that there was one. Browsers cannot set fields on
                             WebSockets, so tokens stand in queries (drop)
  --log warn|info|debug      lines on standard error, for people: what fails; what is refused, declined, tried again or ends as
                             well; or each connection to an upstream too. Each line has the request and the tunnel that it
                             belongs to. Never a query (none)
  --version                  the version
  --help                     this text

ADDR is HOST:PORT, or PORT or :PORT for 127.0.0.1 alone. DURATION is a number with ms, s, m or h, above zero unless zero is its default. Without --route there is a demo: open the address that it listens on.
";
