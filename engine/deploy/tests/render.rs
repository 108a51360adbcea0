//! Bundles and what they are rendered to, on plain data.

mod sample;

use std::collections::BTreeMap;

use deploy::{Bundle, Place, Value, bundle, render, show};
use sample::{inputs, parameters, sample};
use serde_json::json;

fn place() -> Place {
    Place { namespace: "staging".into(), registry: "localhost:5001".into() }
}

#[test]
fn the_sample_as_yaml() {
    insta::assert_snapshot!(show(&render(&sample(), &place()).unwrap()));
}

#[test]
fn a_bundle_reads_back_and_has_one_digest() {
    let bundle = sample();
    let again = Bundle::from_bytes(&bundle.to_bytes()).unwrap();
    assert_eq!(again, bundle);
    assert_eq!(again.digest(), bundle.digest());
}

#[test]
fn a_release_does_not_depend_on_the_environment() {
    let staging = sample();
    let mut production = sample();
    production.environment.name = "production".into();
    production.environment.values.insert("workers".into(), Value::Int(8));
    assert_eq!(staging.release.digest(), production.release.digest());
    assert_ne!(staging.digest(), production.digest());
}

#[test]
fn a_changed_setting_changes_the_config_map_and_the_pods_that_use_it() {
    let names = |level: &str| -> BTreeMap<String, serde_json::Value> {
        let mut bundle = sample();
        bundle.environment.values.insert("log_level".into(), Value::String(level.into()));
        let objects = render(&bundle, &place()).unwrap();
        objects.into_iter().map(|object| (object.key().to_string(), object.value)).collect()
    };
    let (info, debug) = (names("info"), names("debug"));
    let config =
        |objects: &BTreeMap<String, _>| objects.keys().find(|key| key.starts_with("ConfigMap/")).unwrap().clone();
    assert_ne!(config(&info), config(&debug));
    let template = |objects: &BTreeMap<String, serde_json::Value>, name: &str| {
        objects[&format!("Deployment/{name}")]["spec"]["template"].clone()
    };
    assert_ne!(template(&info, "controller"), template(&debug, "controller"));
    assert_eq!(template(&info, "model"), template(&debug, "model"));
}

fn assembly_error(change: impl FnOnce(&mut serde_json::Value, &mut BTreeMap<String, Vec<u8>>)) -> String {
    let (mut parameters, mut inputs) = (parameters(), inputs());
    change(&mut parameters, &mut inputs);
    bundle(&parameters, &inputs).unwrap_err().to_string()
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let cases = [
        assembly_error(|parameters, _| parameters["environment"]["values"] = json!({})),
        assembly_error(|parameters, _| parameters["environment"]["values"]["workers"] = json!("four")),
        assembly_error(|parameters, _| {
            parameters["services"].as_object_mut().unwrap().remove("ledger");
        }),
        assembly_error(|_, inputs| inputs.clear()),
        assembly_error(|_, inputs| {
            inputs.insert("out/x/image.digest".into(), b"latest".to_vec());
        }),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r"
    variable `log_level` of //services/controller:controller has no value in //deploy:staging
    variable `workers` of //services/controller:controller is int, not `four`
    //services/controller:controller calls `ledger`, which is not part of the release
    `out/x/image.digest` is not an input of the bundle
    `out/x/image.digest` holds `latest`, not an image digest (`sha256:...`)
    ");
}
