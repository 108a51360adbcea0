//! An open workspace: what every command starts from.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use execution::{Executor, Known, PersistentWorkers};
use host::mounts::View;
use loading::{Loader, Workspace};
use model::{Cancel, Configuration, Event, Label, PatternKind, Platform, Reporter, TargetKey, TargetPattern};
use observation::{Observation, Question};
use sandbox::Support;
use store::Store;

use crate::builtins;
use crate::error::{Error, ErrorKind};
use crate::external::Repositories;
use crate::options::Options;
use crate::sources::WorkspaceSources;
use crate::test::Once;
use crate::{outputs, trust};

/// A workspace with its store and the settings of the command. What takes time is opened when it is first needed.
pub struct Session {
    pub(crate) options: Options,
    pub(crate) reporter: Arc<dyn Reporter>,
    pub(crate) cancel: Cancel,
    pub(crate) root: PathBuf,
    /// Whether the user says that the workspace is to be believed, whosever it is.
    pub(crate) trusted: bool,
    /// Where the command was typed.
    pub(crate) directory: PathBuf,
    /// The file systems of the workspace.
    pub(crate) view: View,
    /// The package folder in which the command was typed.
    pub(crate) package: model::PackageId,
    pub(crate) store: Store,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) exec_platform: Platform,
    endpoints: OnceLock<Arc<fetch::Endpoints>>,
    workspace: OnceLock<Opened>,
    loader: OnceLock<Arc<Loader>>,
}

/// WORKSPACE.star, read.
struct Opened {
    workspace: Workspace,
    external: Arc<Repositories>,
    roots: Vec<Observation>,
}

