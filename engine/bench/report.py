"""The results as JSON and as Markdown: JSON holds every repetition, the tables what can be said of them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from figures import Summary, summary
from machine import Line
from runner import Outcome


@dataclass
class Case:
    """One workspace, and what came of the rows on it."""

    name: str
    title: str
    titles: dict[str, str]
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass
class Report:
    """Everything of one session."""

    command: str
    facts: dict[str, str]
    versions: dict[str, str]
    cases: list[Case] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def find(self, case: str, row: str, peer: str) -> Outcome | None:
        """The outcome of a row with a tool, if it was run."""
        for candidate in self.cases:
            for outcome in candidate.outcomes:
                if (candidate.name, outcome.row, outcome.peer) == (case, row, peer):
                    return outcome
        return None

    def wrong(self) -> list[Outcome]:
        """What a tool did not do as its row says."""
        return [outcome for case in self.cases for outcome in case.outcomes if outcome.wrong]

    def write(self, folder: Path) -> None:
        """Writes results.json and results.md."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(self.as_data(), indent=1) + "\n")
        (folder / "results.md").write_text(self.as_markdown())

    def as_data(self) -> dict[str, Any]:
        """All that was measured."""
        cases = [
            {"name": case.name, "title": case.title, "titles": case.titles, "rows": [_data(o) for o in case.outcomes]}
            for case in self.cases
        ]
        lines = [line.__dict__ for line in self.lines]
        said = {"command": self.command, "machine": self.facts, "versions": self.versions}
        return said | {"cases": cases, "lines": lines}

    def as_markdown(self) -> str:
        """The tables and the list."""
        parts = [f"# Benchmark\n\n`{self.command}`\n"]
        facts = self.facts | self.versions
        parts.append("\n".join(f"- {name}: {value}" for name, value in facts.items()) + "\n")
        parts.append("Cells: median wall seconds (median CPU-seconds, servers included) peak memory.\n")
        for case in self.cases:
            parts += [_table(case), _details(case)]
        if self.lines:
            head = ["## Beside the machine\n", "| what | result | command |", "|---|---|---|"]
            rows = [f"| {line.name} | {line.value} | `{_plain(line.command)}` |" for line in self.lines]
            parts.append("\n".join([*head, *rows, ""]))
        return "\n".join(parts)


def size(number: float) -> str:
    """Bytes, in MB."""
    return f"{number / 1e6:.0f} MB"


def seconds(figure: float) -> str:
    """Seconds with three digits that say something."""
    return f"{figure:.3f}" if figure < 1 else f"{figure:.2f}" if figure < 10 else f"{figure:.1f}"


def _summaries(outcome: Outcome) -> tuple[Summary, Summary, int]:
    walls = summary([sample.wall for sample in outcome.samples])
    cpus = summary([sample.cpu for sample in outcome.samples])
    return walls, cpus, max(sample.memory for sample in outcome.samples)


def _data(outcome: Outcome) -> dict[str, Any]:
    data: dict[str, Any] = {"row": outcome.row, "peer": outcome.peer, "command": outcome.command}
    if outcome.samples:
        walls, cpus, memory = _summaries(outcome)
        data |= {"wall": walls.__dict__, "cpu": cpus.__dict__, "memory": memory or None}
        data["samples"] = [{"wall": s.wall, "cpu": s.cpu, "memory": s.memory} for s in outcome.samples]
        data |= {"ran": outcome.ran, "counted": outcome.counted}
    return data | {"absent": outcome.absent, "wrong": outcome.wrong}


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    if outcome.wrong:
        return "WRONG"
    if not outcome.samples:
        return "-"
    walls, cpus, memory = _summaries(outcome)
    return f"{seconds(walls.median)} ({seconds(cpus.median)}) {size(memory) if memory else ''}".strip()


def _table(case: Case) -> str:
    peers = list(dict.fromkeys(outcome.peer for outcome in case.outcomes))
    rows = list(dict.fromkeys(outcome.row for outcome in case.outcomes))
    by_key = {(outcome.row, outcome.peer): outcome for outcome in case.outcomes}
    lines = [f"## {case.title}\n", f"| | {' | '.join(peers)} |", "|---" * (len(peers) + 1) + "|"]
    for row in rows:
        cells = " | ".join(_cell(by_key.get((row, peer))) for peer in peers)
        lines.append(f"| {case.titles.get(row, row)} | {cells} |")
    return "\n".join(lines) + "\n"


def _details(case: Case) -> str:
    head = "| row | tool | command | n | wall: median, minimum, spread | CPU: median, minimum, spread | ran |"
    lines = [head, "|---" * 7 + "|"]
    for outcome in case.outcomes:
        begin = f"| {outcome.row} | {outcome.peer} |"
        if not outcome.samples or outcome.wrong:
            reason = f"WRONG: {outcome.wrong}" if outcome.wrong else f"not available: {outcome.absent}"
            lines.append(f"{begin} {_quoted(outcome.command)} | 0 | {_plain(reason)} | | |")
            continue
        walls, cpus, _ = _summaries(outcome)
        ran = ", ".join("not said" if number is None else str(number) for number in dict.fromkeys(outcome.ran))
        ran += f" (recorded {outcome.counted})" if outcome.counted is not None else ""
        lines.append(f"{begin} {_quoted(outcome.command)} | {walls.count} | {_three(walls)} | {_three(cpus)} | {ran} |")
    return "\n".join(lines) + "\n"


def _three(figures: Summary) -> str:
    return f"{seconds(figures.median)}, {seconds(figures.minimum)}, {figures.spread:.0%}"


def _quoted(command: str) -> str:
    return f"`{command}`" if command else ""


def _plain(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
