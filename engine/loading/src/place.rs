//! Where in a BUILD.star a target names a label: the text of the rule's call is searched for a string that means it.
//!
//! Targets keep only the place of the call; errors about one dependency among many want the place of its string.

use model::{Label, Location, PackageId, Target};

use crate::loader::Loader;

impl Loader {
    /// The place of the string in the target's declaration that names the label; the declaration's own place when there
    /// is none, as when a macro or a default names it.
    pub fn place_of(&self, target: &Target, label: &Label) -> Option<Location> {
        let declared = target.location.as_ref()?;
        let found = self.text_of(&declared.file).and_then(|text| find(&text, declared, label, target.label.package()));
        Some(found.unwrap_or_else(|| declared.clone()))
    }
}

/// Looks through the strings of the call that starts at `declared`, up to the parenthesis that closes it.
fn find(text: &str, declared: &Location, label: &Label, package: &PackageId) -> Option<Location> {
    let first = (declared.line as usize).saturating_sub(1);
    let mut depth = 0_usize;
    for (index, line) in text.lines().enumerate().skip(first) {
        let characters: Vec<char> = line.chars().collect();
        let mut at = if index == first { (declared.column as usize).saturating_sub(1) } else { 0 };
        while let Some(c) = characters.get(at).copied() {
            at += 1;
            match c {
                '#' => break,
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return None;
                    }
                }
                '"' | '\'' => {
                    let length = string_length(&characters[at..], c)?;
                    let string: String = characters[at..at + length].iter().collect();
                    let is_name = characters[..at - 1].iter().collect::<String>().trim_end().ends_with("name =");
                    if !is_name && Label::parse(&string, package).is_ok_and(|named| named == *label) {
                        let column = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
                        let file = declared.file.clone();
                        let line = column(index + 1);
                        return Some(Location { file, line, column: column(at), end_column: column(at + length + 2) });
                    }
                    at += length + 1;
                }
                _ => {}
            }
        }
    }
    None
}

/// The characters before the closing quote. Strings over several lines name no labels: the search ends there.
fn string_length(rest: &[char], quote: char) -> Option<usize> {
    let mut at = 0;
    while let Some(c) = rest.get(at) {
        match c {
            '\\' => at += 2,
            c if *c == quote => return Some(at),
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_string_that_means_the_label_is_found() {
        let text = r#"x(name = "a")
y(
    name = "b",  # "//p:c"
    deps = [
        ":c",
        '//q',
    ],
)
z("//r")
"#;
        let package = PackageId::new("", "p").unwrap();
        let declared = Location { file: "p/BUILD.star".into(), line: 2, column: 1, end_column: 2 };
        let place =
            |label: &str| find(text, &declared, &Label::absolute(label).unwrap(), &package).map(|p| p.to_string());
        assert_eq!(place("//p:c").unwrap(), "p/BUILD.star:5:9");
        assert_eq!(place("//q:q").unwrap(), "p/BUILD.star:6:9");
        assert_eq!(place("//r:r"), None);
        assert_eq!(place("//p:a"), None);
        assert_eq!(place("//p:b"), None);
    }
}
