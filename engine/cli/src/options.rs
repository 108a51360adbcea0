//! From arguments to the plain data that `driver` takes. The only file that knows both.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use driver::{Options, QueryFormat, RunRequest, TestOptions, WatchMode, WatchRequest};

use crate::arguments::{GlobalFlags, QueryOutput, RunArguments, TestFlags, WatchArguments};

/// The settings of a command.
pub fn options(global: &GlobalFlags, test: &TestFlags) -> Options {
    Options {
        directory: global.directory.clone(),
        trust_workspace: global.trust_workspace,
        store: global.store.clone(),
        jobs: global.jobs,
        local_memory: global.local_memory,
        keep_going: global.keep_going,
        compilation_mode: global.compilation_mode.map(|mode| value_name(&mode)),
        platform: global.platforms.clone(),
        defines: global.define.iter().cloned().collect(),
        override_repositories: global
            .override_repository
            .iter()
            .map(|(name, folder)| (name.trim_start_matches('@').to_owned(), PathBuf::from(folder)))
            .collect(),
        sandbox_debug: global.sandbox_debug,
        require_sandbox: global.require_sandbox,
        action_timeout: global.action_timeout,
        worker_max_instances: if global.noworkers { Some(0) } else { global.worker_max_instances },
        test: test_options(test),
    }
}

fn test_options(flags: &TestFlags) -> TestOptions {
    TestOptions {
        filter: flags.test_filter.clone(),
        arguments: flags.test_arg.clone(),
        cached: !flags.nocache_test_results,
        timeout: flags.test_timeout.map(Duration::from_secs),
        env: flags.test_env.iter().cloned().collect(),
    }
}

/// What `build run` is to do.
pub fn run_request(arguments: &RunArguments) -> RunRequest {
    RunRequest {
        target: arguments.target.clone(),
        arguments: arguments.arguments.clone(),
        in_working_directory: arguments.run_in_cwd,
        plan: arguments.plan,
        branch: arguments.branch.clone(),
        take_over: arguments.take_over,
        logs: arguments.logs,
        exit_when_ready: arguments.exit_when_ready,
        norestart: arguments.norestart,
    }
}

/// What `build watch` is to do.
pub fn watch_request(global: &GlobalFlags, arguments: &WatchArguments) -> WatchRequest {
    let mode = match arguments {
        WatchArguments { run: true, arguments, .. } => WatchMode::Run(arguments.clone()),
        WatchArguments { tests: true, .. } => WatchMode::Test,
        _ => WatchMode::Build,
    };
    let current = host::env::current_dir().unwrap_or_default();
    let own_files = global.event_file.iter().map(|file| current.join(file)).collect();
    WatchRequest { patterns: arguments.patterns.clone(), mode, own_files }
}

/// How a query's answer is printed.
pub fn query_format(output: QueryOutput) -> QueryFormat {
    match output {
        QueryOutput::Label => QueryFormat::Label,
        QueryOutput::LabelKind => QueryFormat::LabelKind,
        QueryOutput::Json => QueryFormat::Json,
        QueryOutput::Dot => QueryFormat::Dot,
    }
}

fn value_name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
