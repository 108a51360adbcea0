//! Files that never end, or call themselves.

use super::file::Hostile;

pub fn all() -> Vec<Hostile> {
    let mut all = comprehensions();
    all.extend(functions());
    all.extend(recursion());
    all
}

fn comprehensions() -> Vec<Hostile> {
    vec![
        Hostile::build(
            "nested comprehensions over large ranges",
            "\nx = [a for a in range(100000) for b in range(100000) for c in range(100000) if False]\n",
        )
        .at("BUILD.star:2"),
        Hostile::build("a comprehension of a dictionary", "x = {a: 1 for b in range(1 << 30) for a in range(3)}\n")
            .at("BUILD.star:1"),
        Hostile::build("globs without end", "x = [glob([\"**\"]) for i in range(100000000)]\n").at("BUILD.star:1"),
        Hostile::build(
            "packages below, without end",
            "x = [subpackages(include = [\"**\"]) for i in range(100000000)]\n",
        )
        .at("BUILD.star:1"),
        Hostile::build(
            "the largest of a large range, again and again",
            "x = [max(range(9000000)) for i in range(9000000)]\n",
        )
        .at("BUILD.star:1"),
        Hostile::build(
            "sorting without end",
            "r = list(range(1000000))\nx = [len(sorted(r)) for i in range(9000000)]\n",
        )
        .at("BUILD.star:2"),
        Hostile::build(
            "comparing without end",
            "a = [0] * 5000000\nb = [0] * 5000000\nx = [a == b for i in range(9000000)]\n",
        )
        .at("BUILD.star:3"),
        Hostile::build("searching without end", "a = [0] * 5000000\nx = [1 in a for i in range(9000000)]\n")
            .at("BUILD.star:2"),
        Hostile::build(
            "text searched without end",
            "a = \"a\" * 5000000\nx = [a.count(\"aab\") for i in range(9000000)]\n",
        )
        .at("BUILD.star:2"),
        Hostile::build("labels without end", "x = [Label(\"//a:b\") for i in range(1 << 30)]\n").at("BUILD.star:1"),
        Hostile::build("targets without end", "[filegroup(name = \"t%d\" % i) for i in range(1 << 30)]\n")
            .at("BUILD.star:1"),
        Hostile::build(
            "a million targets, each with a glob",
            "[filegroup(name = \"t%d\" % i, srcs = glob([\"**/*\"])) for i in range(1000000)]\n",
        )
        .at("BUILD.star:1"),
        Hostile::build(
            "the rules so far, again and again",
            "[filegroup(name = \"t%d\" % i, tags = [str(len(existing_rules()))]) for i in range(1000000)]\n",
        )
        .at("BUILD.star:1"),
    ]
}

fn functions() -> Vec<Hostile> {
    let looping = "    for a in range(1 << 30):\n        for b in range(1 << 30):\n            pass\n";
    vec![
        Hostile::library("a loop in a macro", format!("def f():\n{looping}")).at("lib.star"),
        Hostile::library("a loop while the file is loaded", format!("def g():\n{looping}\ng()\ndef f():\n    pass\n"))
            .at("lib.star"),
        Hostile::library("a loop in a lambda", "f = lambda: [a for a in range(1 << 30) for b in range(1 << 30) if False]\n"),
        Hostile::library("a list that grows while it is walked", "def f():\n    l = [1]\n    for x in l:\n        l.append(x)\n")
            .at("lib.star:4"),
        Hostile::library("a dictionary that grows while it is walked", "def f():\n    d = {1: 1}\n    for x in d:\n        d[x + 1] = 1\n")
            .at("lib.star:4"),
        Hostile::library("a queue that is refilled", "def f():\n    q = [0]\n    for i in range(1 << 30):\n        q.append(q.pop())\n"),
        Hostile::library("while", "def f():\n    while True:\n        pass\n").at("lib.star:2"),
        Hostile::build("for in a BUILD.star", "for x in range(10):\n    pass\n").at("BUILD.star:1"),
        Hostile::build("a loop in a rule", "load(\"//:lib.star\", \"r\")\nr(name = \"x\")\n")
            .with("lib.star", format!("def _r(ctx):\n{looping}\nr = rule(implementation = _r)\n"))
            .by(&["build", "//:x"])
            .at("lib.star"),
        Hostile::build("a loop in the attributes of a rule", "load(\"//:lib.star\", \"r\")\nr(name = \"x\")\n")
            .with("lib.star", "def _r(ctx):\n    pass\nr = rule(implementation = _r, attrs = {str(i): attr.string() for i in range(1 << 30)})\n")
            .at("lib.star:3"),
        Hostile::build("a loop in WORKSPACE.star", "x = 1\n")
            .with("WORKSPACE.star", "workspace(name = \"w\")\nx = [a for a in range(1 << 30) for b in range(1 << 30) if False]\n")
            .at("WORKSPACE.star:2"),
        Hostile::library("printing without end", "def f():\n    for i in range(1 << 30):\n        print(\"x\")\n"),
        Hostile::library("a hash table of colliding keys", "def f():\n    d = {}\n    for i in range(1 << 30):\n        d[(i, float(i))] = i\n"),
    ]
}

