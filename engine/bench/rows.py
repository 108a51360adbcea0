"""The rows of the table: what is done before a command is timed, and which command it is."""

from collections.abc import Callable
from dataclasses import dataclass

from measure import Command, run
from peers.base import Peer


@dataclass(frozen=True)
class Row:
    """One row. `before` is not timed; the commands are, all at once; `ran` says how many actions they may run."""

    key: str
    title: str
    # What must be there before the first repetition: "built" (an up-to-date build) or "nothing" (as after a clone).
    needs: str
    before: Callable[[Peer], None]
    commands: Callable[[Peer], list[Command]]
    # Whether the commands build, so that outputs and the number of actions are checked.
    builds: bool = True
    # Whether a process that watches runs beside it.
    watched: bool = False
    # Whether it can be done only once: the second time it would be something else.
    once: bool = False
    # Whether how many actions run is the tool's own choice, and so is reported, not checked.
    free: bool = False


def nothing(_: Peer) -> None:
    """Leaves all as it is."""


def fresh(peer: Peer) -> None:
    """As after a clone."""
    peer.fresh()
    peer.workspace.all_must_run()


def stop(peer: Peer) -> None:
    """Without a server."""
    peer.stop()


def edit_leaf(peer: Peer) -> None:
    """One source edited that one action reads, whose output no other reads."""
    peer.workspace.edit_source(peer.workspace.graph.leaf())


def edit_deep(peer: Peer) -> None:
    """One source edited on which hundreds of actions depend."""
    peer.workspace.edit_source(peer.workspace.graph.deep_target)


def edit_halves(peer: Peer) -> None:
    """One leaf edited in each half of the packages."""
    for half in "ab":
        peer.workspace.edit_source(peer.workspace.graph.leaf(half))


def edit_comment(peer: Peer) -> None:
    """A comment edited in one build file."""
    package = peer.workspace.graph.package_of(peer.workspace.graph.leaf())
    peer.workspace.edit_comment(package)
    peer.rewrite(package)


def edit_attribute(peer: Peer) -> None:
    """The command of one target edited; it prints the same."""
    target = peer.workspace.graph.leaf()
    peer.workspace.edit_command(target)
    peer.rewrite(peer.workspace.graph.package_of(target))


def drop(peer: Peer) -> None:
    """Outputs removed, the cache kept."""
    peer.drop_outputs()


def cold_query(peer: Peer) -> None:
    """Without a server, where there is one."""
    if peer.name == "bazel":
        peer.stop()


def optimised_before(peer: Peer) -> None:
    """The other configuration built last, so that the timed build goes back."""
    run([peer.build_optimised()], peer.state / "logs")


def one(method: Callable[[Peer], Command]) -> Callable[[Peer], list[Command]]:
    """A single command."""
    return lambda peer: [method(peer)]


BUILD = one(lambda peer: peer.build())

ROWS: tuple[Row, ...] = (
    Row("load", "cold load: query of all, empty store", "nothing", fresh, one(lambda p: p.load()), builds=False),
    Row("analyse", "cold load and analysis", "nothing", fresh, one(lambda p: p.analyse()), builds=False),
    Row("full-plain", "full build, no sandbox", "nothing", fresh, one(lambda p: p.build_plain())),
    Row("full", "full build, sandboxed", "nothing", fresh, one(lambda p: p.build_sandboxed())),
    Row("null", "null build", "built", nothing, BUILD),
    Row("null-watch", "null build beside a watcher", "built", nothing, BUILD, watched=True),
    Row("null-stopped", "null build after its server stopped", "built", stop, BUILD),
    Row("source", "one source edited", "built", edit_leaf, BUILD),
    Row("deep", "deep edit", "built", edit_deep, BUILD),
    Row("comment", "one BUILD comment edited", "built", edit_comment, BUILD),
    Row("attribute", "one BUILD attribute edited", "built", edit_attribute, BUILD),
    Row("restore", "all outputs restored from the cache", "built", drop, BUILD),
    Row("query", "query deps(//...), cold process", "built", cold_query, one(lambda p: p.query()), builds=False),
    Row("query-warm", "query deps(//...), again", "built", nothing, one(lambda p: p.query()), builds=False),
    Row("half", "one half of the packages, a source edited", "built", edit_leaf, one(lambda p: p.build_half("a"))),
    Row("two", "both halves at once, a source edited in each", "built", edit_halves,
        lambda p: [p.build_half("a"), p.build_half("b")]),
    Row("flip", "flag flip: -c opt", "built", nothing, one(lambda p: p.build_optimised()), once=True, free=True),
    Row("flip-back", "flag flip: back", "built", optimised_before, BUILD),
)

KEYS = tuple(row.key for row in ROWS)
# These need packages in both halves.
HALVES = ("half", "two")
# What is asked of the other workspaces: 10,000 inputs of one action, one task a package, growth.
MANY_ROWS = ("full-plain", "full", "null", "source")
PACKAGE_ROWS = ("full-plain", "full", "null", "source", "restore")
GROWTH_ROWS = ("load", "full-plain", "full", "null", "source")
