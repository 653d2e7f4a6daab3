//! The PROXY protocol: every prefix of a header is partial, and what is read is written so that it reads the same.

use switchover::proxy_protocol::{MAX_LENGTH, Parsed, ProxyHeader, parse};

pub(crate) fn header(data: &[u8]) {
    let Ok(Parsed::Complete {
        header,
        tlvs,
        consumed,
    }) = parse(data)
    else {
        return;
    };
    assert!(consumed <= data.len() && consumed <= MAX_LENGTH.max(107));
    let _ = tlvs.get(2);
    for end in 0..consumed {
        assert_eq!(parse(&data[..end]), Ok(Parsed::Partial), "cut at {end}");
    }
    let binary = header.encode_v2();
    let Ok(Parsed::Complete {
        header: again,
        consumed,
        ..
    }) = parse(&binary)
    else {
        panic!("{header:?} is written as {}", binary.escape_ascii());
    };
    assert_eq!((&again, consumed), (&header, binary.len()));
    let line = header.encode_v1();
    assert!(line.len() <= 107);
    match parse(&line) {
        Ok(Parsed::Complete { header: again, .. }) if again != ProxyHeader::Unknown => {
            assert_eq!(
                (again.source(), again.destination()),
                (header.source(), header.destination())
            );
        }
        Ok(Parsed::Complete { .. }) => {}
        other => panic!("{header:?} is written as {}: {other:?}", line.escape_ascii()),
    }
}
