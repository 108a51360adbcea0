//! What README.md promises: its new service is in the next deploy, and the commands it names exist.

mod support;

use support::{Folder, repository};

/// The files that README.md shows: a line with a path in backquotes and a colon, then a fenced block.
fn shown_files(text: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(path) = line.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:")) else { continue };
        lines.next_if(|line| line.is_empty());
        assert!(lines.next().is_some_and(|line| line.starts_with("```")), "no block follows {path}");
        let content: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        files.push((path.to_owned(), content.join("\n") + "\n"));
    }
    files
}

#[test]
fn the_new_service_of_the_readme_is_in_the_next_deploy() {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let files = shown_files(&text);
    assert_eq!(files.len(), 2);
    let folder = Folder::sample();
    for (path, content) in &files {
        if path.ends_with("BUILD.star") {
            assert!(content.lines().count() <= 8, "a service takes more than eight lines:\n{content}");
        }
        folder.write(path, content);
    }
    folder.build(&["build", "deploy:to-minikube"]).expect(0);
    let shown = folder.build(&["show", "deploy:to-minikube"]).expect(0).stdout;
    for expected in ["name: greeter", "LEDGER_ADDR", "ledger:8083", "kind: NetworkPolicy", "grpc:"] {
        assert!(shown.contains(expected), "{expected} is not in:\n{shown}");
    }
}

#[test]
fn the_commands_of_the_readme_exist() {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    for command in ["./build run deploy:to-local", "ci/test"] {
        assert!(text.contains(&format!("\n    {command} ")), "{command} is not in README.md");
        let program = command.split(' ').next().unwrap();
        assert!(repository().join(program).is_file(), "{program} is not there");
    }
    let folder = Folder::sample();
    for command in ["build", "test", "run", "query", "show", "fetch", "completions"] {
        folder
            .command(&[command, "--help"])
            .output()
            .map(|output| assert!(output.status.success(), "{command}"))
            .unwrap();
    }
    let labels = folder.build(&["query", "rdeps(//..., //protos/prediction/v1:prediction_proto)"]).expect(0).stdout;
    assert!(labels.contains("//services/controller:server"), "{labels}");
}
