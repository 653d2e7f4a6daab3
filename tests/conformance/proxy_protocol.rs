//! HAProxy's `proxy-protocol.txt`, sections 2.1 and 2.2: headers whole, byte by byte, and with a tail behind them.

use std::net::SocketAddr;

use proptest::prelude::*;
use switchover::proxy_protocol::{MAX_LENGTH, Parsed, ProxyHeader, ProxyHeaderError, Transport, parse};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header in version 2.
fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, payload].concat()
}

/// A value of version 2 with its type and length.
fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// What the bytes are, if that is the same whole, byte by byte, and with a tail. A header that never ends is a panic.
fn parsed(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let comparable = |parsed: Result<Parsed<'_>, ProxyHeaderError>| match parsed {
        Ok(Parsed::Partial) => panic!("no end found in {}", bytes.escape_ascii()),
        Ok(Parsed::Complete {
            header,
            consumed,
            tlvs,
        }) => {
            let tlvs: Vec<_> = tlvs.map(|(kind, value)| (kind, value.to_vec())).collect();
            Ok((header, tlvs, consumed))
        }
        Err(error) => Err(error),
    };
    let whole = comparable(parse(bytes));
    for tail in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\r\n",
        b"PROXY TCP4 ",
        SIGNATURE,
        b"\0\xff",
    ] {
        assert_eq!(
            comparable(parse(&[bytes, tail].concat())),
            whole,
            "with a tail: {}",
            bytes.escape_ascii()
        );
    }
    for end in 0..=bytes.len() {
        match parse(&bytes[..end]) {
            Ok(Parsed::Partial) => assert!(whole.as_ref().is_err() || end < bytes.len()),
            stop => {
                assert_eq!(
                    comparable(stop),
                    whole,
                    "at byte {end} of {}",
                    bytes.escape_ascii()
                );
                break;
            }
        }
    }
    whole.map(|(header, _, consumed)| {
        assert_eq!(consumed, bytes.len());
        header
    })
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn section_2_1_lines_of_text() {
    let tcp = |source: &str, destination: &str| ProxyHeader::tcp(address(source), address(destination));
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let cases = [
        (
            "TCP4 192.168.0.1 192.168.0.11 56324 443",
            tcp("192.168.0.1:56324", "192.168.0.11:443"),
        ),
        (
            "TCP4 255.255.255.255 255.255.255.255 65535 65535",
            tcp("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        ("TCP4 0.0.0.0 0.0.0.0 0 0", tcp("0.0.0.0:0", "0.0.0.0:0")),
        (
            "TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1 2",
            tcp("[2001:db8::1]:1", "[2001:db8::2]:2"),
        ),
        (
            "TCP6 ::ffff:192.0.2.1 ::1 1 2",
            tcp("[::ffff:192.0.2.1]:1", "[::1]:2"),
        ),
        (
            &format!("TCP6 {longest} {longest} 65535 65535"),
            tcp(&format!("[{longest}]:65535"), &format!("[{longest}]:65535")),
        ),
        ("UNKNOWN", ProxyHeader::Unknown),
        ("UNKNOWN ", ProxyHeader::Unknown),
        ("UNKNOWN any \0 thing\t", ProxyHeader::Unknown),
        (
            &format!("UNKNOWN {longest} {longest} 65535 65535"),
            ProxyHeader::Unknown,
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(
            parsed(format!("PROXY {line}\r\n").as_bytes()),
            Ok(expected),
            "{line:?}"
        );
    }
}

#[test]
fn section_2_1_what_does_not_exactly_match() {
    use ProxyHeaderError::*;
    let cases: &[(&str, ProxyHeaderError)] = &[
        ("GET / HTTP/1.1\r\n", Signature),
        ("PROXY\r\n", Signature),
        ("PROXY\tTCP4 1.1.1.1 2.2.2.2 1 2\r\n", Signature),
        ("proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Signature),
        ("PROXYTCP4 1.1.1.1 2.2.2.2 1 2\r\n", Signature),
        (" PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Signature),
        ("PROXY \r\n", Protocol),
        ("PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Protocol),
        ("PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", Protocol),
        ("PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", Protocol),
        ("PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n", Protocol),
        ("PROXY UNKNOWNS\r\n", Protocol),
        ("PROXY unknown\r\n", Protocol),
        ("PROXY TCP4\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 \r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1\t2.2.2.2 1 2\r\n", Addresses),
        ("PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", Addresses),
        ("PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n", Addresses),
        ("PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", Addresses),
        ("PROXY TCP4 0x1.1.1.1 2.2.2.2 1 2\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 ::1 1 2\r\n", Addresses),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", Addresses),
        ("PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", Addresses),
        ("PROXY TCP6 :::1 ::1 1 2\r\n", Addresses),
        ("PROXY TCP6 ::1%lo ::1 1 2\r\n", Addresses),
        ("PROXY TCP6 [::1] ::1 1 2\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 00 2\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\0\r\n", Addresses),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", LineEnd),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\r\n", LineEnd),
        ("PROXY TCP4\r 1.1.1.1 2.2.2.2 1 2\r\n", LineEnd),
        ("PROXY UNKNOWN\n\r\n", LineEnd),
    ];
    for (bytes, expected) in cases {
        assert_eq!(parsed(bytes.as_bytes()), Err(*expected), "{bytes:?}");
    }
    let filled = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
    assert_eq!(parsed(filled(107).as_bytes()), Ok(ProxyHeader::Unknown));
    assert_eq!(parsed(filled(108).as_bytes()), Err(LineTooLong));
    assert_eq!(parsed(filled(109).as_bytes()), Err(LineTooLong));
}

#[test]
fn section_2_2_headers_in_binary() {
    let inet = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb];
    let mut inet6 = [0; 36];
    (inet6[15], inet6[31], inet6[33], inet6[35]) = (1, 2, 3, 4);
    let mut unix = [0; 216];
    unix[..5].copy_from_slice(b"/a\0b\xff");
    unix[109] = b'c';
    let internet = |transport, source, destination| ProxyHeader::Internet {
        transport,
        source: address(source),
        destination: address(destination),
    };
    let (stream, datagram) = (Transport::Stream, Transport::Datagram);
    let local = |transport| ProxyHeader::Unix {
        transport,
        source: b"/a\0b\xff".to_vec(),
        destination: b"\0c".to_vec(),
    };
    let cases: &[(&str, Vec<u8>, ProxyHeader)] = &[
        (
            "TCP over IPv4",
            binary(0x21, 0x11, &inet),
            internet(stream, "192.0.2.1:56324", "198.51.100.2:443"),
        ),
        (
            "UDP over IPv4",
            binary(0x21, 0x12, &inet),
            internet(datagram, "192.0.2.1:56324", "198.51.100.2:443"),
        ),
        (
            "TCP over IPv6",
            binary(0x21, 0x21, &inet6),
            internet(stream, "[::1]:3", "[::2]:4"),
        ),
        (
            "UDP over IPv6",
            binary(0x21, 0x22, &inet6),
            internet(datagram, "[::1]:3", "[::2]:4"),
        ),
        ("UNIX stream", binary(0x21, 0x31, &unix), local(stream)),
        ("UNIX datagram", binary(0x21, 0x32, &unix), local(datagram)),
        ("UNSPEC", binary(0x21, 0x00, &[]), ProxyHeader::Unknown),
        (
            "UNSPEC with bytes to ignore",
            binary(0x21, 0x00, &[3, 0, 9]),
            ProxyHeader::Unknown,
        ),
        (
            "a family without a transport",
            binary(0x21, 0x10, &inet),
            ProxyHeader::Unknown,
        ),
        (
            "a transport without a family",
            binary(0x21, 0x01, &inet),
            ProxyHeader::Unknown,
        ),
        ("LOCAL", binary(0x20, 0x00, &[]), ProxyHeader::Local),
        (
            "LOCAL with addresses",
            binary(0x20, 0x11, &inet),
            ProxyHeader::Local,
        ),
        (
            "LOCAL with too little",
            binary(0x20, 0x11, &[1]),
            ProxyHeader::Local,
        ),
        (
            "LOCAL with a family to ignore",
            binary(0x20, 0xff, &[]),
            ProxyHeader::Local,
        ),
        (
            "with more behind the addresses",
            binary(
                0x21,
                0x11,
                &[&inet[..], &tlv(1, b"h2"), &tlv(4, b""), &tlv(0xee, &[0; 300])].concat(),
            ),
            internet(stream, "192.0.2.1:56324", "198.51.100.2:443"),
        ),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(parsed(bytes).as_ref(), Ok(expected), "{what}");
    }
}

#[test]
fn section_2_2_what_must_be_rejected() {
    use ProxyHeaderError::*;
    let inet = [0; 12];
    let with = |rest: &[u8]| binary(0x21, 0x11, &[&inet[..], rest].concat());
    let mut other_end = binary(0x21, 0, &[]);
    other_end[11] = b'\r';
    let cases: &[(&str, Vec<u8>, ProxyHeaderError)] = &[
        ("another signature", other_end, Signature),
        (
            "an empty request line",
            b"\r\nGET / HTTP/1.1\r\n".to_vec(),
            Signature,
        ),
        ("TLS", b"\x16\x03\x01\x02\0".to_vec(), Signature),
        ("version 1", binary(0x11, 0x11, &inet), Version),
        ("version 3", binary(0x31, 0x11, &inet), Version),
        ("command 2", binary(0x22, 0x11, &inet), Command),
        ("command 15", binary(0x2f, 0x11, &inet), Command),
        ("family 4", binary(0x21, 0x41, &inet), Family),
        ("transport 3", binary(0x21, 0x13, &inet), Family),
        ("IPv4 in 11 bytes", binary(0x21, 0x11, &inet[1..]), TooShort),
        ("IPv6 in 35 bytes", binary(0x21, 0x21, &[0; 35]), TooShort),
        ("paths in 215 bytes", binary(0x21, 0x31, &[0; 215]), TooShort),
        ("one byte behind the addresses", with(&[4]), Tlv),
        ("a type and half a length", with(&[4, 0]), Tlv),
        ("a value that is cut short", with(&[4, 0, 2, 0]), Tlv),
        ("a second value that is cut short", with(&[4, 0, 0, 4, 0, 1]), Tlv),
        ("a checksum of three bytes", with(&tlv(3, &[0; 3])), Checksum),
        ("a wrong checksum", with(&tlv(3, &[1, 2, 3, 4])), Checksum),
        (
            "longer than the limit",
            binary(0x21, 0, &vec![0; MAX_LENGTH - 15]),
            TooLong,
        ),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(parsed(bytes).as_ref(), Err(expected), "{what}");
    }
    assert_eq!(
        parsed(&binary(0x21, 0, &vec![0; MAX_LENGTH - 16])),
        Ok(ProxyHeader::Unknown)
    );
}

/// Bit by bit, as in RFC 4960, appendix B.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))
        })
    })
}

