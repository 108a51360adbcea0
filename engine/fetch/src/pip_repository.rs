//! The packages of a lock as BUILD.star files: what each needs, and packages that need each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Tree, TreeEntry};
use rayon::prelude::*;

use crate::error::FetchError;
use crate::markers;
use crate::params::{Params, Wheel};
use crate::pip_lock::{LockedWheel, PipLock};
use crate::requirement::{self, Requirement};
use crate::run::{self, Context};
use crate::starlark::{self, Call};

/// The Python that wheels are chosen for: that of the pinned toolchain.
const PYTHON: &str = "3.11";

/// Where that toolchain runs, and so the platform whose wheels say what they require.
const PLATFORM: &str = "linux/amd64";

/// How many wheels are downloaded at a time.
const PARALLEL: usize = 6;

/// What pip-compile leaves out of locks, since environments used to have it.
const LEFT_OUT: &[&str] = &["distribute", "pip", "setuptools", "wheel"];

/// A repository made from a lock of Python packages.
pub(crate) struct PipRepository {
    name: String,
    file: String,
    lock: PipLock,
    /// What wheels require by their metadata, as far as that was asked for.
    requires: Mutex<BTreeMap<String, Arc<Vec<Requirement>>>>,
}

/// Names of packages with the names of those they need.
type Graph = BTreeMap<String, BTreeSet<String>>;

impl PipRepository {
    pub(crate) fn new(name: String, file: String, lock: PipLock) -> Self {
        Self { name, file, lock, requires: Mutex::default() }
    }

    pub(crate) fn packages(&self) -> impl Iterator<Item = &String> {
        self.lock.packages.keys()
    }

    /// The text of a package's BUILD.star. Without comments in the lock, wheels are downloaded to know what they need.
    pub(crate) fn build_file(&self, name: &str, context: &Context<'_>) -> Result<Option<String>, FetchError> {
        let Some(wheel) = self.lock.packages.get(name) else {
            return match self.lock.elsewhere.get(name) {
                None => Ok(None),
                Some(marker) => Err(self.problem(
                    name,
                    format!("{} holds it for `{marker}` only, not for CPython {PYTHON} on {PLATFORM}", self.file),
                    None,
                )),
            };
        };
        let graph = self.needed(name, context)?;
        let circle = circle(&graph, name);
        let outside: BTreeSet<&String> =
            circle.iter().flat_map(|member| &graph[*member]).filter(|dep| !circle.contains(dep)).collect();
        let label = |dep: &str| format!("@{}//{dep}", self.name);
        let mut deps: Vec<String> = outside.into_iter().map(|dep| label(dep)).collect();

        // No package is called so, since names have no dots.
        let alone = |member: &str| format!("{member}.alone");
        let files = if name == "tree" { "files" } else { "tree" };
        let mut calls = vec![archive(files, name, wheel)];
        let mut library = Call::new("py_wheel");
        library.text("name", name).text("version", &wheel.version);
        if circle.len() == 1 {
            library.text("tree", &format!(":{files}"));
        } else {
            let mut own = Call::new("py_wheel");
            own.text("name", &alone(name)).text("tree", &format!(":{files}")).text("version", &wheel.version);
            calls.push(own.finish());
            deps.extend(circle.iter().map(|member| format!("{}:{}", label(member), alone(member))));
        }
        library.value("deps", starlark::list(&deps));
        calls.push(library.finish());
        Ok(Some(format!(
            "load(\"@rules//fetch:defs.star\", \"wheel\")\nload(\"@rules//python:defs.star\", \"py_wheel\")\n\n{}\n{}",
            crate::repositories::PUBLIC,
            calls.join("\n")
        )))
    }

    /// All that is needed by a package, itself included.
    fn needed(&self, name: &str, context: &Context<'_>) -> Result<Graph, FetchError> {
        let mut graph = Graph::new();
        let mut next = BTreeSet::from([name.to_owned()]);
        while !next.is_empty() {
            if !self.lock.annotated {
                self.learn(next.iter(), context)?;
            }
            for name in std::mem::take(&mut next) {
                let deps = self.deps(&name, context)?;
                graph.insert(name, deps);
            }
            next.extend(graph.values().flatten().filter(|dep| !graph.contains_key(*dep)).cloned());
        }
        Ok(graph)
    }

    /// What a package needs by itself: as comments say, and as its wheel says, with the extras that are asked for.
    fn deps(&self, name: &str, context: &Context<'_>) -> Result<BTreeSet<String>, FetchError> {
        let wheel = &self.lock.packages[name];
        let mut deps = wheel.deps.clone();
        if self.lock.annotated {
            return Ok(deps);
        }
        let mut seen = BTreeSet::new();
        let mut open: Vec<(String, String)> = vec![(name.to_owned(), String::new())];
        open.extend(wheel.extras.iter().map(|extra| (name.to_owned(), extra.clone())));
        while let Some((of, extra)) = open.pop() {
            if !seen.insert((of.clone(), extra.clone())) {
                continue;
            }
            for required in self.requires(&of, context)?.iter() {
                if !self.is_wanted(&of, required, &extra)? {
                    continue;
                }
                if required.name != name {
                    deps.insert(required.name.clone());
                }
                open.extend(required.extras.iter().map(|extra| (required.name.clone(), extra.clone())));
            }
        }
        Ok(deps)
    }

