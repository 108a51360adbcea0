//! External repositories: from the lockfiles that WORKSPACE.star names to the BUILD.star of each package.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Data, KeyBuilder, Label, PackageId, Reporter, RepositoryDecl};
use store::Store;

use crate::archive::Limits;
use crate::debian_lock::{self, LockedDeb};
use crate::endpoints::{Ecosystem, Endpoints};
use crate::error::FetchError;
use crate::go_mod::{self, Whose};
use crate::go_package::{self, GoPackage};
use crate::go_repository::{self, GoRepository, Module, module_target};
use crate::go_source;
use crate::params::{GoModule, Params};
use crate::pip_lock;
use crate::pip_repository::PipRepository;
use crate::run::{self, Context};
use crate::starlark::Call;

pub(crate) const PUBLIC: &str = "package(default_visibility = [\"//visibility:public\"])\n";

/// How many modules are downloaded at a time. They are waited for, not computed.
const PARALLEL: usize = 8;

/// The external repositories of a workspace.
pub struct Repositories {
    repositories: BTreeMap<String, Repository>,
    modules: Mutex<HashMap<[String; 3], Slot>>,
    store: Store,
    endpoints: Arc<Endpoints>,
    reporter: Arc<dyn Reporter>,
}

/// A module that is there or is being downloaded; locked meanwhile, so that packages of one module wait for one download.
type Slot = Arc<Mutex<Option<Arc<Module>>>>;

enum Repository {
    Go(Box<GoRepository>),
    Pip(PipRepository),
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
                endpoints.expect(repository.ecosystem());
                repositories.insert(decl.name.to_string(), repository);
            }
        }
        Ok(Self { repositories, modules: Mutex::default(), store, endpoints, reporter })
    }

    /// The names, without `@`.
    pub fn names(&self) -> Vec<String> {
        self.repositories.keys().cloned().collect()
    }

    /// The text of a package's BUILD.star; `None` if there is no such package. Go modules are downloaded to know it.
    pub fn build_file(&self, package: &PackageId) -> Result<Option<String>, FetchError> {
        match self.repositories.get(package.repository()) {
            None => Ok(None),
            Some(Repository::Go(repository)) if package.path().is_empty() => {
                let all = self.repositories.values().filter_map(|repository| match repository {
                    Repository::Go(repository) => Some(&**repository),
                    _ => None,
                });
                Ok(Some(format!(
                    "load(\"@rules//fetch:defs.star\", \"go_module\")\nload(\"@rules//go:defs.star\", \"go_settings\")\n\n\
                     {PUBLIC}{}{}",
                    go_repository::settings(all),
                    repository.archives()
                )))
            }
            Some(Repository::Go(repository)) => self.go_package(package, repository),
            Some(Repository::Pip(pip)) => pip.build_file(package.path(), &self.context()),
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
            Some(Repository::Go(repository)) => repository.modules.requires.keys().cloned().collect(),
            Some(Repository::Pip(pip)) => pip.packages().cloned().collect(),
            Some(Repository::Debian(_)) => vec![String::new()],
        })
    }

    /// Downloads the modules of packages that will be asked for, side by side. What cannot be had is said when it is
    /// asked for.
    pub fn prefetch(&self, packages: &[PackageId]) {
        let mut wanted: Vec<GoModule> = Vec::new();
        for package in packages {
            let Some(Repository::Go(repository)) = self.repositories.get(package.repository()) else { continue };
            let first = repository.candidates(package.path()).into_iter().next();
            if let Some(params) = first.and_then(|(module, version, _)| repository.params(module, version).ok())
                && !wanted.contains(&params)
                && !self.is_there(&params)
            {
                wanted.push(params);
            }
        }
        // One alone is downloaded as soon when it is asked for.
        if wanted.len() < 2 {
            return;
        }
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            // The first is the caller's own to download.
            for _ in 1..PARALLEL.min(wanted.len()) {
                scope.spawn(|| self.take(&wanted, &next));
            }
            self.take(&wanted, &next);
        });
    }

    fn take(&self, wanted: &[GoModule], next: &AtomicUsize) {
        while let Some(params) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            if self.module(params).is_err() {
                next.store(wanted.len(), Ordering::Relaxed);
            }
        }
    }

    fn go_package(&self, package: &PackageId, repository: &GoRepository) -> Result<Option<String>, FetchError> {
        let candidates = repository.candidates(package.path());
        if candidates.is_empty() {
            return Err(repository.without_module(package.path()));
        }
        for (module, version, folder) in candidates {
            let params = repository.params(module, version)?;
            if let Some(text) = self.describe(package, repository, &params, folder)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    fn describe(
        &self,
        package: &PackageId,
        repository: &GoRepository,
        params: &GoModule,
        folder: &str,
    ) -> Result<Option<String>, FetchError> {
        let module = self.module(params)?;
        let key = KeyBuilder::new("go_package", go_package::VERSION)
            .digest(&module.digest)
            .text(package.repository())
            .text(package.path())
            .text(&params.version)
            .number(u64::from(repository.release))
            .finish();
        let text = match self.store.memo_get(&key)? {
            Some(known) => String::from_utf8_lossy(&known).into_owned(),
            None => {
                let described = GoPackage {
                    repository: package.repository(),
                    importpath: package.path(),
                    module: &format!("@{}//:{}", package.repository(), module_target(&params.package, &params.version)),
                    folder,
                    go: &module.go_mod.go,
                    release: repository.release,
                };
                let text = go_package::build_file(&described, &module.tree, &self.store)?.unwrap_or_default();
                self.store.memo_put(&key, text.as_bytes())?;
                text
            }
        };
        if text.is_empty() {
            return Ok(None);
        }
        repository.check(params, &module)?;
        Ok(Some(text))
    }

    fn context(&self) -> Context<'_> {
        Context { store: &self.store, endpoints: &self.endpoints, reporter: &*self.reporter, limits: Limits::default() }
    }

    fn slot(&self, params: &GoModule) -> Slot {
        let mut slots = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let key = [params.package.clone(), params.version.clone(), params.h1.clone()];
        Arc::clone(slots.entry(key).or_default())
    }

    fn is_there(&self, params: &GoModule) -> bool {
        self.slot(params).try_lock().is_ok_and(|module| module.is_some())
    }

    fn module(&self, params: &GoModule) -> Result<Arc<Module>, FetchError> {
        let slot = self.slot(params);
        let mut module = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = &*module {
            return Ok(Arc::clone(module));
        }
        let digest = run::tree(&Params::Go(params.clone()), &self.context())?;
        let read = Arc::new(Module::read(params, digest, &self.store)?);
        *module = Some(Arc::clone(&read));
        Ok(read)
    }
}

