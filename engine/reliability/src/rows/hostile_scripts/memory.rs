//! Files that want more memory than there is, each by another function.

use super::file::Hostile;

pub fn all() -> Vec<Hostile> {
    let mut all = operators();
    all.extend(methods());
    all.extend(numbers());
    all
}

fn operators() -> Vec<Hostile> {
    vec![
        Hostile::build("a text times a number", "\nx = \"a\" * (1 << 30) * (1 << 30)\n"),
        Hostile::build("a text times the largest number", "x = \"abcdefgh\" * 2147483647\n").at("BUILD.star:1"),
        Hostile::build("a number times a text", "x = 2147483647 * \"abcdefgh\"\n").at("BUILD.star:1"),
        Hostile::build("a list times a number", "x = [0] * 2147483647\n").at("BUILD.star:1"),
        Hostile::build("a number times a list", "x = 2147483647 * [0]\n").at("BUILD.star:1"),
        Hostile::build("a tuple times a number", "x = (0, 1) * 2147483647\n").at("BUILD.star:1"),
        Hostile::build("a text times a number, in place", "x = \"abcdefgh\"\nx *= 2147483647\n").at("BUILD.star:2"),
        Hostile::build("a list times a number, in place", "x = [1]\nx *= 2147483647\n").at("BUILD.star:2"),
        Hostile::build("a text that doubles", "x = \"abcdefgh\"\n".to_owned() + &"x = x + x\n".repeat(60)),
        Hostile::build("a text that doubles in place", "x = \"abcdefgh\"\n".to_owned() + &"x += x\n".repeat(60)),
        Hostile::build("a list that doubles", "x = [1]\n".to_owned() + &"x = x + x\n".repeat(60)),
        Hostile::library(
            "a text that doubles in a loop",
            "def f():\n    x = \"abcdefgh\"\n    for i in range(60):\n        x = x + x\n",
        ),
        Hostile::library(
            "a text that doubles in place in a loop",
            "def f():\n    x = \"abcdefgh\"\n    for i in range(60):\n        x += x\n",
        ),
        Hostile::library(
            "a list that doubles in place in a loop",
            "def f():\n    x = [1]\n    for i in range(60):\n        x += x\n",
        ),
        Hostile::library(
            "a tuple that doubles in a loop",
            "def f():\n    x = (1,)\n    for i in range(60):\n        x = x + x\n",
        ),
        Hostile::build(
            "a large text in a comprehension",
            "s = \"a\" * 1000000\nx = [s + str(i) for i in range(1000000)]\n",
        )
        .at("BUILD.star:2"),
        Hostile::build(
            "a large text formatted in a comprehension",
            "s = \"a\" * 1000000\nx = [\"%s%d\" % (s, i) for i in range(1000000)]\n",
        )
        .at("BUILD.star:2"),
        Hostile::build(
            "a text formatted with itself",
            "s = \"a\" * 1000000\nx = \"%s\" * 100000 % tuple([s] * 100000)\n",
        )
        .at("BUILD.star:2"),
        Hostile::build("a large text sliced", "s = \"a\" * 10000000\nx = [s[i:] for i in range(1000000)]\n")
            .at("BUILD.star:2"),
        Hostile::build("many small lists", "x = [[] for i in range(1 << 30)]\n").at("BUILD.star:1"),
        Hostile::build("many large lists", "x = [list(range(1000000)) for i in range(1000000)]\n").at("BUILD.star:1"),
        Hostile::build("many large texts of a range", "x = [str(list(range(100000))) for i in range(1000000)]\n")
            .at("BUILD.star:1"),
        Hostile::build("many large dictionaries", "x = [{a: a for a in range(1000)} for i in range(1000000)]\n")
            .at("BUILD.star:1"),
    ]
}

