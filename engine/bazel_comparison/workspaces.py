"""Random workspaces of text that Bazel and `build` both read, as files by path, BUILD files under the name `BUILD`.

What is declared is often right, and now and then wrong: refusals are compared as well as results.
"""

import random

PACKAGES = ["", "a", "a/b", "c", "d/e"]
CONDITIONS = ["//:on", "//:off", "//:both"]


class Package:
    """One BUILD file in the making."""

    def __init__(self, dice: random.Random, path: str, wrong: float):
        self.dice, self.path, self.wrong = dice, path, wrong
        self.lines: list[str] = []
        self.targets: list[str] = []
        self.outputs: list[str] = []
        self.files: dict[str, str] = {}

    def label(self, name: str) -> str:
        return f"//{self.path}:{name}"

    def slips(self) -> bool:
        return self.dice.random() < self.wrong


def quoted(items: list[str]) -> str:
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"


def sources(package: Package, known: list[str]) -> str:
    """A value of `srcs`: files, targets, globs, selects, sums of them."""
    dice = package.dice
    names = list(package.files) + package.outputs + package.targets + known
    chosen = dice.sample(names, min(len(names), dice.randint(0, 3)))
    if package.slips():
        chosen.append(dice.choice(["missing.txt", "//a:nothing", "//nowhere:x", ":UPPER", *names[:1], "//a/b/c.txt", "../x"]))
    parts = [quoted(chosen)]
    if dice.random() < 0.35:
        patterns = ["*.txt", "**/*.txt", "*/**", "**", "s/**", "f0.txt/**", "s/*", "l/*", "f*.t*t", "none*"]
        include = dice.sample(patterns, dice.randint(1, 2))
        exclude = dice.sample(patterns, dice.choice([0, 0, 1]))
        parts.append(f"glob({quoted(include)}, exclude = {quoted(exclude + ['**/BUILD*', '*SPACE*'])})")
    if dice.random() < 0.35:
        branch = quoted(dice.sample(names, min(len(names), dice.randint(0, 2))))
        other = quoted(dice.sample(names, min(len(names), dice.randint(0, 1))))
        parts.append(f'select({{"{dice.choice(CONDITIONS)}": {branch}, "//conditions:default": {other}}})')
    return " + ".join(parts)


def visibility(package: Package) -> str:
    entries = ["//visibility:public", "//visibility:private", "//a:__pkg__", "//a:__subpackages__", "//:__subpackages__", "//c:__pkg__"]
    if package.slips():
        return quoted(package.dice.sample(entries, 2))
    return quoted([package.dice.choice(entries + entries[:1] * 4)])


def common(package: Package) -> str:
    text = ""
    if package.dice.random() < 0.5:
        text += f", visibility = {visibility(package)}"
    if package.dice.random() < 0.08:
        text += ", testonly = True"
    if package.dice.random() < 0.1:
        text += ', tags = ["manual"]'
    return text


def genrule(package: Package, name: str, known: list[str]) -> None:
    dice = package.dice
    outs = [f"{name}.out"] if dice.random() < 0.8 else [f"{name}.out", f"{name}_d/second.out"]
    if package.slips():
        outs.append(dice.choice([f"{name}.out/in", outs[0], "f0.txt", "s/made", "b/made", name + ".x", *package.outputs[:1]]))
    srcs = sources(package, known)
    commands = [
        'cat $(SRCS) /dev/null | sort > $(RULEDIR)/%s; for o in $(OUTS); do echo x >> $$o; done' % outs[0],
        'for o in $(OUTS); do echo $(COMPILATION_MODE) %s > $$o; done' % name,
        "for o in $(OUTS); do wc -c $(SRCS) /dev/null | tail -1 | tr -d ' ' > $$o; done",
        "for o in $(OUTS); do echo > $$o; done; echo own > $(location %s)" % outs[0],
    ]
    if package.slips():
        commands = ["false | cat > $@; touch $(OUTS)", "touch $(OUTS); exit 3", "echo $(nothing)", "true", "echo $(location f0.txt) > $@"]
    package.lines.append(
        f'genrule(name = "{name}", srcs = {srcs}, outs = {quoted(outs)}, cmd = "{dice.choice(commands)}"{common(package)})'
    )
    package.outputs += outs[:1]


