"""The workspaces of a session: which graph, which rows, which tools."""

from dataclasses import dataclass

import rows
from graph import Graph, generate


@dataclass(frozen=True)
class Plan:
    """A workspace to be measured. `peers` are the names of the tools that it is for."""

    name: str
    title: str
    graph: Graph
    rows: tuple[str, ...]
    peers: tuple[str, ...]


CASES = ("main", "many-inputs", "packages", "machine", "growth")
# The tools that take any graph; those of npm's packages have one task in each package.
GRAPHS = ("build", "ninja", "bazel")
PACKAGES = ("build", "ninja", "bazel", "turbo", "moon")
# Only these are asked for graphs of more targets than this.
LARGE = 20_000
LARGE_PEERS = ("build", "ninja")


@dataclass(frozen=True)
class Wish:
    """What the command line asks for."""

    shape: str
    targets: int
    packages: int
    many: int
    growth: tuple[int, ...]
    seed: int
    cases: tuple[str, ...]
    rows: tuple[str, ...]
    peers: tuple[str, ...]


def plans(wish: Wish) -> list[Plan]:
    """The workspaces, in the order in which they are measured."""
    found = []
    if "main" in wish.cases:
        graph = generate(wish.shape, wish.targets, wish.packages, wish.seed)
        keys = tuple(key for key in rows.KEYS if graph.packages > 1 or key not in rows.HALVES)
        found.append(_plan(wish, "main", _described(graph), graph, keys, GRAPHS))
    if "many-inputs" in wish.cases:
        graph = generate("many-inputs", wish.many, 1)
        found.append(_plan(wish, "many-inputs", f"One action with {wish.many} inputs", graph, rows.MANY_ROWS, GRAPHS))
    if "packages" in wish.cases:
        graph = generate(wish.shape if wish.shape != "many-inputs" else "wide", wish.packages, wish.packages, wish.seed)
        title = f"{wish.packages} packages with one target each"
        found.append(_plan(wish, "packages", title, graph, rows.PACKAGE_ROWS, PACKAGES))
    if "growth" in wish.cases:
        for targets in wish.growth:
            graph = generate("wide", targets, max(1, targets // 10), wish.seed)
            peers = LARGE_PEERS if max(wish.growth) > LARGE else GRAPHS
            title = f"Growth: {_described(graph)}"
            found.append(_plan(wish, f"growth-{targets}", title, graph, rows.GROWTH_ROWS, peers))
    return [plan for plan in found if plan.rows and plan.peers]


def _plan(wish: Wish, name: str, title: str, graph: Graph, keys: tuple[str, ...], peers: tuple[str, ...]) -> Plan:
    wanted_rows = tuple(key for key in keys if key in wish.rows)
    wanted_peers = tuple(peer for peer in wish.peers if peer in peers)
    return Plan(name, title, graph, wanted_rows, wanted_peers)


def _described(graph: Graph) -> str:
    if graph.sources_each > 1:
        return f"One action with {graph.sources_each} inputs"
    reads = sum(len(dependencies) for dependencies in graph.dependencies) / graph.targets + 1
    form = f"{graph.shape}: depth {graph.depth()}, fan-in {reads:.1f}"
    return f"{graph.targets} targets in {graph.packages} packages, {form}"
