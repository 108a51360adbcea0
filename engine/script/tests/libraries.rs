//! .star files: what they export, and every error with its place.
#![allow(missing_docs, reason = "a test")]

mod support;

use support::Workspace;

fn errors(text: &str) -> String {
    match Workspace::new(&format!("== x.star ==\n{text}")).library("x.star") {
        Ok(_) => "no errors".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn a_library_has_exports_rules_and_a_digest_of_all_it_loads() {
    let text = |inner: &str| {
        format!(
            "== a.star ==\nload(\":b.star\", \"impl\")\nr = rule(implementation = impl)\n_hidden = rule(implementation = impl)\n== b.star ==\ndef impl(ctx):\n    {inner}\n"
        )
    };
    let library = Workspace::new(&text("pass")).library("a.star").unwrap();
    assert!(library.exports().contains(&"r".to_owned()));
    assert!(library.rule("_hidden").is_some());
    assert!(library.rule("impl").is_none());
    let schema = library.rule("r").unwrap();
    assert_eq!(schema.attributes.keys().map(|name| &**name).collect::<Vec<_>>(), ["tags", "testonly", "visibility"]);
    assert_eq!(schema.location.as_ref().unwrap().to_string(), "a.star:2:5");
    assert_ne!(library.digest(), Workspace::new(&text("return []")).library("a.star").unwrap().digest());
}

#[test]
fn numbers_are_right_beyond_32_and_64_bits() {
    let text = r#"
def check(value, expected):
    if value != expected:
        fail("%r is not %r" % (value, expected))

check("%d %d %d" % (1 << 31, 1 << 63, -3 << 30), "2147483648 9223372036854775808 -3221225472")
check([1 << n for n in [0, 30, 31, 32]], [1, 1073741824, 2147483648, 4294967296])
check(-1 << 31, -2147483648)
check((1 << 64) >> 33, 2147483648)
check(-1 >> 40, -1)
check(2147483647 + 1, 2147483648)
check(-(-2147483647 - 1), 2147483648)
check(65536 * 65536, 4294967296)
check(4294967296 * 4294967296, 18446744073709551616)
check((-2147483647 - 1) // -1, 2147483648)
check(-9223372036854775808 // 7, -1317624576693539402)
check(-9223372036854775808 % 7, 6)
check((-2147483647 - 1) % -1, 0)
check(int("ffffffffffffffffff", 16), 4722366482869645213695)
check(int("-2147483649"), -2147483649)
check("{} {}".format(~(1 << 40), (1 << 40) | 1), "-1099511627777 1099511627777")
"#;
    assert_eq!(errors(text), "no errors");
    insta::assert_snapshot!(errors("def f(x):\n    x <<= 1\n"), @r###"
        x.star:2:5: error: `<<=` is not supported
                x <<= 1
                ^^^^^^^
          hint: write `x = x << n`
        "###);
}

#[test]
fn types_are_checked() {
    insta::assert_snapshot!(errors("def f(x: int) -> str:\n    return x\n\ny = f(1)\n"), @r###"
        x.star:2:5: error: Value `1` of type `int` does not match the type annotation `str` for return type
                return x
                ^^^^^^^^
          note: in `f`, called at x.star:4:5
        "###);
    insta::assert_snapshot!(errors("def f(x: list[str], *, y: File | None = None):\n    return x\n\nz = f([1])\n"), @r###"
        x.star:4:5: error: Value `[1]` of type `list` does not match the type annotation `list[str]` for argument `x`
            z = f([1])
                ^^^^^^
        "###);
    assert_eq!(
        errors("Info = provider()\ndef f(ctx: Context, dep: Target, info: Info) -> depset:\n    return depset([])\n"),
        "no errors"
    );
}

#[test]
fn globals_are_assigned_once() {
    insta::assert_snapshot!(errors("x = 1\nx = 2\n"), @r###"
        x.star:2:1: error: the global `x` cannot be assigned again
            x = 2
            ^
          note: it is first assigned at x.star:1:1
        "###);
    insta::assert_snapshot!(errors("x = []\nx += [1]\n"), @r###"
        x.star:2:1: error: the global `x` cannot be assigned again
            x += [1]
            ^
          note: it is first assigned at x.star:1:1
        "###);
    insta::assert_snapshot!(errors("def f():\n    return 1\n\nf = 2\n"), @r###"
        x.star:4:1: error: the global `f` cannot be assigned again
            f = 2
            ^
          note: it is first assigned at x.star:1:5
        "###);
}

#[test]
fn frozen_values_cannot_be_changed() {
    let text = "== x.star ==\nload(\":y.star\", \"l\", \"grow\")\ngrow()\n== y.star ==\nl = []\ndef grow():\n    l.append(1)\n";
    insta::assert_snapshot!(Workspace::new(text).library("x.star").unwrap_err(), @r###"
        y.star:3:5: error: this value cannot be changed any more
                l.append(1)
                ^^^^^^^^^^^
          note: what a .star file defines is frozen when the file has been loaded
          note: in `grow`, called at x.star:2:1
        "###);
}

#[test]
fn recursion_and_endless_work_are_stopped() {
    insta::assert_snapshot!(errors("def f(x):\n    return g(x)\n\ndef g(x):\n    return f(x)\n"), @r###"
        x.star:5:12: error: the function `f` is recursive
                return f(x)
                       ^^^^
          note: `f` -> `g` -> `f` call each other in a circle
        "###);
    insta::assert_snapshot!(errors("def f(g):\n    return g(g)\n\nx = f(f)\n"), @r###"
        x.star:2:12: error: calls are nested too deeply
                return g(g)
                       ^^^^
          note: in `f`, called at x.star:4:5
          hint: recursion is not allowed; use a loop over a list
        "###);
    let endless = "def f():\n    for a in range(100000):\n        for b in range(100000):\n            pass\n\nf()\n";
    insta::assert_snapshot!(errors(endless), @r###"
        x.star:3:18: error: evaluation takes too many steps
                    for b in range(100000):
                             ^^^^^^^^^^^^^
          note: in `f`, called at x.star:6:1
          hint: shorten the loop here, or what calls it
        "###);
    let memory = "def f():\n    x = []\n    for a in range(100000):\n        x.append(\"x\" * 100000)\n    return x\n\ny = f()\n";
    insta::assert_snapshot!(errors(memory), @r###"
        x.star:3:5: error: evaluation takes too much memory
                for a in range(100000):
                ^^^^^^^^^^^^^^^^^^^^^^^
          note: in `f`, called at x.star:7:5
          hint: shorten the loop here, or what calls it
        "###);
}

#[test]
fn statements_that_starlark_lacks() {
    insta::assert_snapshot!(errors("for x in [1]:\n    y = x\n"), @r###"
        x.star:1:1: error: `for` can stand only inside a function
            for x in [1]:
            ^^^^^^^^^^^^^
          hint: use a list comprehension, or a function in a .star file
        "###);
    insta::assert_snapshot!(errors("def f():\n    while True:\n        pass\n"), @r###"
        x.star:2:5: error: cannot use reserved keyword `while`
                while True:
                ^^^^^
        "###);
    insta::assert_snapshot!(errors("def f():\n    load(\":y.star\", \"y\")\n"), @r###"
        x.star:2:5: error: `load` must only occur at the top of a module
                load(":y.star", "y")
                ^^^^^^^^^^^^^^^^^^^^
        "###);
    insta::assert_snapshot!(errors("x = f\"{1}\"\n"), @r###"
        x.star:1:5: error: there are no f-strings
            x = f"{1}"
                ^^^^^^
          hint: write `"{}".format(x)` or `"%s" % x`
        "###);
    insta::assert_snapshot!(errors("x = prnt\n"), @r###"
        x.star:1:5: error: the name `prnt` is not defined
            x = prnt
                ^^^^
          hint: did you mean `int`?
        "###);
    insta::assert_snapshot!(errors("x = struct(size = 1).sise\n"), @r###"
        x.star:1:5: error: Object of type `struct` has no attribute `sise`
            x = struct(size = 1).sise
                ^^^^^^^^^^^^^^^^^^^^^
          hint: did you mean `size`?
        "###);
}

#[test]
fn rules_and_providers_need_names() {
    insta::assert_snapshot!(errors("x = [provider()][0](a = 1)\n"), @r###"
        x.star:1:5: error: this provider has no name
            x = [provider()][0](a = 1)
                ^^^^^^^^^^^^^^^^^^^^^^
          hint: assign the result of provider() to a top-level variable: `Info = provider(...)`
        "###);
    insta::assert_snapshot!(errors("Info = provider(fields = [\"sources\"])\nx = Info(source = 1)\n"), @r###"
        x.star:2:5: error: `Info` has no field `source`
            x = Info(source = 1)
                ^^^^^^^^^^^^^^^^
          hint: did you mean `sources`?
        "###);
    insta::assert_snapshot!(errors("Info = provider()\nx = Info(f = lambda x: x)\n"), @r###"
        x.star:2:5: error: the field `f` of `Info` must be data: a lambda is not defined at the top level of a .star file, so it cannot be kept as data
            x = Info(f = lambda x: x)
                ^^^^^^^^^^^^^^^^^^^^^
        "###);
    insta::assert_snapshot!(errors("r = rule(implementation = lambda ctx: [])\n"), @r###"
        x.star:1:5: error: `implementation`: a lambda is not defined at the top level of a .star file, so it cannot be kept as data
            r = rule(implementation = lambda ctx: [])
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "###);
    insta::assert_snapshot!(errors("def _impl(ctx):\n    pass\n\nr = rule(implementation = _impl)\nr(name = \"x\")\n"), @r###"
        x.star:5:1: error: the rule `r` can be called only while a BUILD.star is evaluated
            r(name = "x")
            ^^^^^^^^^^^^^
          hint: call it in a function (a macro) that a BUILD.star calls
        "###);
    insta::assert_snapshot!(errors("def _impl(ctx):\n    pass\n\nr = rule(implementation = _impl, attrs = {\"x\": attr.lable()})\n"), @r###"
        x.star:4:48: error: Object of type `namespace` has no attribute `lable`
            r = rule(implementation = _impl, attrs = {"x": attr.lable()})
                                                           ^^^^^^^^^^^^
          hint: did you mean `label`?
        "###);
    insta::assert_snapshot!(errors("x = attr.label(default = 3)\n"), @r###"
        x.star:1:5: error: attr.label: `default`: expected a label, but got the int 3
            x = attr.label(default = 3)
                ^^^^^^^^^^^^^^^^^^^^^^^
        "###);
    insta::assert_snapshot!(errors("x = attr.string(allow_files = True)\n"), @r###"
        x.star:1:5: error: attr.string: no argument is named `allow_files`
            x = attr.string(allow_files = True)
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "###);
    insta::assert_snapshot!(errors("def _impl(ctx):\n    pass\n\nr = rule(implementation = _impl, attrs = {\"tags\": attr.string()})\n"), @r###"
        x.star:4:5: error: every rule has the attribute `tags`; it cannot be declared again
            r = rule(implementation = _impl, attrs = {"tags": attr.string()})
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "###);
    let unnamed =
        "== x.star ==\ndef _impl(ctx):\n    pass\n\ndef declare():\n    rule(implementation = _impl)(name = \"x\")\n";
    insta::assert_snapshot!(Workspace::new(&format!("{unnamed}declare()\n")).library("x.star").unwrap_err(), @r###"
        x.star:5:5: error: this rule has no name
                rule(implementation = _impl)(name = "x")
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          note: in `declare`, called at x.star:6:1
          hint: assign the result of rule() to a top-level variable: `my_rule = rule(...)`
        "###);
}

#[test]
fn values_in_starlark() {
    let text = r#"
Info = provider(fields = {"a": "A.", "b": "B."})
def helper(x):
    return x + 1

def check(got, want):
    if got != want:
        fail("got", repr(got), "want", repr(want))

d = depset(["c"], order = "postorder")
s = depset(["a", "b"], transitive = [d], order = "postorder")
check(s.to_list(), ["c", "a", "b"])
check(bool(depset()), False)
check(type(s), "depset")
i = Info(a = [1, {"k": Label("//p:q")}], b = helper)
check(i.a, [1, {"k": Label("//p:q")}])
check(i.b(1), 2)
check(i == Info(a = i.a, b = helper), True)
check(str(Label("//p:q")), "//p:q")
check("%s" % Label(":q"), "//:q")
check(Label("//p/r").name, "r")
check(json.encode({"z": 1, "a": [None, True, struct(y = 1, x = "\"")], "l": Label("//p:q")}), '{"a":[null,true,{"x":"\\"","y":1}],"l":"//p:q","z":1}')
check(json.encode([1 << 70, {"b": {"d": 1, "c": 2}, "B": 0}]), '[1180591620717411303424,{"B":0,"b":{"c":2,"d":1}}]')
check(json.decode('{"z": 1, "a": [1.5, "x", null], "b": {}}'), {"z": 1, "a": [1.5, "x", None], "b": {}})
check(json.decode('{"z": 1, "a": 2}').keys(), ["z", "a"])
check(json.decode("{", default = 3), 3)
check(json.encode_indent({"a": [1, "x:,"], "e": {}}, indent = "  "), '{\n  "a": [\n    1,\n    "x:,"\n  ],\n  "e": {}\n}')
check({"a": 1} | {"b": 2}, {"a": 1, "b": 2})
check("a-%s" % 3, "a-3")
check("{}-{x}".format(1, x = 2), "1-2")
check(type(Info), "Provider")
check(sorted([3, 1]), [1, 3])
"#;
    assert_eq!(errors(text), "no errors");
    insta::assert_snapshot!(errors("x = depset([struct(f = select)])\n"), @r###"
        x.star:1:5: error: an element of a depset must be data: the function `select` is not defined at the top level of a .star file, so it cannot be kept as data
            x = depset([struct(f = select)])
                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "###);
    insta::assert_snapshot!(errors("x = depset(depset())\n"), @r###"
        x.star:1:5: error: the elements of a depset are a list, but got a depset
            x = depset(depset())
                ^^^^^^^^^^^^^^^^
          hint: write `depset(transitive = [...])` to include another depset
        "###);
    insta::assert_snapshot!(errors("x = [1]\nx.append(x)\ny = depset(x)\n"), @r###"
        x.star:3:5: error: an element of a depset must be data: it is nested too deeply
            y = depset(x)
                ^^^^^^^^^
        "###);
    insta::assert_snapshot!(errors("x = json.decode(\"{\")\n"), @r###"
        x.star:1:5: error: not JSON: EOF while parsing an object at line 1 column 1
            x = json.decode("{")
                ^^^^^^^^^^^^^^^^
        "###);
    for (value, reason) in [
        ("{1: 2}", "the key 1 of a dict is an int, but names are strings"),
        ("[float(\"nan\")]", "the float nan is no number"),
        ("struct(x = {\"y\": float(\"-inf\")})", "the float -inf is no number"),
    ] {
        let errors = errors(&format!("x = json.encode({value})\n"));
        assert!(errors.contains(&format!("cannot be written as JSON: {reason}")), "{errors}");
    }
    insta::assert_snapshot!(errors("x = Label(\"a//b\")\n"), @r###"
        x.star:1:5: error: `a//b` is not a label: a target name cannot start or end with `/` or contain `//`
            x = Label("a//b")
                ^^^^^^^^^^^^^
        "###);
}

#[test]
fn labels_are_relative_to_the_file_that_writes_them() {
    let text = r#"
== @r//p/a.star ==
L = Label(":x")
def make():
    return Label(":y")
A = attr.label(default = ":z")

def _impl(ctx):
    pass

rule_r = rule(implementation = _impl, attrs = {"x": A})
== b.star ==
load("@r//p:a.star", "L", "make")
x = [str(L), str(make())]
def check():
    if x != ["@r//p:x", "@r//p:y"]:
        fail(x)
check()
"#;
    let workspace = Workspace::new(text);
    workspace.library("b.star").unwrap();
    let rule = workspace.library("@r//p/a.star").unwrap().rule("rule_r").unwrap();
    assert_eq!(format!("{:?}", rule.attributes["x"].default), "Plain(Label(@r//p:z))");
}
