//! Whether a dependency may be one: visibility, providers, files.

use std::sync::Arc;

use loading::{Loader, Node};
use model::{
    Artifact, AttributeSchema, Configurable, ConfiguredTarget, Data, Diagnostic, Diagnostics, Label, RuleSchema,
    Target, Visibility,
};

use crate::discover::Edge;
use crate::select::core_rule;

/// Whether `target` may depend on `to`, which its attribute names as `written`.
pub(crate) fn check_visibility(
    loader: &Loader,
    target: &Target,
    attribute: &Arc<str>,
    written: &Label,
    to: &Label,
) -> Result<(), Diagnostics> {
    // WORKSPACE.star speaks for the whole workspace: what it names as a toolchain may be used by all.
    if written.repository() == "toolchains" && written != to {
        return Ok(());
    }
    // As in Bazel, a suite may name tests that nobody else may depend on.
    if core_rule(target) == Some("test_suite") && &**attribute == "tests" {
        return Ok(());
    }
    let (owner, visibility, location) = match loader.node(to)? {
        Node::SourceFile(_) => (to.clone(), loader.file_visibility(to)?, None),
        Node::Target(dependency, _) => (to.clone(), dependency.visibility.clone(), dependency.location.clone()),
        Node::OutputFile { generator, .. } => match loader.node(&generator)? {
            Node::Target(dependency, _) => (generator, dependency.visibility.clone(), dependency.location.clone()),
            _ => return Ok(()),
        },
    };
    let mut from = vec![target.label.package()];
    // What a rule itself names by default is seen from where the rule is defined.
    if !target.explicit.contains(attribute) {
        from.push(target.rule.file.package());
        if target.rule.file.repository() == to.repository() && !to.repository().is_empty() {
            return Ok(());
        }
    }
    if from.iter().any(|package| visibility.allows(to.package(), package)) {
        return Ok(());
    }
    let is_file = owner == *to && location.is_none() && matches!(loader.node(to)?, Node::SourceFile(_));
    let entry = format!("{}:__pkg__", target.label.package());
    let diagnostic = Diagnostic::error(format!("{to} is not visible to {}", target.label))
        .note(format!("`{attribute}` of {} names it", target.label));
    let diagnostic = if is_file {
        let name = to.name();
        diagnostic
            .note("a source file is visible to its own package, unless it is exported")
            .hint(format!("in {}: exports_files([\"{name}\"], visibility = [\"{entry}\"])", to.package()))
    } else {
        let place = location.map(|location| format!(" ({location})")).unwrap_or_default();
        diagnostic
            .note(format!("visibility of {owner}{place}: {}", describe(&visibility)))
            .hint(format!("add \"{entry}\" to `visibility` of {owner}"))
    };
    Err(loader.locate(diagnostic, loader.place_of(target, written).as_ref()).into())
}

/// Whether `target` may depend on `to` although only tests may: only if it is for tests itself.
pub(crate) fn check_testonly(
    loader: &Loader,
    target: &Target,
    (name, attribute): (&Arc<str>, &AttributeSchema),
    written: &Label,
    to: &Label,
) -> Result<(), Diagnostics> {
    if attribute.allow_testonly || is_testonly(target) {
        return Ok(());
    }
    let dependency = match loader.node(to)? {
        Node::Target(dependency, _) => dependency,
        Node::OutputFile { generator, .. } => match loader.node(&generator)? {
            Node::Target(dependency, _) => dependency,
            _ => return Ok(()),
        },
        Node::SourceFile(_) => return Ok(()),
    };
    if !is_testonly(&dependency) {
        return Ok(());
    }
    let diagnostic = Diagnostic::error(format!("{to} is for tests only, and {} is not", target.label))
        .note(format!("`{name}` of {} names it; {} has `testonly = True`", target.label, dependency.label))
        .hint(format!("set `testonly = True` on {}, or depend on something else", target.label));
    Err(loader.locate(diagnostic, loader.place_of(target, written).as_ref()).into())
}

fn is_testonly(target: &Target) -> bool {
    target.attributes.get("testonly").and_then(Configurable::plain).and_then(Data::as_bool) == Some(true)
}

