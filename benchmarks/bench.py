"""`make bench`: the promises, measured on running nodes, beside bare namespaces and Docker in the same run.

    python -m benchmarks.bench [--url URL]... [--short] [--json FILE]

Several nodes (another runtime, another version) stand side by side. Prints a table and, last, one line of JSON.
Times are medians of a shared machine: compare within a run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import peers
from benchmarks.figures import SHORT, Figure, Sizes
from benchmarks.node import measure
from benchmarks.statistics import summarise
from envserver_sdk import Client

__all__ = ["SHORT", "Report", "Sizes", "run"]


@dataclass(frozen=True)
class Report:
    """What was measured: beside us, and on each node."""

    beside: list[Figure]
    nodes: dict[str, list[Figure]]
    """By the node's runtime and address."""

    def as_dict(self) -> dict[str, Any]:
        machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0]}
        nodes = {name: [figure.as_dict() for figure in figures] for name, figures in self.nodes.items()}
        return {"machine": machine, "beside": [figure.as_dict() for figure in self.beside], "nodes": nodes}

    def print(self) -> None:
        """The table: a line a figure, two columns a node."""
        table = Table(title="envserver bench")
        table.add_column("figure")
        for name in self.nodes:
            table.add_column(f"{name}\np50", justify="right")
            table.add_column("\np99", justify="right")
        table.add_column("target")
        for figure in self.beside:
            table.add_row(figure.name, *_cells(figure), *[""] * 2 * (len(self.nodes) - 1), figure.target)
        for title, target in self._titles().items():
            found = ({figure.name: figure for figure in figures}.get(title) for figures in self.nodes.values())
            table.add_row(title, *(cell for figure in found for cell in _cells(figure)), target)
        Console(width=100 + 24 * len(self.nodes)).print(table)

    def _titles(self) -> dict[str, str]:
        return {figure.name: figure.target for figures in self.nodes.values() for figure in figures}


def _cells(figure: Figure | None) -> tuple[str, str]:
    if figure is None:
        return "", ""
    if figure.times:
        return f"{figure.times.p50:.2f} ms", f"{figure.times.p99:.2f} ms"
    return f"{figure.value} {figure.unit}", ""


def _beside_us(sizes: Sizes) -> list[Figure]:
    figures = []
    if bare := peers.bare_namespaces(sizes.peer_rounds * 3):
        figures.append(Figure("bare namespaces + overlay + exec true", "the limit", summarise(bare)))
    starts, execs = peers.docker_create_start_exec(sizes.peer_rounds)
    figures.append(Figure("docker create + start + exec true", "a peer", summarise(starts)))
    figures.append(Figure("docker exec true", "a peer", summarise(execs)))
    return figures


def run(urls: Sequence[str], sizes: Sizes, api_key: str | None = None) -> Report:
    """Measure everything."""
    beside, nodes = _beside_us(sizes), {}
    for url in urls:
        with Client(url, api_key) as client:
            name = f"{client.health().runtime} {url.removeprefix('http://')}"
        nodes[name] = asyncio.run(measure(url, sizes, api_key))
    return Report(beside, nodes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", action="append", help="default: http://127.0.0.1:8000")
    parser.add_argument("--short", action="store_true", help="few rounds: shows that it works, not how fast")
    parser.add_argument("--json", type=Path, help="also write the JSON here")
    arguments = parser.parse_args()
    report = run(arguments.url or ["http://127.0.0.1:8000"], SHORT if arguments.short else Sizes())
    report.print()
    document = json.dumps(report.as_dict())
    if arguments.json:
        arguments.json.write_text(document)
    print(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
