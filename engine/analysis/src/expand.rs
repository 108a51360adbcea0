//! `$(location x)` in the `args` and `env` of what is run and tested: the paths of dependencies' files.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Artifact, ConfiguredTarget, Data, Diagnostic, Label, Target};

/// The dependencies of a target by attribute and label.
pub(crate) type Dependencies = BTreeMap<(Arc<str>, Label), Arc<ConfiguredTarget>>;

/// The attribute's value with locations expanded in its texts.
pub(crate) fn expand(data: &Data, target: &Target, dependencies: &Dependencies) -> Result<Data, Diagnostic> {
    Ok(match data {
        Data::Str(text) if text.contains("$(") => Data::Str(Arc::from(expand_text(text, target, dependencies)?)),
        Data::List(list) => {
            Data::List(list.iter().map(|data| expand(data, target, dependencies)).collect::<Result<_, _>>()?)
        }
        Data::Dict(pairs) => {
            let pair = |(key, value): &(Data, Data)| Ok((key.clone(), expand(value, target, dependencies)?));
            Data::Dict(pairs.iter().map(pair).collect::<Result<_, Diagnostic>>()?)
        }
        other => other.clone(),
    })
}

fn expand_text(text: &str, target: &Target, dependencies: &Dependencies) -> Result<String, Diagnostic> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("$(") {
        expanded.push_str(&rest[..at]);
        let inside = &rest[at + 2..];
        let end = inside.find(')').ok_or_else(|| Diagnostic::error(format!("`$(` is never closed in `{text}`")))?;
        expanded.push_str(&expand_call(&inside[..end], target, dependencies)?);
        rest = &inside[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn expand_call(call: &str, target: &Target, dependencies: &Dependencies) -> Result<String, Diagnostic> {
    let (function, name) = call.split_once(' ').unwrap_or((call, ""));
    let several = matches!(function, "locations" | "execpaths" | "rootpaths");
    if !several && !matches!(function, "location" | "execpath" | "rootpath") {
        return Err(Diagnostic::error(format!("`$({call})` is not known in {}", target.label))
            .hint("$(location :x) is the path of a file"));
    }
    let label = Label::parse(name.trim(), target.label.package()).map_err(|e| Diagnostic::error(e.to_string()))?;
    let found = dependencies.iter().find(|((_, named), _)| *named == label);
    let Some((_, dependency)) = found else {
        return Err(Diagnostic::error(format!("`$({call})`: {label} is no dependency of {}", target.label))
            .hint(format!("add \"{label}\" to `data`")));
    };
    let info = dependency.default_info();
    let paths: Vec<String> = match (&info.executable, several) {
        (Some(executable), false) => vec![executable.callable_path()],
        _ => info.files.to_list().iter().filter_map(Data::as_file).map(Artifact::callable_path).collect(),
    };
    if !several && paths.len() != 1 {
        let message = format!("`$({call})`: {label} has {} files", paths.len());
        return Err(Diagnostic::error(message).hint(format!("$(locations {name}) gives all of them")));
    }
    Ok(paths.join(" "))
}
