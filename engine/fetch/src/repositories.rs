//! External repositories: from the lockfiles that WORKSPACE.star names to the BUILD.star of each package.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{KeyBuilder, Label, PackageId, Reporter, RepositoryDecl, Tree};
use store::Store;

use crate::archive::Limits;
use crate::debian_lock::{self, LockedDeb};
use crate::endpoints::Endpoints;
use crate::error::FetchError;
use crate::go_mod::{self, GoMod};
use crate::go_package::{self, GoPackage};
use crate::params::{GoModule, Params};
use crate::pip_lock::{self, LockedWheel};
use crate::run::{self, Context};
use crate::starlark::{self, Call};

const PUBLIC: &str = "package(default_visibility = [\"//visibility:public\"])\n";

/// The Python that wheels are chosen for: that of the pinned toolchain.
const PYTHON: &str = "3.11";

/// The external repositories of a workspace.
pub struct Repositories {
    repositories: BTreeMap<String, Repository>,
    trees: Mutex<BTreeMap<String, Arc<Tree>>>,
    store: Store,
    endpoints: Arc<Endpoints>,
    reporter: Arc<dyn Reporter>,
}

enum Repository {
    Go { modules: GoMod, sums: BTreeMap<(String, String), String>, sum_file: String },
    Pip(BTreeMap<String, LockedWheel>),
    Debian(BTreeMap<String, LockedDeb>),
}

