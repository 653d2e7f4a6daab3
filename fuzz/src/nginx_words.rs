//! The words of a configuration of nginx: what is read, written with quotation marks, reads the same.

use nginx_conf::words::{Token, read};

/// A word in quotation marks, as nginx reads it back: only these two characters need a backslash there.
fn quoted(word: &str, mark: char) -> String {
    let mut written = String::from(mark);
    for character in word.chars() {
        if character == mark || character == '\\' {
            written.push('\\');
        }
        written.push(character);
    }
    written.push(mark);
    written
}

pub(crate) fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(tokens) = read(&text) else { return };
    let mut line = 1;
    let mut written = String::new();
    for (token, at) in &tokens {
        assert!(
            *at >= line && *at <= 1 + text.matches('\n').count(),
            "lines only grow"
        );
        line = *at;
        written.push(' ');
        match token {
            Token::Word(word) => {
                let mark = if word.len() % 2 == 0 { '"' } else { '\'' };
                written.push_str(&quoted(word, mark));
            }
            Token::Semicolon => written.push(';'),
            Token::Open => written.push('{'),
            Token::Close => written.push('}'),
        }
    }
    let again = read(&written).unwrap_or_else(|why| panic!("{why:?} in {written}"));
    let kinds = |tokens: &[(Token, usize)]| tokens.iter().map(|(token, _)| token.clone()).collect::<Vec<_>>();
    assert_eq!(kinds(&again), kinds(&tokens));
}