#[test]
fn section_2_2_3_the_checksum_is_of_the_whole_header_with_itself_as_zero() {
    let before = tlv(1, b"http/1.1");
    let after = tlv(5, b"\x03\0\x04");
    let payload = |sum: u32| [&[7; 12][..], &before, &tlv(3, &sum.to_be_bytes()), &after].concat();
    let sum = crc32c(&binary(0x21, 0x11, &payload(0)));
    let right = binary(0x21, 0x11, &payload(sum));
    assert!(parsed(&right).is_ok());
    for at in 0..right.len() {
        for bit in 0..8 {
            let mut damaged = right.clone();
            damaged[at] ^= 1 << bit;
            if let Ok(Parsed::Complete { header, tlvs, .. }) = parse(&damaged) {
                // What is left of it has no checksum any more.
                assert!(
                    header == ProxyHeader::Local || header == ProxyHeader::Unknown || tlvs.get(3).is_none(),
                    "bit {bit} of byte {at}: {header:?}"
                );
            }
        }
    }
}

#[test]
fn section_2_2_values_are_read() {
    let payload = [
        &[0; 12][..],
        &tlv(2, b"a.example"),
        &tlv(4, b""),
        &tlv(2, b"b.example"),
    ]
    .concat();
    let bytes = binary(0x21, 0x11, &payload);
    let Ok(Parsed::Complete { tlvs, .. }) = parse(&bytes) else {
        panic!("it is whole");
    };
    assert_eq!(tlvs.get(2), Some(&b"a.example"[..]));
    assert_eq!(tlvs.get(4), Some(&b""[..]));
    assert_eq!(tlvs.get(5), None);
    assert_eq!(tlvs.count(), 3);
}

