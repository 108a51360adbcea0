//! `execution_requirements` of an action: whether its program can serve as a persistent worker. The names are Bazel's.

use starlark::values::dict::DictRef;

use crate::problem::{Problem, fail};

/// Requirements that say something of persistent workers which is no difference here: a worker gets one request at a
/// time, in a folder of its own, and is killed when it shall stop.
const WITHOUT_EFFECT: [&str; 3] =
    ["supports-multiplex-workers", "supports-multiplex-sandboxing", "supports-worker-cancellation"];

/// Whether the requirements say that the program speaks the worker protocol in JSON.
pub(super) fn is_supported(requirements: &DictRef<'_>, argv: &[String]) -> starlark::Result<bool> {
    let (mut worker, mut json) = (false, false);
    for (name, value) in requirements.iter() {
        let Some(value) = value.unpack_str() else {
            return fail(format!("`execution_requirements` takes a dict of strings to strings, but got {value}"));
        };
        match (name.unpack_str(), value) {
            (Some("supports-workers"), value) => worker = value == "1",
            (Some("requires-worker-protocol"), "json") => json = true,
            // The default of Bazel, which is not spoken here: such a tool runs as a process for each action.
            (Some("requires-worker-protocol"), "proto") => json = false,
            (Some("requires-worker-protocol"), other) => {
                return fail(format!("`requires-worker-protocol` is \"json\" or \"proto\", but got {other:?}"));
            }
            (Some(name), _) if WITHOUT_EFFECT.contains(&name) => {}
            _ => {
                let problem = Problem::new(format!("`execution_requirements` has no {name}"));
                return Err(problem.hint("it takes `supports-workers` and `requires-worker-protocol`").into());
            }
        }
    }
    if worker && json && !argv.iter().skip(1).any(|argument| model::flag_file(argument).is_some()) {
        let problem =
            Problem::new("the arguments of a persistent worker's requests come from a file, but none is named");
        return Err(problem
            .hint("write them to a file with `ctx.actions.write`, and give `\"@\" + file.path` as the last argument")
            .into());
    }
    Ok(worker && json)
}
