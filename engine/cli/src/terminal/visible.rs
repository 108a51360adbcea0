//! What may reach a terminal. Logs of actions, words of servers, names in BUILD.star files: each may hold sequences that
//! move the cursor, change the title, or fill the clipboard.
//!
//! Everything that is printed comes by here. Colours pass, as compilers use them, where colours are wanted at all; whatever
//! else a terminal would obey is shown as a sign.

use std::borrow::Cow;

use model::printable;

const BEGIN: &str = "\u{1b}[";

/// The text with colours or without, and nothing else that a terminal obeys.
pub fn visible(text: &str, colour: bool) -> Cow<'_, str> {
    if !text.contains(['\u{1b}', '\r']) {
        return printable(text);
    }
    let text = text.replace("\r\n", "\n");
    let (mut shown, mut rest, mut open) = (String::with_capacity(text.len()), text.as_str(), false);
    while let Some(at) = rest.find(BEGIN) {
        shown.push_str(&printable(&rest[..at]));
        let after = &rest[at + BEGIN.len()..];
        let end = after.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(after.len());
        if !after[end..].starts_with('m') || !is_colour(&after[..end]) {
            shown.push_str(&printable(&rest[at..=at]));
            rest = &rest[at + 1..];
            continue;
        }
        if colour {
            shown.push_str(&rest[at..=at + BEGIN.len() + end]);
            open = !matches!(&after[..end], "" | "0");
        }
        rest = &after[end + 1..];
    }
    shown.push_str(&printable(rest));
    if open {
        shown.push_str("\u{1b}[0m");
    }
    Cow::Owned(shown)
}

/// Whether these parameters of a sequence set colours and type; not, above all, that text is hidden (8).
fn is_colour(parameters: &str) -> bool {
    let mut numbers = parameters.split(';').map(|number| if number.is_empty() { Some(0) } else { number.parse().ok() });
    while let Some(number) = numbers.next() {
        let known = match number {
            // A colour by number, or by its parts.
            Some(38 | 48) => match numbers.next() {
                Some(Some(5)) => matches!(numbers.next(), Some(Some(0..=255))),
                Some(Some(2)) => (0..3).all(|_| matches!(numbers.next(), Some(Some(0..=255)))),
                _ => false,
            },
            Some(0..=7 | 9 | 21..=29 | 30..=37 | 39..=47 | 49 | 90..=97 | 100..=107) => true,
            _ => false,
        };
        if !known {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_pass_where_they_are_wanted_and_end_with_the_text() {
        for (text, coloured, plain) in [
            ("\u{1b}[1;31merror\u{1b}[0m: x", "\u{1b}[1;31merror\u{1b}[0m: x", "error: x"),
            ("\u{1b}[31mred", "\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[mx\u{1b}[m", "\u{1b}[mx\u{1b}[m", "x"),
            ("\u{1b}[38;5;8mx\u{1b}[0m", "\u{1b}[38;5;8mx\u{1b}[0m", "x"),
            ("\u{1b}[48;2;1;2;3mx\u{1b}[0m", "\u{1b}[48;2;1;2;3mx\u{1b}[0m", "x"),
            ("a\r\nb\n", "a\nb\n", "a\nb\n"),
        ] {
            assert_eq!((&*visible(text, true), &*visible(text, false)), (coloured, plain));
        }
    }

    #[test]
    fn all_else_that_a_terminal_obeys_is_a_sign() {
        for text in [
            "\u{1b}]52;c;cHduZWQ=\u{7}",
            "\u{1b}]0;title\u{1b}\\",
            "\u{1b}[2J",
            "\u{1b}[1;1H",
            "\u{1b}[8mhidden",
            "\u{1b}[38;5mx",
            "\u{1b}[999mx",
            "\u{1b}[?25l",
            "\u{1b}c",
            "\u{1b}[",
            "\u{1b}",
            "\u{1b}P+q\u{1b}\\",
            "ok\rFAILED",
            "\u{9b}2J",
            "a\u{8}\u{8}b",
            "\u{202e}txt",
        ] {
            for colour in [true, false] {
                let shown = visible(text, colour);
                assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}: {shown:?}");
                assert!(
                    shown.contains(|c: char| ('\u{2400}'..='\u{2426}').contains(&c) || c == '\u{fffd}'),
                    "{shown:?}"
                );
            }
        }
    }
}
