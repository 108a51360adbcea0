"""Build files in Starlark, the same text for every tool that reads it."""

from workspace import Workspace

VISIBILITY = 'package(default_visibility = ["//visibility:public"])\n'


def package_text(workspace: Workspace, package: int) -> str:
    """A package's build file in Starlark: the same text serves Bazel."""
    graph = workspace.graph
    lines = [f"# Comment {workspace.comments[package]}.\n", VISIBILITY]
    for target in range(package, graph.targets, graph.packages):
        lines.append(_genrule(workspace, target))
    return "".join(lines)


def _genrule(workspace: Workspace, target: int) -> str:
    graph = workspace.graph
    if graph.sources_each == 1:
        sources = [f'"s{target}.txt"'] + [f'"//{workspace.package(t)}:t{t}"' for t in graph.dependencies[target]]
        sources_text, inputs = f"[{', '.join(sources)}]", "$(SRCS)"
    else:
        sources_text, inputs = 'glob(["in/*.txt"])', f"{workspace.package(target)}/in/*.txt"
    version = workspace.commands[target]
    prefix = f": {version}; " if version else ""
    return (
        f'genrule(name = "t{target}", srcs = {sources_text}, outs = ["t{target}.out"], '
        f'cmd = "{prefix}cat {inputs} | md5sum > $@")\n'
    )