fn methods() -> Vec<Hostile> {
    vec![
        Hostile::build("a list of a large range", "x = list(range(2147483647))\n").at("BUILD.star:1"),
        Hostile::build("a tuple of a large range", "x = tuple(range(2147483647))\n").at("BUILD.star:1"),
        Hostile::build("a sorted large range", "x = sorted(range(2147483647))\n").at("BUILD.star:1"),
        Hostile::build("a reversed large range", "x = reversed(range(2147483647))\n").at("BUILD.star:1"),
        Hostile::build("an enumerated large range", "x = enumerate(range(2147483647))\n").at("BUILD.star:1"),
        Hostile::build("a zipped large range", "x = zip(range(2147483647), range(2147483647))\n").at("BUILD.star:1"),
        Hostile::build("a large range extends a list", "x = []\nx.extend(range(2147483647))\n").at("BUILD.star:2"),
        Hostile::build("a large range is added to a list", "x = []\nx += range(2147483647)\n").at("BUILD.star:2"),
        Hostile::build("a dictionary of a large range", "x = dict(enumerate(range(2147483647)))\n").at("BUILD.star:1"),
        Hostile::build("a list that extends itself", "l = [1]\nx = [l.extend(l) for i in range(60)]\n").at("BUILD.star:2"),
        Hostile::build("a text replaced by itself", "s = \"a\" * 1000000\nx = s.replace(\"a\", s)\n").at("BUILD.star:2"),
        Hostile::build("an empty text replaced", "s = \"a\" * 1000000\nx = s.replace(\"\", s)\n").at("BUILD.star:2"),
        Hostile::build("many copies joined", "s = \"a\" * 1000000\nx = s.join([s] * 1000000)\n").at("BUILD.star:2"),
        Hostile::build("many copies formatted", "s = \"a\" * 1000000\nx = (\"{0}\" * 1000000).format(s)\n").at("BUILD.star:2"),
        Hostile::library(
            "many copies as JSON",
            "def f():\n    a = \"a\" * 1000\n    for i in range(60):\n        a = [a, a]\n    fail(json.encode(a))\n",
        ),
        Hostile::library(
            "many copies as text",
            "def f():\n    a = \"a\" * 1000\n    for i in range(60):\n        a = [a, a]\n    fail(str(a))\n",
        ),
        Hostile::library(
            "many copies compared",
            "def f():\n    a = \"a\"\n    b = \"a\"\n    for i in range(60):\n        a = [a, a]\n        b = [b, b]\n    fail(a == b)\n",
        ),
        Hostile::library(
            "many copies hashed",
            "def f():\n    a = (\"a\",)\n    for i in range(60):\n        a = (a, a)\n    fail({a: 1})\n",
        ),
        Hostile::build(
            "many copies as an attribute",
            "load(\"//:lib.star\", \"f\")\nf()\n",
        )
        .with(
            "lib.star",
            "def f():\n    a = [\"a\"] * 1000\n    for i in range(40):\n        native.filegroup(name = str(i), srcs = a)\n        a = a + a\n",
        )
        .at("lib.star"),
        Hostile::library(
            "a depset of many paths, as a list",
            "def f():\n    a = depset([1])\n    for i in range(60):\n        a = depset([i], transitive = [a, a])\n    fail(len(a.to_list()) == 60)\n",
        ),
        Hostile::build("a text split at each character", "s = \"a,\" * 100000000\nx = s.split(\",\")\n").at("BUILD.star:2"),
        Hostile::build("a text as elements", "s = \"a\" * 200000000\nx = list(s.elems())\n").at("BUILD.star:2"),
        Hostile::library("a message of a gigabyte", "def f():\n    fail(*([\"a\" * 1000000] * 1000))\n"),
        Hostile::library("printing a large text", "def f():\n    s = \"a\" * 1000000\n    for i in range(1 << 30):\n        print(s, s, s)\n"),
    ]
}

fn numbers() -> Vec<Hostile> {
    vec![
        Hostile::build("a number shifted far", "x = 1 << 2000000000\n").at("BUILD.star:1"),
        Hostile::build("a number shifted by a huge number", "x = 1 << (1 << 62)\n").at("BUILD.star:1"),
        Hostile::library(
            "a number that is squared",
            "def f():\n    x = 3\n    for i in range(60):\n        x = x * x\n",
        ),
        Hostile::library(
            "a number that is squared in place",
            "def f():\n    x = 3\n    for i in range(60):\n        x *= x\n",
        ),
        Hostile::library(
            "a number that is shifted by itself",
            "def f():\n    x = 1\n    for i in range(1 << 30):\n        x = x << 10000\n",
        ),
        Hostile::build("a number of two million digits", format!("x = {}\n", "9".repeat(2_000_000))).at("BUILD.star:1"),
        Hostile::build("a number from twenty million digits", "x = int(\"9\" * 20000000)\n").at("BUILD.star:1"),
        Hostile::build("a number formatted wide", "x = \"%2000000000d\" % 1\n").at("BUILD.star:1"),
        Hostile::build("a number divided by zero", "x = 1 // 0\n").at("BUILD.star:1"),
        Hostile::build("a range without a step", "x = range(0, 10, 0)\n").at("BUILD.star:1"),
        Hostile::build("the smallest number divided", "x = [1][(-1 << 62) // -1]\n").at("BUILD.star:1"),
        Hostile::build("a float out of range", "x = int(1e308 * 10)\n").at("BUILD.star:1"),
        Hostile::build("a large float as a number", "x = [1][int(1e308)]\n").at("BUILD.star:1"),
        Hostile::build("indices out of range", "x = [1][9999999999999999999999]\n").at("BUILD.star:1"),
        Hostile::build(
            "a slice with extreme bounds",
            "x = [1, 2, 3][9223372036854775807:-9223372036854775807:-1] + 1\n",
        )
        .at("BUILD.star:1"),
    ]
}
