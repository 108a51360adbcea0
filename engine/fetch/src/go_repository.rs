//! The repository of the modules that a go.mod requires: which module has a package, and whether go.mod and go.sum are
//! complete, as `go build -mod=readonly` demands.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use model::{Digest, RelPath, Tree, TreeEntry};
use sha2::{Digest as _, Sha256};
use store::Store;

use crate::error::FetchError;
use crate::go_mod::{self, GoMod, Whose};
use crate::params::GoModule;
use crate::starlark::{self, Call};
use crate::transport::hex;
use crate::{go_module, go_source};

/// A go.mod with its go.sum.
pub(crate) struct GoRepository {
    /// Without `@`.
    pub name: String,
    /// The folder of go.mod; `None` if it is not the workspace's.
    pub folder: Option<String>,
    /// The release of the toolchain's Go, by which files are chosen.
    pub release: u32,
    pub modules: GoMod,
    pub mod_file: String,
    pub sums: BTreeMap<(String, String), String>,
    pub sum_file: String,
}

/// A module that is in the store.
pub(crate) struct Module {
    pub digest: Digest,
    pub tree: Tree,
    pub go_mod: GoMod,
    /// The hash of its go.mod, as in go.sum.
    mod_sum: String,
}

impl Module {
    pub(crate) fn read(params: &GoModule, digest: Digest, store: &Store) -> Result<Self, FetchError> {
        let tree = store.tree(&digest)?;
        let text = match tree.entries.get(&RelPath::new("go.mod").expect("a plain name is a path")) {
            Some(TreeEntry::File { digest, .. }) => String::from_utf8_lossy(&store.read(digest)?).into_owned(),
            // What the proxies' protocol says of a module without one.
            _ => format!("module {}\n", params.package),
        };
        let go_mod = go_mod::parse_mod("go.mod", &text, Whose::Dependency)?;
        let mod_sum = go_module::h1(vec![("go.mod".to_owned(), hex(&Sha256::digest(text.as_bytes())))]);
        Ok(Self { digest, tree, go_mod, mod_sum })
    }
}

impl GoRepository {
    /// The modules that may have a package, the best first: a package is in the one with the longest path.
    pub(crate) fn candidates<'a>(&'a self, importpath: &'a str) -> Vec<(&'a str, &'a str, &'a str)> {
        let holds = |(module, version): (&'a String, &'a String)| {
            Some((module.as_str(), version.as_str(), folder_in(module, importpath)?))
        };
        let mut candidates: Vec<_> = self.modules.requires.iter().filter_map(holds).collect();
        candidates.sort_by_key(|(module, ..)| Reverse(module.len()));
        candidates
    }

    /// Why no module has a package.
    pub(crate) fn without_module(&self, importpath: &str) -> FetchError {
        let listed = go_source::release(&self.modules.go) >= 17;
        let hint = match listed {
            true => format!("type `go get {importpath}` or `go mod tidy` to add its module to go.mod and go.sum"),
            false => format!(
                "with `go {}`, go.mod does not list what dependencies need: type `go mod tidy -go=1.17`, or name a newer \
                 version",
                self.modules.go
            ),
        };
        FetchError::Package {
            package: format!("@{}//{importpath}", self.name),
            reason: format!("no module that {} requires holds this import path", self.mod_file),
            hint: Some(hint),
        }
    }

    /// How to fetch a module.
    pub(crate) fn params(&self, module: &str, version: &str) -> Result<GoModule, FetchError> {
        let h1 = self.sum(module, version, version, "")?;
        let (package, version) = (module.to_owned(), version.to_owned());
        Ok(GoModule { package, version, h1: h1.to_owned(), sha256: None, exclude: Vec::new() })
    }

    fn sum(&self, module: &str, version: &str, entry: &str, of: &str) -> Result<&str, FetchError> {
        let sum = self.sums.get(&(module.to_owned(), entry.to_owned()));
        sum.map(String::as_str).ok_or_else(|| {
            let reason =
                format!("no hash for {of}`{module} {version}`; type `go mod download {module}@{version}` to add it");
            FetchError::lock(&self.sum_file, None, reason)
        })
    }

    /// What `go build` checks of a module of which it loads a package.
    pub(crate) fn check(&self, params: &GoModule, module: &Module) -> Result<(), FetchError> {
        let (name, version) = (&params.package, &params.version);
        let sum = self.sum(name, version, &format!("{version}/go.mod"), "the go.mod of ")?;
        if sum != module.mod_sum {
            let reason = format!("the go.mod of `{name} {version}` has the hash {}, not {sum}", module.mod_sum);
            return Err(FetchError::lock(&self.sum_file, None, reason));
        }
        match go_mod::unmet(&self.modules, &module.go_mod) {
            None => Ok(()),
            Some((needed, wanted, listed)) => {
                let reason = format!(
                    "`{name} {version}` requires `{needed} {wanted}`, which is newer than the {listed} that is required \
                     here; type `go mod tidy`, or `go get {needed}@{wanted}`"
                );
                Err(FetchError::lock(&self.mod_file, None, reason))
            }
        }
    }

    /// The rules that fetch modules, for the root package.
    pub(crate) fn archives(&self) -> String {
        let call = |(module, version): (&String, &String)| {
            let params = self.params(module, version).ok()?;
            let mut call = Call::new("go_module");
            call.text("name", &module_target(module, version)).text("module", module).text("version", version);
            call.text("h1", &params.h1);
            Some(format!("\n{}", call.finish()))
        };
        self.modules.requires.iter().filter_map(call).collect()
    }
}

/// What go.mod files say of the workspace's own packages, for the root package of each repository of theirs.
pub(crate) fn settings<'a>(repositories: impl Iterator<Item = &'a GoRepository>) -> String {
    let (mut paths, mut versions, mut names) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut godebug = BTreeMap::new();
    for repository in repositories {
        let Some(folder) = &repository.folder else { continue };
        if paths.contains_key(folder) {
            continue;
        }
        paths.insert(folder.clone(), repository.modules.module.clone());
        versions.insert(folder.clone(), repository.modules.go.clone());
        names.insert(folder.clone(), repository.name.clone());
        godebug.insert(folder.clone(), repository.modules.godebug.clone());
    }
    let mut call = Call::new("go_settings");
    call.text("name", SETTINGS)
        .value("paths", starlark::dict(&paths))
        .value("versions", starlark::dict(&versions))
        .value("repositories", starlark::dict(&names))
        .value("godebug", starlark::dict_of_lists(&godebug));
    format!("\n{}", call.finish())
}

/// The target of the settings in the root package.
const SETTINGS: &str = "settings";

/// The name of a module's tree in the root package. The version keeps the trees of nested modules apart.
pub(crate) fn module_target(module: &str, version: &str) -> String {
    format!("modules/{module}@{version}")
}

/// The folder of `importpath` in `module`; `None` if it is not below it.
fn folder_in<'a>(module: &str, importpath: &'a str) -> Option<&'a str> {
    let rest = importpath.strip_prefix(module)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}