#[test]
fn what_version_1_cannot_say_is_unknown_there() {
    let unix = ProxyHeader::Unix {
        transport: Transport::Stream,
        source: b"/a".to_vec(),
        destination: b"/b".to_vec(),
    };
    let datagram = ProxyHeader::Internet {
        transport: Transport::Datagram,
        source: address("192.0.2.1:1"),
        destination: address("192.0.2.2:2"),
    };
    for header in [unix, datagram, ProxyHeader::Local, ProxyHeader::Unknown] {
        assert_eq!(header.encode_v1(), b"PROXY UNKNOWN\r\n", "{header:?}");
    }
}

#[test]
fn addresses_of_two_families_become_one() {
    let header = ProxyHeader::tcp(address("192.0.2.1:1"), address("[2001:db8::1]:2"));
    let expected = ProxyHeader::tcp(address("[::ffff:192.0.2.1]:1"), address("[2001:db8::1]:2"));
    assert_eq!(
        header.encode_v1(),
        b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n"
    );
    assert_eq!(parsed(&header.encode_v1()), Ok(expected.clone()));
    assert_eq!(parsed(&header.encode_v2()), Ok(expected));
}

fn transports() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Stream), Just(Transport::Datagram)]
}

/// Two addresses of one family.
fn addresses() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    prop_oneof![
        any::<([u8; 4], [u8; 4], u16, u16)>().prop_map(|(a, b, c, d)| ((a, c).into(), (b, d).into())),
        any::<([u16; 8], [u16; 8], u16, u16)>().prop_map(|(a, b, c, d)| ((a, c).into(), (b, d).into())),
    ]
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let path = proptest::collection::vec(any::<u8>(), 0..=108);
    path.prop_filter("zero bytes at the end are not of the path", |path| {
        path.last() != Some(&0)
    })
}

