//! HAProxy and nginx on the other end of the PROXY protocol.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use switchover::proxy_protocol::{Parsed, ProxyHeader, parse};

use super::peer::{answer, haproxy, nginx};

#[test]
fn nginx_reads_what_is_encoded() {
    let Some(nginx) = nginx(
        "server { listen LISTEN proxy_protocol; return 200
          \"$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port\"; }",
    ) else {
        return;
    };
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (source, destination, expected) in [
        (
            "192.0.2.1:56324",
            "198.51.100.2:443",
            "192.0.2.1 56324 198.51.100.2 443",
        ),
        ("[2001:db8::1]:1", "[::1]:65535", "2001:db8::1 1 ::1 65535"),
    ] {
        let header = ProxyHeader::tcp(source.parse().unwrap(), destination.parse().unwrap());
        for bytes in [header.encode_v1(), header.encode_v2()] {
            let answer = answer(nginx.address, &[&bytes, &request[..]].concat());
            assert!(answer.ends_with(&format!("\r\n\r\n{expected}")), "{answer}");
        }
    }
    for header in [ProxyHeader::Unknown, ProxyHeader::Local] {
        for bytes in [header.encode_v1(), header.encode_v2()] {
            let answer = answer(nginx.address, &[&bytes, &request[..]].concat());
            assert!(answer.starts_with("HTTP/1.1 200 "), "{header:?}: {answer}");
        }
    }
}

/// What HAProxy writes first to its server, for a client whose address is returned too.
fn written_by_haproxy(options: &str) -> Option<(Vec<u8>, SocketAddr, SocketAddr)> {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let haproxy = haproxy(&format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
         frontend in\n bind LISTEN\n unique-id-format %pid-%ts\n default_backend out\n\
         backend out\n server one {address} {options}\n"
    ))?;
    // The one that was made to see whether it listens may come first.
    let client = TcpStream::connect(haproxy.address).unwrap();
    let (mine, listening) = (client.local_addr().unwrap(), haproxy.address);
    loop {
        let (mut stream, _) = server.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut bytes = Vec::new();
        let mut byte = [0];
        while matches!(parse(&bytes), Ok(Parsed::Partial)) {
            match stream.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                other => panic!("{other:?} after {}", bytes.escape_ascii()),
            }
        }
        match parse(&bytes) {
            Ok(Parsed::Complete { header, .. }) if header.source() != Some(mine) => {}
            _ => return Some((bytes, mine, listening)),
        }
    }
}

#[test]
fn what_haproxy_writes_is_parsed() {
    for options in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    ] {
        let Some((bytes, client, listening)) = written_by_haproxy(options) else {
            return;
        };
        let Ok(Parsed::Complete {
            header,
            tlvs,
            consumed,
        }) = parse(&bytes)
        else {
            panic!("{options}: {}", bytes.escape_ascii());
        };
        assert_eq!(header, ProxyHeader::tcp(client, listening), "{options}");
        assert_eq!(consumed, bytes.len(), "{options}");
        assert_eq!(tlvs.get(0x03).is_some(), options.contains("crc32c"), "{options}");
        assert_eq!(
            tlvs.get(0x05).is_some(),
            options.contains("unique-id"),
            "{options}"
        );
        if options == "send-proxy" {
            assert_eq!(header.encode_v1(), bytes);
        }
        if options == "send-proxy-v2" {
            assert_eq!(header.encode_v2(), bytes);
        }
    }
}
