//! How command lines are read.

use clap::CommandFactory as _;

use super::flags::CompilationMode;
use super::*;

fn parsed(line: &str) -> CommandLine {
    parse(line.split_whitespace().map(str::to_owned)).unwrap()
}

fn refused(line: &str) -> String {
    parse(line.split_whitespace().map(str::to_owned)).unwrap_err().to_string()
}

#[test]
fn the_definition_is_sound() {
    CommandLine::command().debug_assert();
}

#[test]
fn excluding_patterns_are_not_taken_for_flags() {
    let line = parsed("build build -k //... -//a:b -@r//x -:c -j 3 -- -pkg/...");
    let Command::Build(arguments) = &line.command else { panic!("{line:?}") };
    assert_eq!(arguments.patterns, ["//...", "-//a:b", "-@r//x", "-:c", "-pkg/..."]);
    assert!(line.global.keep_going);
    assert_eq!(line.global.jobs, Some(3));
}

#[test]
fn flags_stand_before_or_after_the_command() {
    for text in ["build -c opt --define=a=b=c test //x", "build test //x -c opt --define a=b=c"] {
        let line = parsed(text);
        assert_eq!(line.global.compilation_mode, Some(CompilationMode::Opt));
        assert_eq!(line.global.define, [("a".to_owned(), "b=c".to_owned())]);
    }
}

#[test]
fn a_program_gets_what_follows_the_separator() {
    let line = parsed("build run x:y --plan -- --plan -//z -- -k");
    let Command::Run(arguments) = &line.command else { panic!("{line:?}") };
    assert!(arguments.plan && !line.global.keep_going);
    assert_eq!(arguments.arguments, ["--plan", "-//z", "--", "-k"]);
}

#[test]
fn the_last_of_contrary_flags_wins() {
    let cached = |text: &str| !parsed(text).command.test_flags().nocache_test_results;
    assert!(!cached("build test //x --nocache_test_results"));
    assert!(cached("build test //x --nocache_test_results --cache_test_results"));
}

#[test]
fn mistakes_name_what_is_near() {
    assert!(refused("build test //x --test_outputs=all").contains("--test_output"));
    assert!(refused("build buld //x").contains("'build'"));
    assert!(refused("build build //x --jobs=0").contains("expected a number from 1"));
    assert!(refused("build build //x --define=a").contains("expected NAME=VALUE"));
    assert!(refused("build build").contains("<PATTERN>"));
    assert!(refused("build run x:y stray").contains("stray"));
}