fn headers() -> impl Strategy<Value = ProxyHeader> {
    prop_oneof![
        Just(ProxyHeader::Local),
        Just(ProxyHeader::Unknown),
        (transports(), addresses()).prop_map(|(transport, (source, destination))| ProxyHeader::Internet {
            transport,
            source,
            destination,
        }),
        (transports(), path(), path()).prop_map(|(transport, source, destination)| ProxyHeader::Unix {
            transport,
            source,
            destination,
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_parses_to_the_same(header in headers(), (source, destination) in addresses()) {
        prop_assert_eq!(parsed(&header.encode_v2()), Ok(header));
        let tcp = ProxyHeader::tcp(source, destination);
        prop_assert_eq!(parsed(&tcp.encode_v1()), Ok(tcp));
    }

    #[test]
    fn damage_is_an_error_or_another_header_and_never_a_panic(
        header in headers(),
        text in any::<bool>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = if text { header.encode_v1() } else { header.encode_v2() };
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(1 + end.index(bytes.len()));
        if let Ok(Parsed::Complete { consumed, .. }) = parse(&bytes) {
            prop_assert!(consumed <= bytes.len());
        }
    }

    #[test]
    fn anything_at_all_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64), signed in any::<bool>()) {
        let bytes = if signed { [SIGNATURE, b"\x21", &bytes].concat() } else { bytes };
        let _ = parse(&bytes);
    }
}