def declare(package: Package, number: int, known: list[str]) -> None:
    dice, name = package.dice, f"t{number}"
    if package.slips():
        name = dice.choice([name, "t0", "f0.txt", "s/x", "b/x", "a b", "x//y", ""])
    kind = dice.choice(["filegroup", "filegroup", "genrule", "genrule", "alias", "exports"])
    if kind == "filegroup":
        package.lines.append(f'filegroup(name = "{name}", srcs = {sources(package, known)}{common(package)})')
    elif kind == "genrule":
        genrule(package, name, known)
    elif kind == "alias":
        actual = dice.choice((package.targets + known + ["f0.txt"])[-4:])
        package.lines.append(f'alias(name = "{name}", actual = "{actual}"{common(package)})')
    else:
        names = [dice.choice(["f0.txt", "f1.txt", "s/x.txt"] + (package.outputs + package.targets if package.slips() else []))]
        package.lines.append(f"exports_files({quoted(names)})")
        return
    package.targets.append(name)


def workspace(seed: int) -> dict[str, str]:
    """The files of a workspace; a value that begins with `-> ` is a link."""
    dice = random.Random(seed)
    files = {"WORKSPACE": 'workspace(name = "df")\n'}
    known: list[str] = []
    wrong = dice.choice([0, 0, 0.02, 0.08])
    for path in dice.sample(PACKAGES[1:], dice.randint(1, 3)) + [""]:
        package = Package(dice, path, wrong)
        package.files = {name: f"{path}/{name}\n" for name in ["f0.txt", "f1.txt", "s/x.txt", "s/.h.txt"]}
        links = {"l": "-> s"} if dice.random() < 0.4 else {}
        if dice.random() < 0.4:
            package.lines.append(f'package(default_visibility = {visibility(package)})')
        if path == "":
            package.lines += [
                'config_setting(name = "on", define_values = {"x": "1"})',
                'config_setting(name = "off", values = {"define": "x=2"})',
                'config_setting(name = "both", define_values = {"x": "1", "y": "1"})',
            ]
        for number in range(dice.randint(1, 6)):
            declare(package, number, known)
        prefix = path + "/" if path else ""
        files.update({prefix + name: content for name, content in {**package.files, **links}.items()})
        files[prefix + "BUILD"] = "\n".join(package.lines) + "\n"
        known += [package.label(name) for name in package.targets + package.outputs[:1]]
    return files


def queries(files: dict[str, str], seed: int) -> list[str]:
    """Questions about a workspace."""
    dice = random.Random(seed + 1)
    packages = sorted(path.removesuffix("BUILD").rstrip("/") for path in files if path.endswith("BUILD"))
    one, other = dice.choice(packages), dice.choice(packages)
    return [
        "//...",
        "//...:*",
        f"//{one}:*",
        f"//{one}:all",
        f"deps(//{one}:all)",
        f"deps(//{one}:all, 1)",
        f"rdeps(//..., //{other}:f0.txt)",
        f"rdeps(//..., //{other}:all, 1)",
        f"kind(\"generated file\", //{one}:*)",
        "kind(genrule, //...)",
        "attr(testonly, 1, //...)",
        "attr(tags, manual, //...)",
        f"labels(srcs, //{one}:all)",
        f"labels(outs, //{one}:all)",
        f"siblings(//{one}:t0)",
        f"same_pkg_direct_rdeps(//{one}:f0.txt)",
        f"visible(//{one}:t0, //...)",
        f"buildfiles(//{one}:all)",
        f"allpaths(//{one}:all, //{other}:all)",
        f"//{one}:all except //{other}:t0",
        f"filter(\"out$\", //{one}:*)",
        f"//{one}/t0",
        f"//{one}...",
        f"@df//{one}:t0",
    ]