impl Session {
    /// Finds the workspace around the working folder and opens its store. Reads no file of the workspace.
    pub fn open(options: Options, reporter: Arc<dyn Reporter>, cancel: Cancel) -> Result<Self, Error> {
        let reporter: Arc<dyn Reporter> = Arc::new(Once::new(reporter));
        let options = with_environment(options)?;
        let directory = working_folder(&options)?;
        let root = Workspace::find(&directory).map_err(|error| Error::of(ErrorKind::CommandLine, error))?;
        let trusted = trust::is_trusted(&root, options.trust_workspace);
        trust::check_owner(&root, trusted)?;
        let package = loading::package_at(&root, &directory);
        let store = Store::open_telling(&store_folder(&options)?, tell(&reporter))?;
        let view = host::mounts::view(&root);
        let hash = model::Digest::of(view.text.as_bytes());
        store
            .set_view(hash.as_bytes().first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).filter(|_| !view.is_loose));
        let exec_platform = Platform::host();
        let configuration = Arc::new(configure(&options, &exec_platform)?);
        let (endpoints, workspace, loader) = Default::default();
        Ok(Self {
            options,
            reporter,
            cancel,
            root,
            trusted,
            directory,
            view,
            package,
            store,
            configuration,
            exec_platform,
            endpoints,
            workspace,
            loader,
        })
    }

    /// Where registries are, by the machine's configuration.
    pub(crate) fn endpoints(&self) -> Result<&Arc<fetch::Endpoints>, Error> {
        if let Some(endpoints) = self.endpoints.get() {
            return Ok(endpoints);
        }
        let read = fetch::Endpoints::from_machine();
        let read = read.map_err(|error| crate::external::failed(ErrorKind::Environment, &error))?;
        Ok(self.endpoints.get_or_init(|| Arc::new(read)))
    }

    fn workspace(&self) -> Result<&Opened, Error> {
        if let Some(workspace) = self.workspace.get() {
            return Ok(workspace);
        }
        // Looked at before they are read: what changes in between, the next command sees.
        let mut roots = vec![self.look_at(loading::WORKSPACE_FILE)];
        let workspace = Workspace::open(&self.root).map_err(|error| Error::of(ErrorKind::CommandLine, error))?;
        for repository in &workspace.decl().repositories {
            let labels = repository.attributes.values();
            labels.for_each(|data| data.for_each_label(&mut |label| roots.push(self.look_at(&label.exec_path()))));
        }
        let external = Repositories::new(&workspace, &self.store, self.endpoints()?, &self.reporter)?;
        Ok(self.workspace.get_or_init(|| Opened { workspace, external: Arc::new(external), roots }))
    }

    /// A loader that has loaded nothing yet.
    pub(crate) fn new_loader(&self) -> Result<Loader, Error> {
        let Opened { workspace, external, .. } = self.workspace()?;
        let external = Arc::clone(external) as Arc<dyn loading::External>;
        let overrides = &self.options.override_repositories;
        Ok(Loader::new(workspace.clone(), Some(external), Arc::clone(&self.reporter), overrides))
    }

    /// The loader of this command.
    pub(crate) fn loader(&self) -> Result<&Arc<Loader>, Error> {
        if let Some(loader) = self.loader.get() {
            return Ok(loader);
        }
        let loader = Arc::new(self.new_loader()?);
        Ok(self.loader.get_or_init(|| loader))
    }

    /// Where the states of requests of this workspace are kept.
    pub(crate) fn requests_folder(&self) -> PathBuf {
        let workspace = model::Digest::of(self.root.to_string_lossy().as_bytes());
        self.store.root().join("requests").join(workspace.to_hex())
    }

    /// Where a watcher of this workspace answers other commands: those that see the same file systems there.
    pub(crate) fn watcher_socket(&self) -> PathBuf {
        self.store.root().join("watchers").join(watch::socket_name(&self.root, &self.view))
    }

    /// What everything in the workspace depends on: WORKSPACE.star and the files that it names, as they were read.
    pub(crate) fn roots(&self) -> Result<&[Observation], Error> {
        Ok(&self.workspace()?.roots)
    }

    fn look_at(&self, file: &str) -> Observation {
        // What is too large to be read is not hashed either. Reading it says what is wrong.
        let large = host::fs::stat(&self.root.join(file)).is_ok_and(|stat| stat.size > host::fs::MOST_TEXT);
        let seen = (!large).then(|| observation::look(&self.root, Question::Content, file, &loading::MARKS)).flatten();
        seen.unwrap_or_else(|| Observation::unknown(Question::Content, Arc::from(file)))
    }

    /// The folder of outputs. A link there would lead what is written and removed to where a clone wants it.
    pub(crate) fn outputs(&self) -> Result<PathBuf, Error> {
        let folder = self.root.join(outputs::FOLDER);
        if !self.trusted
            && let Ok(target) = host::fs::read_link(&folder)
        {
            let message = format!(
                "{} is a symbolic link to {}; outputs are not written through it",
                folder.display(),
                target.display()
            );
            let error =
                Error::new(ErrorKind::Environment, message).hint(format!("`rm {}` removes the link", folder.display()));
            return Err(trust::allow(error, &self.root));
        }
        Ok(folder)
    }

    /// The top folder of the workspace.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `label` for the platform of this command.
    pub(crate) fn key(&self, label: &Label) -> TargetKey {
        TargetKey { label: label.clone(), configuration: Some(Arc::clone(&self.configuration)) }
    }

    /// How targets are analysed.
    pub(crate) fn analysis_options(&self, loader: &Loader) -> analysis::Options {
        let alias = Label::absolute("@toolchains//:shell").expect("the label is well formed");
        // The analysis lists targets by the labels that toolchains stand for.
        let shell = loader.workspace().toolchain("shell").unwrap_or(alias);
        analysis::Options { exec_platform: self.exec_platform.clone(), keep_going: self.options.keep_going, shell }
    }

    /// The tree with the shell that scripts are run by.
    pub(crate) fn shell_key(&self, loader: &Loader) -> TargetKey {
        let options = self.analysis_options(loader);
        TargetKey { configuration: Some(options.exec_configuration()), label: options.shell }
    }

    /// The address of an image registry by its name in the machine's configuration.
    /// A registry by its name; without one, the only one that is configured.
    pub(crate) fn registry(&self, name: &str) -> Result<&fetch::Registry, Error> {
        if name.is_empty() {
            return self.only_registry();
        }
        self.endpoints()?.registry(name).ok_or_else(|| {
            let variable = name.to_uppercase().replace('-', "_");
            let message = format!("no address is configured for the registry `{name}`");
            Error::new(ErrorKind::Environment, message).hint(format!(
                "set BUILD_REGISTRY_{variable}=host:port, or add it to [registries] of build/config.toml"
            ))
        })
    }

    fn only_registry(&self) -> Result<&fetch::Registry, Error> {
        let mut all = self.endpoints()?.registries();
        match (all.next(), all.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => {
                let error = Error::new(ErrorKind::Environment, "no registry is configured");
                Err(error.hint("set BUILD_REGISTRY_<NAME>=host:port, or add one to [registries] of build/config.toml"))
            }
            (Some(_), Some(_)) => {
                let names: Vec<&str> = self.endpoints()?.registries().map(|registry| registry.name.as_str()).collect();
                let message = format!("several registries are configured: {}", names.join(", "));
                Err(Error::new(ErrorKind::Environment, message).hint("name one in the attribute `registry`"))
            }
        }
    }

    /// Parses a label as typed by the user.
    pub(crate) fn label(&self, text: &str) -> Result<Label, Error> {
        match self.pattern(text)?.kind {
            PatternKind::Target(label) if label.repository().is_empty() => Ok(label),
            PatternKind::Target(label) => Ok(self.loader()?.own(&label)),
            PatternKind::Path(path) => {
                self.loader()?.at_path(&path).map_err(|errors| Error::of(ErrorKind::CommandLine, errors))
            }
            _ => {
                let message = format!("`{text}` stands for several targets; one label is expected");
                Err(Error::new(ErrorKind::CommandLine, message))
            }
        }
    }

    /// Parses a pattern as typed by the user.
    pub(crate) fn pattern(&self, text: &str) -> Result<TargetPattern, Error> {
        let usage = |message: String| Error::new(ErrorKind::CommandLine, message);
        let pattern = TargetPattern::parse(text, &self.package).map_err(|error| usage(error.to_string()))?;
        match self.meant_here(text.trim_start_matches('-')) {
            None => Ok(pattern),
            Some((folder, meant)) => {
                let message = format!(
                    "there is no folder `{folder}` at the top of the workspace, from where labels without `//` count"
                );
                Err(usage(message).hint(format!("for what is in this folder, type `{meant}`")))
            }
        }
    }

    /// What a pattern would have to be that seems to count from the folder in which it was typed; with the folder it names.
    fn meant_here<'a>(&self, text: &'a str) -> Option<(&'a str, String)> {
        if text.starts_with(['/', '@', ':']) || self.package.path().is_empty() {
            return None;
        }
        let end = text.find(':').or_else(|| text.find("/...")).unwrap_or(text.len());
        let folder = &text[..end];
        let is_folder = |folder: &Path| !folder.as_os_str().is_empty() && host::fs::is_dir(&self.root.join(folder));
        let here = Path::new(self.package.path()).join(folder);
        let is_meant = !folder.is_empty() && !is_folder(Path::new(folder)) && is_folder(&here);
        is_meant.then(|| (folder, format!("//{}/{text}", self.package.path())))
    }

    /// Fails where a sandbox is required and none can be made.
    pub(crate) fn check_sandbox(&self) -> Result<(), Error> {
        if !self.options.require_sandbox {
            return Ok(());
        }
        match sandbox::support() {
            Support::Missing(obstacle) => {
                let message =
                    "a sandbox is required (--require_sandbox, BUILD_REQUIRE_SANDBOX), and this machine makes none";
                let mut error = Error::new(ErrorKind::Environment, message).hint(obstacle.hint.as_str());
                error.diagnostics.iter_mut().for_each(|diagnostic| diagnostic.notes.push(obstacle.reason.clone()));
                Err(error)
            }
            Support::Available => Ok(()),
        }
    }

    /// An executor of this command's actions.
    pub(crate) fn executor(
        &self,
        sources: Arc<WorkspaceSources>,
        known: Option<Arc<dyn Known>>,
    ) -> Result<Executor, Error> {
        self.check_sandbox()?;
        Ok(Executor {
            store: self.store.clone(),
            launcher: sandbox::Launcher::current(),
            sources,
            known,
            builtins: builtins::all(self.endpoints()?, &self.reporter),
            reporter: Arc::clone(&self.reporter),
            cancel: self.cancel.clone(),
            jobs: self.options.jobs.unwrap_or_else(processors),
            local_memory: self.options.local_memory,
            action_timeout: self.options.action_timeout.unwrap_or(execution::ACTION_TIMEOUT),
            keep_going: self.options.keep_going,
            sandbox_debug: self.options.sandbox_debug,
            workers: PersistentWorkers::new(self.options.worker_max_instances.unwrap_or_else(|| {
                // A job has at most one.
                self.options.jobs.unwrap_or_else(processors)
            })),
        })
    }
}