    /// Whether a requirement counts. One that the lock does not hold is an error, as it is for pip.
    fn is_wanted(&self, of: &str, required: &Requirement, extra: &str) -> Result<bool, FetchError> {
        let marker = required.marker.as_deref();
        let holds = marker.map_or(Ok(extra.is_empty()), |marker| markers::holds(marker, extra));
        let holds = holds.map_err(|reason| {
            let marker = marker.unwrap_or_default();
            self.problem(of, format!("its wheel has the marker `{marker}`: {reason}"), None)
        })?;
        if !holds || self.lock.elsewhere.contains_key(&required.name) {
            return Ok(false);
        }
        if self.lock.packages.contains_key(&required.name) {
            return Ok(true);
        }
        if LEFT_OUT.contains(&required.name.as_str()) {
            return Ok(false);
        }
        let reason = format!("its wheel requires `{}`, which {} does not hold", required.name, self.file);
        let hint = "write the lock anew, with all that its packages require: `uv pip compile --generate-hashes`, \
                    `pip-compile --generate-hashes` or ci/lock/pypi.py";
        Err(self.problem(of, reason, Some(hint.to_owned())))
    }

    fn requires(&self, name: &str, context: &Context<'_>) -> Result<Arc<Vec<Requirement>>, FetchError> {
        self.learn([&name.to_owned()].into_iter(), context)?;
        Ok(self.known().get(name).cloned().unwrap_or_default())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Vec<Requirement>>>> {
        self.requires.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Downloads wheels side by side, as far as it is not known what they require.
    ///
    /// Packages are loaded by the threads of a pool. Whoever waits for work of that pool there may be given another
    /// package meanwhile, which may wait for this one: so the work is done by threads of its own.
    fn learn<'a>(&self, names: impl Iterator<Item = &'a String>, context: &Context<'_>) -> Result<(), FetchError> {
        let unknown: Vec<&String> = {
            let known = self.known();
            names.filter(|name| !known.contains_key(*name)).collect()
        };
        if unknown.is_empty() {
            return Ok(());
        }
        let threads = rayon::ThreadPoolBuilder::new().num_threads(PARALLEL);
        let pool = threads.build().map_err(|error| FetchError::Client(error.to_string()))?;
        let read = || unknown.par_iter().map(|name| self.read(name, context)).collect::<Result<Vec<_>, _>>();
        let read = std::thread::scope(|scope| scope.spawn(|| pool.install(read)).join());
        let found = read.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        self.known().extend(unknown.into_iter().cloned().zip(found));
        Ok(())
    }

    fn read(&self, name: &str, context: &Context<'_>) -> Result<Arc<Vec<Requirement>>, FetchError> {
        let Some(params) = self.params(name) else { return Ok(Arc::default()) };
        let tree = context.store.tree(&run::tree(&params, context)?)?;
        let Some(digest) = metadata(&tree) else { return Ok(Arc::default()) };
        let text = context.store.read(&digest)?;
        let requirements = requirement::of_metadata(&String::from_utf8_lossy(&text));
        requirements
            .map(Arc::new)
            .map_err(|reason| self.problem(name, format!("the METADATA of its wheel: {reason}"), None))
    }

    /// The very parameters of the rule `wheel` on that platform, so that each is fetched once.
    fn params(&self, name: &str) -> Option<Params> {
        let wheel = self.lock.packages.get(name)?;
        Some(Params::Pypi(Wheel {
            package: name.to_owned(),
            version: wheel.version.clone(),
            sha256: wheel.sha256.clone(),
            python: PYTHON.to_owned(),
            platform: PLATFORM.to_owned(),
            exclude: Vec::new(),
        }))
    }

    fn problem(&self, name: &str, reason: String, hint: Option<String>) -> FetchError {
        FetchError::Package { package: format!("@{}//{name}", self.name), reason, hint }
    }
}

/// The packages that need `name` and are needed by it, itself included.
fn circle<'a>(graph: &'a Graph, name: &str) -> BTreeSet<&'a String> {
    let mut found: BTreeSet<&String> = graph.keys().filter(|key| *key == name).collect();
    loop {
        let before = found.len();
        let more: Vec<&String> =
            graph.iter().filter(|(_, deps)| found.iter().any(|one| deps.contains(*one))).map(|(key, _)| key).collect();
        found.extend(more);
        if found.len() == before {
            return found;
        }
    }
}

fn metadata(tree: &Tree) -> Option<model::Digest> {
    tree.entries.iter().find_map(|(path, entry)| {
        let (folder, file) = path.as_str().split_once('/')?;
        match entry {
            TreeEntry::File { digest, .. } if folder.ends_with(".dist-info") && file == "METADATA" => Some(*digest),
            _ => None,
        }
    })
}

fn archive(target: &str, name: &str, wheel: &LockedWheel) -> String {
    let mut tree = Call::new("wheel");
    tree.text("name", target).text("package", name).text("version", &wheel.version);
    tree.list("sha256", &wheel.sha256).text("python", PYTHON);
    tree.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles() {
        let graph: Graph = [("a", "b x"), ("b", "c"), ("c", "a y"), ("x", "y"), ("y", "")]
            .map(|(name, deps)| (name.to_owned(), deps.split_whitespace().map(str::to_owned).collect()))
            .into();
        let of = |name: &str| circle(&graph, name).into_iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of("a"), ["a", "b", "c"]);
        assert_eq!(of("y").len(), 5, "a graph of all that `y` needs would hold `y` alone");
    }
}
