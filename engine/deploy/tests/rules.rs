//! What the rules of rules/deploy accept, refuse and hand to the built-in `bundle`.
#![allow(clippy::disallowed_methods, reason = "tests read the rules themselves")]

#[path = "../../loading/tests/fixture/mod.rs"]
mod fixture;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use analysis::{Options, analyse};
use deploy::{Bundle, bundle};
use fixture::{Fixture, label};
use model::{ActionKind, Configuration, NoReporter, Platform, TargetKey};

/// Stands for the rules of images: what a service needs of one.
const IMAGES: &str = r#"
OciImageInfo = provider(fields = ["image", "digest"])

def _image_impl(ctx):
    tree = ctx.actions.declare_directory(ctx.label.name)
    digest = ctx.actions.declare_file(ctx.label.name + ".digest")
    ctx.actions.tree(output = tree, entries = {})
    ctx.actions.write(digest, "sha256:" + "0" * 64)
    return [OciImageInfo(image = tree, digest = digest), DefaultInfo(files = depset([tree]))]

image = rule(implementation = _image_impl)
"#;

/// Two services that call each other; each test adds an environment and a deploy target.
const SERVICES: &str = r#"
//- WORKSPACE.star
workspace(name = "test")
//- services/orders/BUILD.star
load("@rules//deploy:defs.star", "secret", "service", "var")
load("@rules//oci:defs.star", "image")
package(default_visibility = ["//visibility:public"])
image(name = "image")
service(
    name = "orders",
    image = ":image",
    grpc = 8443,
    calls = ["//services/users"],
    env = {"LOG_LEVEL": var("log_level"), "WORKERS": var("workers", type = "int", default = 2)},
    secrets = {"DB": secret("orders/db")},
)
//- services/users/BUILD.star
load("@rules//deploy:defs.star", "service")
load("@rules//oci:defs.star", "image")
package(default_visibility = ["//visibility:public"])
image(name = "image")
service(
    name = "users",
    image = ":image",
    http = 8080,
    calls = ["//services/orders"],
    state = "/data",
    probe = "/healthz",
)
"#;