/// Tells the user of a wait for another process.
fn tell(reporter: &Arc<dyn Reporter>) -> store::Tell {
    let reporter = Arc::clone(reporter);
    Arc::new(move |message| {
        reporter.report(Event::Progress { phase: Arc::from("store"), message: Arc::from(message) });
    })
}

/// What the environment says, where the command line says nothing.
fn with_environment(options: Options) -> Result<Options, Error> {
    let wrong = |name: &str, value: &str, what: &str| {
        Error::new(ErrorKind::Environment, format!("{name} is {what}, but it is set to {value:?}"))
    };
    let required = match host::env::var("BUILD_REQUIRE_SANDBOX").as_deref() {
        None | Some("0" | "false") => false,
        Some("1" | "true") => true,
        Some(other) => return Err(wrong("BUILD_REQUIRE_SANDBOX", other, "1 or 0")),
    };
    let timeout = match host::env::var("BUILD_ACTION_TIMEOUT") {
        None => None,
        Some(text) => match text.parse() {
            Ok(1..) => text.parse().ok(),
            _ => return Err(wrong("BUILD_ACTION_TIMEOUT", &text, "a number of seconds, at least 1")),
        },
    };
    Ok(Options {
        require_sandbox: options.require_sandbox || required,
        action_timeout: options.action_timeout.or(timeout),
        ..options
    })
}