fn recursion() -> Vec<Hostile> {
    vec![
        Hostile::library("a function that calls itself", "def f():\n    f()\n").at("lib.star:2"),
        Hostile::library("functions that call each other", "def g():\n    h()\ndef h():\n    g()\ndef f():\n    g()\n"),
        Hostile::library("a function that is its own argument", "def g(h):\n    h(h)\ndef f():\n    g(g)\n"),
        Hostile::library("a lambda that is its own argument", "g = lambda h: h(h)\ndef f():\n    g(g)\n"),
        Hostile::library("functions in a list", "l = []\ndef g():\n    l[0]()\nl.append(g)\ng()\ndef f():\n    pass\n"),
        Hostile::library(
            "sorted by a function that sorts",
            "def g(h):\n    return sorted([1, 2], key = lambda x: h(h))\ndef f():\n    g(g)\n",
        ),
        Hostile::library("a list in itself, as text", "def f():\n    l = []\n    l.append(l)\n    fail(str(l))\n"),
        Hostile::library(
            "a list in itself, compared",
            "def f():\n    l = []\n    l.append(l)\n    m = []\n    m.append(m)\n    fail(l == m)\n",
        ),
        Hostile::library(
            "a list in itself, as JSON",
            "def f():\n    l = []\n    l.append(l)\n    fail(json.encode(l))\n",
        ),
        Hostile::build("a list in itself, as an attribute", "l = []\nl.append(l)\nfilegroup(name = \"x\", srcs = l)\n"),
        Hostile::library(
            "a nested list, compared",
            format!(
                "def f():\n    a = []\n    b = []\n{}    fail(a == b)\n",
                "    a = [a]\n    b = [b]\n".repeat(20_000)
            ),
        ),
        Hostile::library(
            "a deeply nested list, as text",
            "def f():\n    a = []\n    for i in range(100000):\n        a = [a]\n    fail(str(a))\n",
        ),
        Hostile::library(
            "a deeply nested list, compared",
            "def f():\n    a = []\n    b = []\n    for i in range(100000):\n        a = [a]\n        b = [b]\n    fail(a == b)\n",
        ),
        Hostile::library(
            "a deeply nested tuple, hashed",
            "def f():\n    a = ()\n    for i in range(100000):\n        a = (a,)\n    fail({a: 1})\n",
        ),
        Hostile::library(
            "a deeply nested list, as JSON",
            "def f():\n    a = []\n    for i in range(100000):\n        a = [a]\n    fail(json.encode(a))\n",
        ),
        Hostile::library("deeply nested JSON", "def f():\n    fail(json.decode(\"[\" * 100000 + \"]\" * 100000))\n"),
        Hostile::library(
            "a deeply nested list, frozen",
            "def g():\n    a = []\n    for i in range(100000):\n        a = [a]\n    return a\nA = g()\ndef f():\n    fail(len(A))\n",
        ),
        Hostile::library(
            "a deeply nested struct, as text",
            "def f():\n    a = struct()\n    for i in range(100000):\n        a = struct(a = a)\n    fail(str(a))\n",
        ),
        Hostile::library(
            "a deeply nested depset",
            "def f():\n    a = depset()\n    for i in range(100000):\n        a = depset([i], transitive = [a])\n    fail(len(a.to_list()))\n",
        ),
        Hostile::library(
            "a select in a select",
            "def f():\n    a = select({\"//conditions:default\": []})\n    for i in range(100000):\n        a = a + select({\"//conditions:default\": []})\n    \
             native.filegroup(name = \"x\", srcs = a)\n    fail(\"x\")\n",
        ),
    ]
}