fn workspace(files: &str) -> Fixture {
    let fixture = Fixture::new(&format!("{SERVICES}{files}"));
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules/deploy");
    for folder in ["", "private"] {
        for entry in std::fs::read_dir(rules.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "star") {
                let name = path.strip_prefix(&rules).unwrap().to_str().unwrap();
                fixture.rule_file(&format!("deploy/{name}"), &std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    fixture.rule_file("oci/defs.star", IMAGES);
    fixture
}

/// The bundle of `//deploy:to`, or the errors.
fn run(files: &str) -> Result<Bundle, String> {
    let fixture = workspace(files);
    let loader = fixture.loader();
    let platform = || Platform { os: Arc::from("linux"), arch: Arc::from("amd64") };
    let configuration = Some(Arc::new(Configuration::new(platform())));
    let keys = [TargetKey { label: label("//deploy:to"), configuration }];
    let options = Options { exec_platform: platform(), shell: label("@toolchains//:shell"), keep_going: false };
    let analysis = analyse(&loader, &keys, &options, &NoReporter).map_err(|errors| {
        let messages: Vec<String> = errors.0.iter().map(|error| error.message.clone()).collect();
        messages.join("\n")
    })?;
    let params = analysis.actions.iter().find_map(|action| match &action.kind {
        ActionKind::Builtin { name, params } if &**name == "bundle" => Some((params.clone(), action.inputs.to_list())),
        _ => None,
    });
    let (params, inputs) = params.expect("a deploy target has one `bundle` action");
    let digest = format!("sha256:{}", "0".repeat(64)).into_bytes();
    let paths = inputs.iter().map(|input| input.as_file().unwrap().path().to_string());
    let inputs: BTreeMap<String, Vec<u8>> = paths.map(|path| (path, digest.clone())).collect();
    Ok(Bundle::from_bytes(&bundle(&params, &inputs).unwrap()).unwrap())
}

fn deploy(environment: &str, target: &str) -> Result<Bundle, String> {
    run(&format!(
        r#"
//- deploy/BUILD.star
load("@rules//deploy:defs.star", "deploy", "environment")
environment(name = "staging", cluster = "staging", {environment})
deploy(name = "to", environment = ":staging", services = {target})
"#
    ))
}

const BOTH: &str = r#"["//services/orders", "//services/users"]"#;

fn refusal(environment: &str, target: &str) -> String {
    deploy(environment, target).unwrap_err()
}

#[test]
fn services_that_call_each_other_make_a_bundle() {
    let bundle = deploy(r#"values = {"log_level": "info"}, replicas = {"//services/orders": 2}"#, BOTH).unwrap();
    let orders = &bundle.release.services["orders"];
    let env = bundle.process_env("orders", orders).unwrap();
    let env: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    insta::assert_snapshot!(env.join("\n"), @r"
    GRPC_PORT=8443
    IMAGE_DIGEST=sha256:0000000000000000000000000000000000000000000000000000000000000000
    LOG_LEVEL=info
    SERVICE=orders
    USERS_ADDR=users:8080
    VERSION=000000000000
    WORKERS=2
    ");
    assert_eq!(bundle.replicas("orders", orders), 2);
    assert_eq!(orders.image.repository, "services/orders");
    assert_eq!(bundle.release.services["users"].state.as_ref().unwrap().path, "/data");
}

#[test]
fn values_that_do_not_fit_are_refused_with_both_places() {
    insta::assert_snapshot!(refusal(r#"values = {"log_levl": "info", "workers": "four"}"#, BOTH), @r#"
    deploy //deploy:to does not fit together:
      variable `log_level` of //services/orders:orders (attribute `env`, key LOG_LEVEL) has no value in //deploy:staging (attribute `values`) (did you mean `log_levl`?)
      variable `workers` of //services/orders:orders (attribute `env`, key WORKERS) has type int, but //deploy:staging (attribute `values`) gives the string "four"
      value `log_levl` of //deploy:staging (attribute `values`) is used by no variable (attribute `env`) of the services (did you mean `log_level`?)
    "#);
}

#[test]
fn calls_and_replicas_stay_within_the_services() {
    let environment = r#"values = {"log_level": "info"}, replicas = {"//services/user": 2, "//services/orders": 2}"#;
    insta::assert_snapshot!(refusal(environment, r#"["//services/orders"]"#), @r"
    deploy //deploy:to does not fit together:
      //services/orders:orders (attribute `calls`) calls //services/users:users, which is not in `services` of //deploy:to; add it there
      //deploy:staging (attribute `replicas`) names //services/user:user, which is not in `services` of //deploy:to (did you mean `//services/orders:orders`?)
    ");
    insta::assert_snapshot!(refusal(r#"values = {"log_level": "x"}, replicas = {"//services/users": 2}"#, BOTH), @r"
    deploy //deploy:to does not fit together:
      //deploy:staging (attribute `replicas`) asks for 2 of //services/users:users, which has `state` and runs once
    ");
}

/// The refusal of a service with these arguments.
fn service(arguments: &str) -> String {
    let text = format!(
        r#"
//- services/bad/BUILD.star
load("@rules//deploy:defs.star", "secret", "service", "var")
load("@rules//oci:defs.star", "image")
package(default_visibility = ["//visibility:public"])
image(name = "image")
service(name = "bad", image = ":image", {arguments})
//- deploy/BUILD.star
load("@rules//deploy:defs.star", "deploy", "environment")
environment(name = "staging", cluster = "staging")
deploy(name = "to", environment = ":staging", services = ["//services/bad"])
"#
    );
    run(&text).unwrap_err()
}

#[test]
fn services_are_checked() {
    let cases = [
        "grpc = 80",
        "grpc = 8080, http = 8080",
        r#"env = {"A-B": "x"}"#,
        r#"env = {"A": ["x"]}"#,
        r#"env = {"A": secret("a/b")}"#,
        r#"env = {"A": var("a", type = "float")}"#,
        r#"env = {"A": var("a", type = "int", default = "x")}"#,
        r#"secrets = {"A": "password"}"#,
        r#"secrets = {"A": secret("b")}"#,
        r#"resources = {"ram": "1Gi"}"#,
        r#"probe = "grpc""#,
        r#"state = "/data", replicas = 2"#,
        r#"calls = ["//services/absent"]"#,
    ];
    insta::assert_snapshot!(cases.map(service).join("\n"), @r#"
    service //services/bad:bad: attribute `grpc`: port 80 is not between 1024 and 65535
    service //services/bad:bad: attributes `grpc` and `http` have the same port 8080
    service //services/bad:bad: attribute `env`: "A-B" cannot name a variable
    service //services/bad:bad: attribute `env`: A must be a string, an int, a bool or var(...), not a list
    service //services/bad:bad: attribute `env`: A is a secret; put it into `secrets`
    var("a"): type must be one of string, int, bool, not "float"
    var("a"): the default "x" is not of type int
    service //services/bad:bad: attribute `secrets`: A must be secret("<secret>/<key>")
    secret("b"): expected `<secret>/<key>`
    service //services/bad:bad: attribute `resources`: "ram" is none of cpu, memory, cpu_limit, memory_limit
    service //services/bad:bad: attribute `probe`: "grpc" needs a port in `grpc`
    service //services/bad:bad: attribute `replicas`: a service with `state` runs once, not 2 times
    there is no package `//services/absent`: there is no folder `services/absent`
    "#);
}

#[test]
fn no_variable_is_set_from_two_places() {
    let cases = [
        r#"env = {"VERSION": "1", "SERVICE": var("log_level", default = "x")}"#,
        r#"env = {"HTTP_PORT": 80, "GRPC_PORT": "free, there is no such port"}, http = 8080"#,
        r#"secrets = {"USERS_ADDR": secret("a/b")}, calls = ["//services/users"]"#,
        r#"env = {"A": "1"}, secrets = {"A": secret("a/b")}"#,
        r#"env = {"POD_NAME": "x", "IMAGE_DIGEST": "y"}, calls = ["//services/orders", "//services/users"]"#,
    ];
    insta::assert_snapshot!(cases.map(service).join("\n"), @r"
    service //services/bad:bad:
      variable `VERSION` is set by attribute `image`, and by attribute `env`, key `VERSION`
      variable `SERVICE` is set by attribute `name`, and by attribute `env`, key `SERVICE`
      give one of them another name
    service //services/bad:bad:
      variable `HTTP_PORT` is set by attribute `http` (port 8080), and by attribute `env`, key `HTTP_PORT`
      give one of them another name
    service //services/bad:bad:
      variable `USERS_ADDR` is set by attribute `calls` (//services/users:users), and by attribute `secrets`, key `USERS_ADDR`
      give one of them another name
    service //services/bad:bad:
      variable `A` is set by attribute `env`, key `A`, and by attribute `secrets`, key `A`
      give one of them another name
    service //services/bad:bad:
      variable `POD_NAME` is set by attribute `name`, and by attribute `env`, key `POD_NAME`
      variable `IMAGE_DIGEST` is set by attribute `image`, and by attribute `env`, key `IMAGE_DIGEST`
      give one of them another name
    ");
}

/// `a` with both protocols gives `A_HTTP_ADDR`, and so does `a-http`.
#[test]
fn two_callees_do_not_give_one_variable() {
    let text = r#"
//- services/a/BUILD.star
load("@rules//deploy:defs.star", "deploy", "environment", "service")
load("@rules//oci:defs.star", "image")
package(default_visibility = ["//visibility:public"])
image(name = "image")
service(name = "a", image = ":image", grpc = 8443, http = 8080)
service(name = "a-http", image = ":image", grpc = 8443)
service(name = "caller", image = ":image", calls = [":a", ":a-http"])
//- deploy/BUILD.star
load("@rules//deploy:defs.star", "deploy", "environment")
environment(name = "staging", cluster = "staging")
deploy(name = "to", environment = ":staging", services = ["//services/a:a", "//services/a:a-http", "//services/a:caller"])
"#;
    insta::assert_snapshot!(run(text).unwrap_err(), @r"
    service //services/a:caller:
      variable `A_HTTP_ADDR` is set by attribute `calls` (//services/a:a), and by attribute `calls` (//services/a:a-http)
      give one of them another name
    ");
}
