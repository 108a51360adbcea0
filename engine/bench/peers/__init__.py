"""The tools that are compared. Each module knows one tool: its build files, its commands, how it counts what ran."""

from peers.base import Absent, Peer
from peers.bazel import Bazel
from peers.moon import Moon
from peers.ninja import Ninja
from peers.ours import Ours
from peers.turbo import Turbo

ALL: dict[str, type[Peer]] = {"build": Ours, "ninja": Ninja, "bazel": Bazel, "turbo": Turbo, "moon": Moon}

__all__ = ["ALL", "Absent", "Peer"]