impl Repository {
    fn ecosystem(&self) -> Ecosystem {
        match self {
            Self::Go(_) => Ecosystem::Go,
            Self::Pip(_) => Ecosystem::Pypi,
            Self::Debian(_) => Ecosystem::Debian,
        }
    }

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
                Self::Go(Box::new(GoRepository {
                    name: decl.name.to_string(),
                    folder: folder_of(decl),
                    release: release(decl)?,
                    modules: go_mod::parse_mod(&mod_file, &mod_text, Whose::Own)?,
                    mod_file,
                    sums: go_mod::parse_sum(&sum_file, &sum_text)?,
                    sum_file,
                }))
            }
            "pip_lock" => {
                let (path, text) = file("lock")?;
                let lock = pip_lock::parse(&path, &text)?;
                Self::Pip(PipRepository::new(decl.name.to_string(), path, lock))
            }
            "debian_lock" => {
                let (path, text) = file("lock")?;
                Self::Debian(debian_lock::parse(&path, &text)?)
            }
            _ => return Ok(None),
        }))
    }
}

/// The folder of a go.mod of the workspace.
fn folder_of(decl: &RepositoryDecl) -> Option<String> {
    let label = decl.attributes.get("mod").and_then(Data::as_label)?;
    let path = label.exec_path();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    label.repository().is_empty().then(|| folder.to_owned())
}

/// The release that files are chosen for: what WORKSPACE.star says, for a toolchain of its own, or the default one's.
fn release(decl: &RepositoryDecl) -> Result<u32, FetchError> {
    let Some(text) = decl.attributes.get("release").and_then(Data::as_str) else { return Ok(go_source::RELEASE) };
    match go_source::release(text) {
        0 => {
            let place = decl.location.as_ref().map_or_else(|| "WORKSPACE.star".to_owned(), ToString::to_string);
            Err(FetchError::lock(&place, None, format!("`release` is \"{text}\": expected the like of \"1.26\"")))
        }
        release => Ok(release),
    }
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
