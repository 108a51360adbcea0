//! A workspace in one string: `== path ==` starts a file. Evaluates .star files with what they load, then a package.

#![allow(dead_code, missing_docs, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    Artifact, Configurable, Configuration, ConfiguredTarget, Data, Diagnostics, Label, Package, PackageId, Platform,
    Target, TargetKey,
};
use script::{Analysed, Library, PackageContext, RuleContext, Source, analyse, eval_build, eval_library, loads};

/// Files by label: `//a:b.star`, `@rules//x:y.star`.
pub struct Workspace {
    files: BTreeMap<String, String>,
}

/// The folder of a package: its files, given by the workspace's BUILD.star siblings.
pub struct Folder(pub Vec<String>);

impl PackageContext for Folder {
    fn glob(&self, include: &[String], exclude: &[String], _: bool) -> Result<Vec<String>, String> {
        let ending = |pattern: &String| pattern.trim_start_matches('*').to_owned();
        let matches = |patterns: &[String], file: &String| patterns.iter().any(|p| file.ends_with(&ending(p)));
        if include.iter().any(|pattern| pattern.starts_with('/')) {
            return Err("a pattern cannot start with `/`".into());
        }
        Ok(self.0.iter().filter(|file| matches(include, file) && !matches(exclude, file)).cloned().collect())
    }

    fn subpackages(&self, _: &[String], _: &[String]) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

impl Workspace {
    pub fn new(text: &str) -> Self {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(path) = line.strip_prefix("== ").and_then(|line| line.strip_suffix(" ==")) {
                current = path.to_owned();
                files.insert(current.clone(), String::new());
            } else if let Some(text) = files.get_mut(&current) {
                text.push_str(line);
                text.push('\n');
            }
        }
        Self { files }
    }

    /// Puts a text before a file's.
    pub fn prepend(mut self, path: &str, text: &str) -> Self {
        if let Some(file) = self.files.get_mut(path) {
            file.insert_str(0, text);
        }
        self
    }

    /// `a/b.star` or `@rules//a/b.star` as a source.
    pub fn source(&self, path: &str) -> Source {
        let (repository, inner) = match path.strip_prefix('@').and_then(|rest| rest.split_once("//")) {
            Some((repository, inner)) => (repository, inner),
            None => ("", path),
        };
        let (folder, name) = inner.rsplit_once('/').unwrap_or(("", inner));
        let label = PackageId::new(repository, folder).unwrap().label(name).unwrap();
        Source { label, path: Arc::from(path), text: Arc::from(self.files[path].as_str()) }
    }

    fn loaded(&self, source: &Source) -> Result<BTreeMap<String, Library>, Diagnostics> {
        let mut loaded = BTreeMap::new();
        for (text, _) in loads(source)? {
            let label = Label::parse(&text, source.label.package()).unwrap();
            let folder = label.package();
            let prefix =
                if label.repository().is_empty() { String::new() } else { format!("@{}//", label.repository()) };
            let path = if folder.path().is_empty() {
                label.name().to_owned()
            } else {
                format!("{}/{}", folder.path(), label.name())
            };
            loaded.insert(text, self.library(&format!("{prefix}{path}"))?);
        }
        Ok(loaded)
    }

    pub fn library(&self, path: &str) -> Result<Library, Diagnostics> {
        let source = self.source(path);
        eval_library(&source, &self.loaded(&source)?)
    }

    /// Evaluates `BUILD.star` of a folder; `prelude.star` at the root is the prelude if it is there.
    pub fn package(&self, folder: &str) -> Result<Package, Diagnostics> {
        let path = if folder.is_empty() { "BUILD.star".to_owned() } else { format!("{folder}/BUILD.star") };
        let source = self.source(&path);
        let prelude = match self.files.contains_key("prelude.star") {
            true => Some(self.library("prelude.star")?),
            false => None,
        };
        let id = PackageId::new("", folder).unwrap();
        let context = Folder(vec!["a.go".into(), "b.go".into(), "b_test.go".into(), "c.txt".into()]);
        eval_build(&source, &self.loaded(&source)?, prelude.as_ref(), &id, &context)
    }

    /// The errors of a package as text.
    pub fn errors(&self, folder: &str) -> String {
        match self.package(folder) {
            Ok(_) => "no errors".to_owned(),
            Err(errors) => errors.to_string(),
        }
    }

    /// Analyses a target of the root package with its dependencies, all for linux-amd64; selects take their default.
    pub fn analyse(&self, name: &str) -> Result<Analysed, Diagnostics> {
        let package = self.package("")?;
        self.analyse_in(&package, name)
    }

    fn analyse_in(&self, package: &Package, name: &str) -> Result<Analysed, Diagnostics> {
        let target = &package.targets[name];
        let file = &target.rule.file;
        let prefix = if file.repository().is_empty() { String::new() } else { format!("@{}//", file.repository()) };
        let folder = file.package().path();
        let slash = if folder.is_empty() { "" } else { "/" };
        let library = self.library(&format!("{prefix}{folder}{slash}{}", file.name()))?;
        let schema = library.rule(&target.rule.name).unwrap();
        let attributes: BTreeMap<Arc<str>, Data> =
            target.attributes.iter().map(|(name, value)| (Arc::clone(name), resolve(value))).collect();
        let mut dependencies = BTreeMap::new();
        for (name, data) in &attributes {
            if !schema.attributes[name].kind.is_label() {
                continue;
            }
            let mut labels = Vec::new();
            data.for_each_label(&mut |label| labels.push(label.clone()));
            for label in labels {
                let dependency = match package.targets.get(label.name()) {
                    Some(target) => self.configured(package, target)?,
                    None => ConfiguredTarget::source(&Artifact::source(&label)),
                };
                dependencies.insert((Arc::clone(name), label), Arc::new(dependency));
            }
        }
        let configuration = configuration();
        let context = RuleContext {
            target,
            schema: &schema,
            configuration: &configuration,
            exec_platform: &configuration.platform,
            attributes: &attributes,
            dependencies: &dependencies,
        };
        analyse(&library, &target.rule.name, &context)
    }

    fn configured(&self, package: &Package, target: &Target) -> Result<ConfiguredTarget, Diagnostics> {
        let analysed = self.analyse_in(package, target.label.name())?;
        let key = TargetKey { label: target.label.clone(), configuration: Some(Arc::new(configuration())) };
        let providers = analysed.providers.into_iter().map(|provider| (provider.id.clone(), provider)).collect();
        Ok(ConfiguredTarget { key, kind: Arc::clone(&target.rule.name), providers })
    }

    pub fn analysis_errors(&self, name: &str) -> String {
        match self.analyse(name) {
            Ok(_) => "no errors".to_owned(),
            Err(errors) => errors.to_string(),
        }
    }
}

fn resolve(value: &Configurable) -> Data {
    match value {
        Configurable::Plain(data) => data.clone(),
        Configurable::Sum(parts) => {
            let mut all = Vec::new();
            for part in parts {
                let data = match part {
                    model::Part::Plain(data) => Some(data),
                    model::Part::Select(select) => select.default.as_ref(),
                };
                all.extend(data.and_then(Data::as_list).unwrap_or_default().iter().cloned());
            }
            Data::List(Arc::from(all))
        }
    }
}

fn configuration() -> Configuration {
    Configuration::new(Platform { os: Arc::from("linux"), arch: Arc::from("amd64") })
}
