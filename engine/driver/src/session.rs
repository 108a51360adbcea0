//! An open workspace: what every command starts from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use execution::{Executor, Sources};
use loading::{Loader, Workspace};
use model::{Cancel, Configuration, Label, Platform, Reporter, TargetKey};
use store::Store;

use crate::builtins;
use crate::error::{Error, ErrorKind};
use crate::external::Repositories;
use crate::options::Options;
use crate::sources::WorkspaceSources;

/// A workspace with its store, its loader and the settings of the command.
pub struct Session {
    pub(crate) options: Options,
    pub(crate) reporter: Arc<dyn Reporter>,
    pub(crate) cancel: Cancel,
    pub(crate) root: PathBuf,
    /// The package folder in which the command was typed.
    pub(crate) package: model::PackageId,
    pub(crate) store: Store,
    pub(crate) endpoints: Arc<fetch::Endpoints>,
    pub(crate) loader: Arc<Loader>,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) exec_platform: Platform,
}

impl Session {
    /// Finds the workspace around the working folder and opens its store. Reads WORKSPACE.star, nothing else.
    pub fn open(options: Options, reporter: Arc<dyn Reporter>, cancel: Cancel) -> Result<Self, Error> {
        let directory = working_folder(&options)?;
        let workspace = Workspace::discover(&directory).map_err(|error| Error::of(ErrorKind::CommandLine, error))?;
        let root = workspace.root().to_owned();
        let package = workspace.package_at(&directory);
        let store = Store::open(&store_folder(&options)?)?;
        let endpoints = Arc::new(
            fetch::Endpoints::from_machine()
                .map_err(|error| crate::external::failed(ErrorKind::Environment, &error))?,
        );
        let external = Repositories::new(&workspace, &store, &endpoints, &reporter)?;
        let loader =
            Loader::new(workspace, Some(Arc::new(external)), Arc::clone(&reporter), &options.override_repositories);
        let exec_platform = Platform::host();
        let mut session = Self {
            configuration: Arc::new(Configuration::new(exec_platform.clone())),
            options,
            reporter,
            cancel,
            root,
            package,
            store,
            endpoints,
            loader: Arc::new(loader),
            exec_platform,
        };
        session.configuration = Arc::new(session.configure()?);
        Ok(session)
    }

    /// The top folder of the workspace.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn configure(&self) -> Result<Configuration, Error> {
        let platform = match &self.options.platform {
            None => self.exec_platform.clone(),
            Some(text) => parse_platform(text)?,
        };
        let mut configuration = Configuration::new(platform);
        if let Some(mode) = &self.options.compilation_mode {
            configuration.compilation_mode = Arc::from(mode.as_str());
        }
        for (name, value) in &self.options.defines {
            configuration.defines.insert(Arc::from(name.as_str()), Arc::from(value.as_str()));
        }
        Ok(configuration)
    }

    /// `label` for the platform of this command.
    pub(crate) fn key(&self, label: &Label) -> TargetKey {
        TargetKey { label: label.clone(), configuration: Some(Arc::clone(&self.configuration)) }
    }

    /// How targets are analysed.
    pub(crate) fn analysis_options(&self) -> analysis::Options {
        let alias = Label::absolute("@toolchains//:shell").expect("the label is well formed");
        // The analysis lists targets by the labels that toolchains stand for.
        let shell = self.loader.workspace().toolchain("shell").unwrap_or(alias);
        analysis::Options { exec_platform: self.exec_platform.clone(), shell }
    }

    /// The tree with the shell that scripts are run by.
    pub(crate) fn shell_key(&self) -> TargetKey {
        let options = self.analysis_options();
        TargetKey { configuration: Some(options.exec_configuration()), label: options.shell }
    }

    /// The address of an image registry by its name in the machine's configuration.
    pub(crate) fn registry(&self, name: &str) -> Result<&fetch::Registry, Error> {
        self.endpoints.registry(name).ok_or_else(|| {
            let variable = name.to_uppercase().replace('-', "_");
            let message = format!("no address is configured for the registry `{name}`");
            Error::new(ErrorKind::Environment, message).hint(format!(
                "set BUILD_REGISTRY_{variable}=host:port, or add it to [registries] of build/config.toml"
            ))
        })
    }

    /// Parses a label as typed by the user.
    pub(crate) fn label(&self, text: &str) -> Result<Label, Error> {
        use model::{PatternKind, TargetPattern};
        let usage = |message: String| Error::new(ErrorKind::CommandLine, message);
        match TargetPattern::parse(text, &self.package).map_err(|error| usage(error.to_string()))?.kind {
            PatternKind::Target(label) => Ok(label),
            _ => Err(usage(format!("`{text}` stands for several targets; one label is expected"))),
        }
    }

    /// An executor of this command's actions.
    pub(crate) fn executor(&self) -> Executor {
        Executor {
            store: self.store.clone(),
            launcher: sandbox::Launcher::current(),
            sources: Arc::new(WorkspaceSources::new(&self.store, &self.loader)) as Arc<dyn Sources>,
            builtins: builtins::all(&self.endpoints, &self.reporter),
            reporter: Arc::clone(&self.reporter),
            cancel: self.cancel.clone(),
            jobs: self.options.jobs.unwrap_or_else(processors),
            local_memory: self.options.local_memory,
            keep_going: self.options.keep_going,
            sandbox_debug: self.options.sandbox_debug,
        }
    }
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
    host::env::cache_home().map(|folder| folder.join("build")).ok_or_else(|| {
        Error::new(ErrorKind::Environment, "no folder for the store: neither XDG_CACHE_HOME nor HOME is set")
            .hint("name one: `--store FOLDER` or BUILD_STORE=FOLDER")
    })
}

fn parse_platform(text: &str) -> Result<Platform, Error> {
    match text.split_once('/') {
        Some((os, arch)) if !os.is_empty() && !arch.is_empty() && !text.starts_with("//") => {
            Ok(Platform { os: Arc::from(os), arch: Arc::from(arch) })
        }
        _ => {
            let message = format!("`{text}` is not a platform; expected `os/arch`");
            Err(Error::new(ErrorKind::CommandLine, message).hint("for example `--platforms=linux/arm64`"))
        }
    }
}