fn configure(options: &Options, exec_platform: &Platform) -> Result<Configuration, Error> {
    let platform = match &options.platform {
        None => exec_platform.clone(),
        Some(text) => parse_platform(text)?,
    };
    let mut configuration = Configuration::new(platform);
    if let Some(mode) = &options.compilation_mode {
        configuration.compilation_mode = Arc::from(mode.as_str());
    }
    for (name, value) in &options.defines {
        configuration.defines.insert(Arc::from(name.as_str()), Arc::from(value.as_str()));
    }
    Ok(configuration)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn working_folder(options: &Options) -> Result<PathBuf, Error> {
    let current = host::env::current_dir().map_err(|error| Error::caused(ErrorKind::Environment, &error))?;
    let folder = options.directory.as_ref().map_or_else(|| current.clone(), |folder| current.join(folder));
    Ok(host::fs::canonicalize(&folder)?)
}

fn store_folder(options: &Options) -> Result<PathBuf, Error> {
    if let Some(folder) = &options.store {
        return Ok(folder.clone());
    }
    if let Some(folder) = host::env::var("BUILD_STORE") {
        return Ok(PathBuf::from(folder));
    }
    let none = |message: String| {
        Error::new(ErrorKind::Environment, message).hint("name one: `--store FOLDER` or BUILD_STORE=FOLDER")
    };
    let cache = host::env::cache_home()
        .ok_or_else(|| none("no folder for the store: neither XDG_CACHE_HOME nor HOME is set".to_owned()))?;
    match host::env::home().filter(|home| cache.starts_with(home) && !host::fs::is_dir(home)) {
        Some(home) => {
            Err(none(format!("no folder for the store: HOME is {}, and there is no such folder", home.display())))
        }
        None => Ok(cache.join("build")),
    }
}

/// Operating systems and processors by Go's names.
const SYSTEMS: &[&str] =
    &["android", "darwin", "freebsd", "ios", "js", "linux", "netbsd", "openbsd", "wasip1", "windows"];
const PROCESSORS: &[&str] = &[
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
    "s390x", "wasm",
];

fn parse_platform(text: &str) -> Result<Platform, Error> {
    // `@rules//platforms:linux_arm64` names the same as `linux/arm64`.
    let named = text.strip_prefix("@rules//platforms:").and_then(|name| name.split_once('_'));
    let Some((os, arch)) = named.or_else(|| text.split_once('/').filter(|_| !text.contains("//"))) else {
        let error = Error::new(ErrorKind::CommandLine, format!("`{text}` is not a platform; expected `os/arch`"));
        return Err(error.hint("for example `--platforms=linux/arm64`"));
    };
    for (name, what, known) in [(os, "operating system", SYSTEMS), (arch, "processor", PROCESSORS)] {
        if !known.contains(&name) {
            let message = format!("`{text}` is not a platform: there is no {what} `{name}`");
            let mut error = Error::new(ErrorKind::CommandLine, message);
            let near = model::nearest(name, known.iter().copied());
            if let Some(near) = near.first() {
                error = error.hint(format!("did you mean `{near}`?"));
            }
            return Err(error.hint(format!("it is one of {}", known.join(", "))));
        }
    }
    Ok(Platform { os: Arc::from(os), arch: Arc::from(arch) })
}
