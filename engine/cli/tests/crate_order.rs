//! The order of the crates: each may import only crates of lower levels. The table is the one of engine/ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::path::Path;

/// Crates by level, bottom up.
const LEVELS: [&[&str]; 8] = [
    &["model", "host"],
    &["store", "script", "observation", "watch", "archive", "http_client"],
    &["loading", "snapshot", "oci", "proto", "fetch", "sandbox"],
    &["analysis", "execution"],
    &["deploy", "remote"],
    &["driver"],
    &["cli"],
    &["reliability"],
];

/// `host` stands on `model`: the only import within a level.
const WITHIN_A_LEVEL: (&str, &str) = ("host", "model");

/// Crates that have one importer only: (dependency, crate).
const SOLE_IMPORTERS: [(&str, &str); 4] =
    [("starlark", "script"), ("kube", "deploy"), ("k8s-openapi", "deploy"), ("tonic", "remote")];

/// Not part of the engine: keeps the features of dependencies equal whichever crates are built together.
const OUTSIDE: &str = "unify";

fn level_of(name: &str) -> Option<usize> {
    LEVELS.iter().position(|level| level.contains(&name))
}

/// The names under `[dependencies]` and the like, by crate.
fn manifests() -> BTreeMap<String, Vec<String>> {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(engine).unwrap() {
        let path = entry.unwrap().path().join("Cargo.toml");
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let manifest: toml::Table = text.parse().unwrap();
        // Built apart from the engine, with other flags.
        if manifest.contains_key("workspace") {
            continue;
        }
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        found.insert(name, dependencies(&manifest));
    }
    found
}

fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in manifest {
        match (key.as_str(), value) {
            ("dependencies" | "dev-dependencies" | "build-dependencies", toml::Value::Table(table)) => {
                names.extend(table.keys().cloned());
            }
            ("target", toml::Value::Table(targets)) => {
                names.extend(targets.values().filter_map(toml::Value::as_table).flat_map(dependencies));
            }
            _ => {}
        }
    }
    names
}

/// What is wrong with the imports of one crate.
fn violations(name: &str, imports: &[String]) -> Vec<String> {
    let Some(level) = level_of(name) else { return vec![format!("`{name}` has no level in the table of this test")] };
    let mut wrong = Vec::new();
    for import in imports {
        match level_of(import) {
            Some(other) if other >= level && (name, import.as_str()) != WITHIN_A_LEVEL => {
                wrong.push(format!(
                    "`{name}` (level {level}) imports `{import}` (level {other}): only lower levels may be imported"
                ));
            }
            _ => {}
        }
        for (dependency, importer) in SOLE_IMPORTERS {
            if import == dependency && name != importer {
                wrong.push(format!("`{name}` imports `{dependency}`, which only `{importer}` may"));
            }
        }
    }
    wrong
}

#[test]
fn imports_point_downwards() {
    let manifests = manifests();
    assert!(manifests.len() > 10, "the manifests were not found");
    let wrong: Vec<String> = manifests
        .iter()
        .filter(|(name, _)| name.as_str() != OUTSIDE)
        .flat_map(|(name, imports)| violations(name, imports))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_the_one_of_the_architecture() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("    ")).collect();
    for (level, crates) in LEVELS.iter().enumerate() {
        let prefix = format!("    {level}  ");
        let row: String = lines.iter().filter(|line| line.starts_with(&prefix)).copied().collect::<Vec<_>>().join(" ");
        for name in crates.iter().filter(|name| **name != "remote") {
            assert!(
                row.split_whitespace().any(|word| word == *name),
                "`{name}` is not on level {level} of ARCHITECTURE.md"
            );
        }
    }
}

#[test]
fn upward_and_sideways_imports_are_noticed() {
    let imports = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(violations("store", &imports(&["model", "host", "serde"])), Vec::<String>::new());
    assert_eq!(violations("store", &imports(&["loading"])).len(), 1);
    assert_eq!(violations("oci", &imports(&["fetch"])).len(), 1);
    assert_eq!(violations("driver", &imports(&["kube"])).len(), 1);
    assert_eq!(violations("model", &imports(&["host"])).len(), 1);
    assert_eq!(violations("host", &imports(&["model"])), Vec::<String>::new());
    assert_eq!(violations("new", &[]).len(), 1);
}
