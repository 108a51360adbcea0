//! One requirement as PEP 508 writes it: in a lock, and in a wheel's own metadata.

use crate::markers::extra_name;
use crate::pypi::normalised;

/// A requirement, taken apart. Whether its marker holds is asked later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// The normalised name.
    pub name: String,
    pub extras: Vec<String>,
    /// `==1.0`, without spaces around; empty for any version.
    pub versions: String,
    /// The address after `@`.
    pub url: Option<String>,
    pub marker: Option<String>,
}

impl Requirement {
    /// The error says what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let name = normalised(name).map_err(|error| error.to_string())?;
        if name.is_empty() {
            return Err("expected the name of a package".to_owned());
        }
        let mut rest = rest.trim_start();
        let mut extras = Vec::new();
        if let Some(inside) = rest.strip_prefix('[') {
            let (listed, after) = inside.split_once(']').ok_or("the list of extras is not closed")?;
            extras = listed.split(',').map(extra_name).filter(|extra| !extra.is_empty()).collect();
            rest = after.trim_start();
        }
        // In an address a semicolon is part of it, unless a space comes before.
        let (url, rest) = match rest.strip_prefix('@') {
            Some(address) => {
                let address = address.trim_start();
                let end = address.find(char::is_whitespace).unwrap_or(address.len());
                (Some(address[..end].to_owned()), &address[end..])
            }
            None => (None, rest),
        };
        let (versions, marker) = rest.split_once(';').map_or((rest, None), |(before, marker)| (before, Some(marker)));
        let versions = versions.trim();
        let versions = versions.strip_prefix('(').and_then(|inside| inside.strip_suffix(')')).unwrap_or(versions);
        Ok(Self {
            name,
            extras,
            versions: versions.trim().to_owned(),
            url,
            marker: marker.map(|marker| marker.trim().to_owned()).filter(|marker| !marker.is_empty()),
        })
    }
}

/// What the metadata of a wheel requires: its `Requires-Dist` fields. A field that cannot be understood is an error.
pub(crate) fn of_metadata(metadata: &str) -> Result<Vec<Requirement>, String> {
    let mut requirements = Vec::new();
    for line in metadata.lines().take_while(|line| !line.is_empty()) {
        let Some((field, value)) = line.split_once(':') else { continue };
        if field.eq_ignore_ascii_case("requires-dist") {
            let requirement = Requirement::parse(value).map_err(|reason| format!("`{}`: {reason}", value.trim()))?;
            requirements.push(requirement);
        }
    }
    Ok(requirements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let shown = |text: &str| {
            let it = Requirement::parse(text).unwrap();
            format!("{} {:?} {} {:?} {:?}", it.name, it.extras, it.versions, it.url, it.marker)
        };
        assert_eq!(shown("A_b==1.0"), "a-b [] ==1.0 None None");
        assert_eq!(shown("a (>=1.0,<2)"), "a [] >=1.0,<2 None None");
        assert_eq!(shown("a[X_y, z] ~= 1 ; os_name == 'x'"), "a [\"x-y\", \"z\"] ~= 1 None Some(\"os_name == 'x'\")");
        assert_eq!(shown("a; extra == \"b\""), "a []  None Some(\"extra == \\\"b\\\"\")");
        assert_eq!(shown("a @ https://h/a;b.whl ; x"), "a []  Some(\"https://h/a;b.whl\") Some(\"x\")");
        assert!(Requirement::parse("==1").is_err() && Requirement::parse("a[b").is_err());
    }

    #[test]
    fn metadata() {
        let text =
            "Name: x\nRequires-Dist: b>=1; extra == 'c'\nRequires-Dist: D\n\nRequires-Dist: in-the-description\n";
        let names: Vec<String> = of_metadata(text).unwrap().into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["b", "d"]);
        assert_eq!(of_metadata("Requires-Dist: (\n"), Err("`(`: expected the name of a package".to_owned()));
    }
}