fn describe(visibility: &Visibility) -> String {
    match visibility {
        Visibility::Public => "[\"//visibility:public\"]".to_owned(),
        Visibility::Private => "[\"//visibility:private\"]".to_owned(),
        Visibility::Packages(entries) => {
            let entries = entries.iter().map(|entry| {
                let name = if entry.subpackages { "__subpackages__" } else { "__pkg__" };
                format!("\"{}:{name}\"", entry.package.package())
            });
            format!("[{}]", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Checks what a dependency gives against what the attribute demands.
pub(crate) fn check_dependency(
    loader: &Loader,
    target: &Target,
    schema: &RuleSchema,
    edge: &Edge,
    dependency: &ConfiguredTarget,
) -> Result<(), Diagnostics> {
    let Some(attribute) = schema.attributes.get(&edge.attribute) else { return Ok(()) };
    match fault(attribute, edge, dependency) {
        None => Ok(()),
        Some((message, expected)) => {
            let message = format!("{message} (`{}` of {})", edge.attribute, target.label);
            let mut diagnostic = Diagnostic::error(message).note(expected);
            if !attribute.doc.is_empty() {
                diagnostic = diagnostic.note(format!("`{}`: {}", edge.attribute, attribute.doc));
            }
            Err(loader.locate(diagnostic, loader.place_of(target, &edge.label).as_ref()).into())
        }
    }
}

/// What is wrong, and what was expected.
fn fault(attribute: &AttributeSchema, edge: &Edge, dependency: &ConfiguredTarget) -> Option<(String, String)> {
    let label = &edge.label;
    let is_file = matches!(&*dependency.kind, "source file" | "generated file");
    if is_file && !attribute.files.allowed {
        return Some((format!("{label} is a file"), "expected a target, not a file".to_owned()));
    }
    if !is_file && !attribute.providers.is_empty() && !has_providers(attribute, dependency) {
        return Some((format!("{label} is a {}", dependency.kind), expected_providers(attribute)));
    }
    file_fault(attribute, label, is_file, dependency).or_else(|| {
        let source = is_file && files(dependency).len() == 1;
        let missing = attribute.executable && !source && dependency.default_info().executable.is_none();
        missing.then(|| (format!("{label} cannot be run"), "expected an executable target".to_owned()))
    })
}

fn file_fault(
    attribute: &AttributeSchema,
    label: &Label,
    is_file: bool,
    dependency: &ConfiguredTarget,
) -> Option<(String, String)> {
    let filter = &attribute.files;
    let unfiltered = filter.extensions.is_empty() || (!is_file && !attribute.providers.is_empty());
    if unfiltered && !filter.single {
        return None;
    }
    let files = files(dependency);
    if filter.single && files.len() != 1 {
        let message = format!("{label} has {} files", files.len());
        return Some((message, "expected exactly one file".to_owned()));
    }
    let fits = |file: &Artifact| {
        file.is_tree() || filter.extensions.iter().any(|extension| file.path().as_str().ends_with(&**extension))
    };
    if unfiltered || files.is_empty() || files.iter().any(fits) {
        return None;
    }
    let extensions: Vec<&str> = filter.extensions.iter().map(|extension| &**extension).collect();
    let message = if is_file { format!("{label} has the wrong type") } else { format!("{label} makes no such file") };
    Some((message, format!("expected {}", extensions.join(", "))))
}

fn files(dependency: &ConfiguredTarget) -> Vec<Artifact> {
    dependency.default_info().files.to_list().iter().filter_map(Data::as_file).cloned().collect()
}

fn has_providers(attribute: &AttributeSchema, dependency: &ConfiguredTarget) -> bool {
    attribute.providers.iter().any(|all| all.iter().all(|id| dependency.providers.contains_key(id)))
}

fn expected_providers(attribute: &AttributeSchema) -> String {
    let sets: Vec<String> = attribute
        .providers
        .iter()
        .map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "))
        .collect();
    format!("expected a target that provides {}", sets.join(", or "))
}
