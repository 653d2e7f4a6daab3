//! Header templates: a template that is accepted gives a value that a field may hold, and a rule gives its field exactly that value.

use http::HeaderMap;
use switchover::header::rules::{Template, Variables};
use switchover::header::{HeaderRules, Hop};

pub(crate) fn templates(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (text, target) = text.split_once('\n').unwrap_or((text, "/a?token=7&b=%20"));
    let Ok((parts, ())) = http::Request::get(target)
        .header("host", "Example.com:80")
        .header("x-a", "b")
        .body(())
        .map(http::Request::into_parts)
    else {
        return;
    };
    let hop = Hop::from("192.0.2.1".parse::<std::net::IpAddr>().unwrap());
    let variables = Variables::new(&parts, &hop);
    let template = text.parse::<Template>();
    let rules = HeaderRules::default().set_on_request("X-Set", text);
    assert_eq!(
        template.is_ok(),
        rules.is_ok(),
        "{text:?}: a rule and its template are accepted together"
    );
    let (Ok(template), Ok(rules)) = (template, rules) else {
        return;
    };
    let value = template.value(&variables);
    if let Some(value) = &value {
        let bytes = value.as_bytes();
        assert!(
            !bytes.is_empty() && !bytes.contains(&b'\r') && !bytes.contains(&b'\n') && !bytes.contains(&0)
        );
        assert!(!bytes.starts_with(b" ") && !bytes.ends_with(b" "));
    }
    if let Some(constant) = template.constant() {
        assert_eq!(value.as_ref(), Some(constant).filter(|value| !value.is_empty()));
    }
    let mut headers = HeaderMap::new();
    rules.apply_to_request(&mut headers, &variables);
    assert_eq!(headers.get("x-set"), value.as_ref(), "{text:?}");
    assert!(headers.len() <= 1);
}
