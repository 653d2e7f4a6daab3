//! RFC 9110, section 5.6.1: lists, and how long those may be that each proxy reads or adds to.

use http::{Request, Version};
use switchover::http1::{HeadError, check_request};
use switchover::token::MAX_ELEMENTS;

use crate::parsed::request;

const LISTS: [(&str, &str); 5] = [
    ("forwarded", "for=192.0.2.1"),
    ("te", "trailers"),
    ("trailer", "x-sum"),
    ("via", "1.1 a"),
    ("x-forwarded-for", "192.0.2.1"),
];

#[test]
fn lists_that_grow_at_each_hop_are_refused_beyond_the_limit() {
    for (name, element) in LISTS {
        for elements_in_a_line in [1, 16, 1000] {
            for (count, is_refused) in [(1, false), (MAX_ELEMENTS, false), (MAX_ELEMENTS + 1, true)] {
                let all = vec![element; count];
                let lines: Vec<String> = all
                    .chunks(elements_in_a_line)
                    .map(|line| line.join(" ,, "))
                    .collect();
                let case = format!("{name}: {count} elements, {elements_in_a_line} in a line");

                let fields: String = lines.iter().map(|line| format!("{name}: {line}\r\n")).collect();
                let parsed = request(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
                for version in [Version::HTTP_11, Version::HTTP_2] {
                    let request = Request::get("http://a/").version(version).header("host", "a");
                    let request = lines
                        .iter()
                        .fold(request, |request, line| request.header(name, line));
                    let (mut parts, ()) = request.body(()).unwrap().into_parts();
                    let checked = check_request(&mut parts);
                    assert_eq!(
                        checked.clone().err(),
                        parsed.as_ref().err().cloned(),
                        "{case} {version:?}"
                    );
                }
                match parsed {
                    Ok(_) => assert!(!is_refused, "{case}"),
                    Err(error) => {
                        let expected = HeadError::TooManyElements {
                            field: name.parse().unwrap(),
                        };
                        assert!(is_refused && error == expected, "{case}: {error:?}");
                        assert_eq!(
                            (error.name(), error.status().as_u16()),
                            ("too-many-elements", 431)
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn commas_without_elements_and_lists_of_other_fields_have_no_such_limit() {
    for line in [
        format!("Via: {}", ",".repeat(5000)),
        format!("Accept: {}", "text/html, ".repeat(500)),
    ] {
        assert!(
            request(format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n")).is_ok(),
            "{line}"
        );
    }
}