impl Repositories {
    /// Reads the lockfiles through `read`, which gives the text of a file of the workspace.
    pub fn new(
        declared: &[RepositoryDecl],
        read: &dyn Fn(&Label) -> Result<String, String>,
        store: Store,
        endpoints: Arc<Endpoints>,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Self, FetchError> {
        let mut repositories = BTreeMap::new();
        for decl in declared {
            if let Some(repository) = Repository::read(decl, read)? {
                repositories.insert(decl.name.to_string(), repository);
            }
        }
        Ok(Self { repositories, trees: Mutex::default(), store, endpoints, reporter })
    }

    /// The names, without `@`.
    pub fn names(&self) -> Vec<String> {
        self.repositories.keys().cloned().collect()
    }

    /// The text of a package's BUILD.star; `None` if there is no such package. Go modules are downloaded to know it.
    pub fn build_file(&self, package: &PackageId) -> Result<Option<String>, FetchError> {
        match self.repositories.get(package.repository()) {
            None => Ok(None),
            Some(Repository::Go { modules, sums, sum_file }) if package.path().is_empty() => {
                let text = modules
                    .requires
                    .iter()
                    .filter_map(|(module, version)| go_archive(module, version, sums, sum_file).ok());
                Ok(Some(archives("go_module", text)))
            }
            Some(Repository::Go { modules, sums, sum_file }) => self.go_package(package, modules, sums, sum_file),
            Some(Repository::Pip(wheels)) => {
                Ok(wheels.get(package.path()).map(|wheel| pip_package(package.repository(), package.path(), wheel)))
            }
            Some(Repository::Debian(packages)) if package.path().is_empty() => {
                Ok(Some(archives("deb", packages.values().map(debian_archive))))
            }
            Some(Repository::Debian(_)) => Ok(None),
        }
    }

    /// The paths of a repository's packages, as far as its lockfile tells them.
    pub fn packages(&self, repository: &str) -> Result<Vec<String>, FetchError> {
        Ok(match self.repositories.get(repository) {
            None => Vec::new(),
            Some(Repository::Go { modules, .. }) => modules.requires.keys().cloned().collect(),
            Some(Repository::Pip(wheels)) => wheels.keys().cloned().collect(),
            Some(Repository::Debian(_)) => vec![String::new()],
        })
    }

    /// A package is in the module with the longest path that holds its folder.
    fn go_package(
        &self,
        package: &PackageId,
        modules: &GoMod,
        sums: &BTreeMap<(String, String), String>,
        sum_file: &str,
    ) -> Result<Option<String>, FetchError> {
        let importpath = package.path();
        let mut candidates: Vec<(&String, &String)> =
            modules.requires.iter().filter(|(module, _)| folder_in(module, importpath).is_some()).collect();
        candidates.sort_by_key(|(module, _)| std::cmp::Reverse(module.len()));
        if candidates.is_empty() {
            return Err(FetchError::Package {
                package: package.to_string(),
                reason: "no module that go.mod requires holds this import path".to_owned(),
                hint: Some(format!("type `go get {importpath}` to add its module to go.mod and go.sum")),
            });
        }
        for (module, version) in candidates {
            let params = go_params(module, version, sums, sum_file)?;
            let folder = folder_in(module, importpath).unwrap_or("");
            if let Some(text) = self.describe(package, &params, folder, release(&modules.go))? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    fn describe(
        &self,
        package: &PackageId,
        params: &GoModule,
        folder: &str,
        release: u32,
    ) -> Result<Option<String>, FetchError> {
        let (digest, tree) = self.tree(params)?;
        let key = KeyBuilder::new("go_package", go_package::VERSION)
            .digest(&digest)
            .text(package.repository())
            .text(package.path())
            .text(&params.version)
            .number(u64::from(release))
            .finish();
        if let Some(known) = self.store.memo_get(&key)? {
            let text = String::from_utf8_lossy(&known).into_owned();
            return Ok(Some(text).filter(|text| !text.is_empty()));
        }
        let go = match tree.entries.get(&model::RelPath::new("go.mod").expect("a plain name is a path")) {
            Some(model::TreeEntry::File { digest, .. }) => {
                let text = self.store.read(digest)?;
                language_of(&String::from_utf8_lossy(&text))
            }
            _ => language_of(""),
        };
        let module = format!("@{}//:{}", package.repository(), module_target(&params.package, &params.version));
        let described = GoPackage {
            repository: package.repository(),
            importpath: package.path(),
            module: &module,
            folder,
            go: &go,
            release,
        };
        let text = go_package::build_file(&described, &tree, &self.store)?;
        self.store.memo_put(&key, text.as_deref().unwrap_or("").as_bytes())?;
        Ok(text)
    }

    fn tree(&self, module: &GoModule) -> Result<(model::Digest, Arc<Tree>), FetchError> {
        let context = Context {
            store: &self.store,
            endpoints: &self.endpoints,
            reporter: &*self.reporter,
            limits: Limits::default(),
        };
        // Held while downloading, so that packages of one module do not each download it.
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        let params = Params::Go(module.clone());
        let digest = run::tree(&params, &context)?;
        if let Some(tree) = trees.get(&digest.to_hex()) {
            return Ok((digest, Arc::clone(tree)));
        }
        let tree = Arc::new(self.store.tree(&digest)?);
        trees.insert(digest.to_hex(), Arc::clone(&tree));
        Ok((digest, tree))
    }
}

impl Repository {
    fn read(
        decl: &RepositoryDecl,
        read: &dyn Fn(&Label) -> Result<String, String>,
    ) -> Result<Option<Self>, FetchError> {
        let file = |attribute: &str| {
            let label = decl.attributes.get(attribute).and_then(|data| data.as_label());
            let label = label.ok_or_else(|| {
                let place = decl.location.as_ref().map_or_else(|| "WORKSPACE.star".to_owned(), ToString::to_string);
                FetchError::lock(&place, None, format!("`{}` needs `{attribute} = \"//:<file>\"`", decl.name))
            })?;
            let path = label.exec_path();
            let text = read(label).map_err(|reason| FetchError::lock(&path, None, reason))?;
            Ok::<_, FetchError>((path, text))
        };
        Ok(Some(match &*decl.kind {
            "go_modules" => {
                let (mod_file, mod_text) = file("mod")?;
                let (sum_file, sum_text) = file("sum")?;
                let modules = go_mod::parse_mod(&mod_file, &mod_text)?;
                Self::Go { modules, sums: go_mod::parse_sum(&sum_file, &sum_text)?, sum_file }
            }
            "pip_lock" => {
                let (path, text) = file("lock")?;
                Self::Pip(pip_lock::parse(&path, &text)?)
            }
            "debian_lock" => {
                let (path, text) = file("lock")?;
                Self::Debian(debian_lock::parse(&path, &text)?)
            }
            _ => return Ok(None),
        }))
    }
}

/// The folder of `importpath` in `module`; `None` if it is not below it.
fn folder_in<'a>(module: &str, importpath: &'a str) -> Option<&'a str> {
    let rest = importpath.strip_prefix(module)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

/// `1.26` is the release 26.
fn release(go: &str) -> u32 {
    go.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

/// The language version of a dependency's own go.mod, whose `replace` lines do not count for others.
fn language_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("go ")).collect();
    go_mod::parse_mod("go.mod", &lines.join("\n")).map_or_else(|_| "1.16".to_owned(), |parsed| parsed.go)
}

/// The name of a module's tree in the root package. The version keeps the trees of nested modules apart.
fn module_target(module: &str, version: &str) -> String {
    format!("modules/{module}@{version}")
}

fn go_params(
    module: &str,
    version: &str,
    sums: &BTreeMap<(String, String), String>,
    sum_file: &str,
) -> Result<GoModule, FetchError> {
    let h1 = sums.get(&(module.to_owned(), version.to_owned())).cloned().ok_or_else(|| {
        let reason = format!("no hash for `{module} {version}`; type `go mod download {module}@{version}` to add it");
        FetchError::lock(sum_file, None, reason)
    })?;
    let (package, version) = (module.to_owned(), version.to_owned());
    Ok(GoModule { package, version, h1, sha256: None, exclude: Vec::new() })
}

/// The rules of an external repository's root package.
fn archives(rule: &str, calls: impl Iterator<Item = String>) -> String {
    let mut text = format!("load(\"@rules//fetch:defs.star\", \"{rule}\")\n\n{PUBLIC}");
    for call in calls {
        text.push('\n');
        text.push_str(&call);
    }
    text
}

fn go_archive(
    module: &str,
    version: &str,
    sums: &BTreeMap<(String, String), String>,
    sum_file: &str,
) -> Result<String, FetchError> {
    let params = go_params(module, version, sums, sum_file)?;
    let mut call = Call::new("go_module");
    call.text("name", &module_target(module, version)).text("module", module).text("version", version);
    call.text("h1", &params.h1);
    Ok(call.finish())
}

fn debian_archive(package: &LockedDeb) -> String {
    let mut call = Call::new("deb");
    call.text("name", &package.name)
        .text("package", &package.name)
        .text("version", &package.version)
        .text("architecture", &package.architecture)
        .text("path", &package.filename)
        .text("sha256", &package.sha256);
    call.finish()
}

fn pip_package(repository: &str, name: &str, wheel: &LockedWheel) -> String {
    let mut tree = Call::new("wheel");
    tree.text("name", "tree").text("package", name).text("version", &wheel.version);
    tree.list("sha256", &wheel.sha256).text("python", PYTHON);
    let deps: Vec<String> = wheel.deps.iter().map(|dep| format!("@{repository}//{dep}")).collect();
    let mut library = Call::new("py_wheel");
    library.text("name", name).text("tree", ":tree").text("version", &wheel.version);
    library.value("deps", starlark::list(&deps));
    format!(
        "load(\"@rules//fetch:defs.star\", \"wheel\")\nload(\"@rules//python:defs.star\", \"py_wheel\")\n\n{PUBLIC}\n{}\n{}",
        tree.finish(),
        library.finish()
    )
}
