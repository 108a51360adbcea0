"""The graph of targets that every tool is given: which target reads which, and in which package it lies.

A graph knows nothing of files or tools. It is made from a seed, so that two runs, and two tools, have the same one.
"""

import random
from dataclasses import dataclass
from functools import cached_property

SHAPES = ("wide", "deep", "many-inputs")

# A wide graph has about this many layers, whatever its size; a deep one has this many targets in a layer.
WIDE_DEPTH = 20
DEEP_LAYER = 10
# A target reads its own source and the outputs of at most this many earlier targets: 2 on average, so fan-in 3.
MOST_DEPENDENCIES = 3
# The share of all actions that a deep edit makes run: 664 of 10,000, as in figures taken on other machines.
DEEP_SHARE = 0.0664


@dataclass(frozen=True)
class Graph:
    """Targets 0..n-1; each reads the outputs of earlier ones, listed in `dependencies`, and its own sources."""

    shape: str
    packages: int
    dependencies: tuple[tuple[int, ...], ...]
    sources_each: int = 1

    @property
    def targets(self) -> int:
        """How many targets there are: one action each."""
        return len(self.dependencies)

    def package_of(self, target: int) -> int:
        """The package that a target lies in: those of one package come from all layers, as in real workspaces."""
        return target % self.packages

    def package_name(self, package: int) -> str:
        """The folder of a package. One half of the packages is below `a`, the other below `b`."""
        half = "a" if package < (self.packages + 1) // 2 else "b"
        return f"{half}/p{package:05}"

    def members(self) -> list[list[int]]:
        """The targets of each package."""
        found: list[list[int]] = [[] for _ in range(self.packages)]
        for target in range(self.targets):
            found[self.package_of(target)].append(target)
        return found

    def depth(self) -> int:
        """How many targets the longest chain has."""
        levels: list[int] = []
        for dependencies in self.dependencies:
            levels.append(1 + max((levels[other] for other in dependencies), default=0))
        return max(levels)

    @cached_property
    def dependents(self) -> list[list[int]]:
        """For each target, those that read its output directly."""
        found: list[list[int]] = [[] for _ in range(self.targets)]
        for target, dependencies in enumerate(self.dependencies):
            for other in dependencies:
                found[other].append(target)
        return found

    def closure_size(self, target: int, limit: int) -> int:
        """How many actions an edit of a target's source makes run; counting ends above `limit`."""
        seen, queue = {target}, [target]
        while queue and len(seen) <= limit:
            for other in self.dependents[queue.pop()]:
                if other not in seen:
                    seen.add(other)
                    queue.append(other)
        return len(seen)

    def leaf(self, half: str = "a") -> int:
        """A target that nothing reads, in a half of the packages (in any, where that half has none)."""
        unread = [target for target, readers in enumerate(self.dependents) if not readers]
        inside = [target for target in unread if self.package_name(self.package_of(target)).startswith(half)]
        return (inside or unread)[0]

    @cached_property
    def deep_target(self) -> int:
        """The target whose edit makes a number of actions run that is closest to the share wanted."""
        wanted = max(2, round(self.targets * DEEP_SHARE))
        candidates = range(0, self.targets, max(1, self.targets // 2000))
        return min(candidates, key=lambda target: abs(self.closure_size(target, 2 * wanted) - wanted))


def generate(shape: str, targets: int, packages: int, seed: int = 1) -> Graph:
    """A graph of a shape. `many-inputs` is one target that reads as many sources as `targets` says."""
    if shape not in SHAPES:
        raise ValueError(f"no shape {shape!r}; there are {', '.join(SHAPES)}")
    if targets < 1 or packages < 1:
        raise ValueError("a workspace has at least one target and one package")
    if shape == "many-inputs":
        return Graph(shape, 1, ((),), sources_each=targets)
    layers = min(WIDE_DEPTH, targets) if shape == "wide" else max(1, targets // DEEP_LAYER)
    rng = random.Random(seed)
    starts = [layer * targets // layers for layer in range(layers + 1)]
    dependencies: list[tuple[int, ...]] = []
    for layer in range(layers):
        for _ in range(starts[layer], starts[layer + 1]):
            dependencies.append(_choose(rng, starts, layer))
    return Graph(shape, min(packages, targets), tuple(dependencies))


def _choose(rng: random.Random, starts: list[int], layer: int) -> tuple[int, ...]:
    """One target of the layer before, which makes the depth, and up to two of any earlier layer."""
    if layer == 0:
        return ()
    chosen = {rng.randrange(starts[layer - 1], starts[layer])}
    for _ in range(rng.randrange(MOST_DEPENDENCIES)):
        chosen.add(rng.randrange(starts[layer]))
    return tuple(sorted(chosen))
