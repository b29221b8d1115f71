"""Measure the cost of the plugin beside its peers, and print it as Markdown.

    python tests/benchmarks/run.py [--quick] [--markdown FILE] [--plot FILE.png]

Needs the extra ``bench``. Every value is a ratio within this run, of medians of CPU time over alternating
runs. It takes up to ten minutes. With ``--quick`` it takes seconds and only checks that the benchmarks work;
its figures are meaningless.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cases


def table(rows: list[cases.Row]) -> list[str]:
    lines = ["| what | measured | goal | met | |", "|---|---|---|---|---|"]
    for row in rows:
        met = "yes" if row.is_met else "**no**"
        lines.append(
            f"| {row.what} | {row.value:.2f} {row.unit} | ≤ {row.goal:g} {row.unit} | {met} | {row.detail} |"
        )
    return lines


def peer_table(found: dict[str, float], tests: int) -> list[str]:
    lines = [f"| {tests:,} trivial marked tests | over bare pytest, a test |", "|---|---|"]
    return lines + [
        f"| {peer} | {cost:.0f} µs |" for peer, cost in sorted(found.items(), key=lambda item: item[1])
    ]


def plot(file: Path, folder: Path, size: cases.Size, found: dict[str, float]) -> None:
    """Draw the cost against the number of tests, for the plugin and its peers.

    :param found: the cost of a test at ``size.tests``.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    counts = [size.tests // 5, size.tests * 2 // 5]
    costs = [
        cases.costs(folder / f"plot-{count}", count, min(size.rounds, 2), list(found)) for count in counts
    ]
    figure, axes = plt.subplots(figsize=(8, 5))
    for peer in found:
        seconds = [
            cost[peer] * count / 1e6
            for count, cost in zip([*counts, size.tests], [*costs, found], strict=True)
        ]
        axes.plot([*counts, size.tests], seconds, marker="o", label=peer)
    axes.set(xlabel="tests", ylabel="CPU seconds over bare pytest", title="What recording a run costs")
    axes.legend()
    figure.savefig(file, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="take a few seconds, only to show that the benchmarks work"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there too")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw cost against number of tests")
    options = parser.parse_args()
    size = cases.QUICK if options.quick else cases.FULL
    began = time.monotonic()

    def progress(row: cases.Row) -> None:
        print(
            f"… {time.monotonic() - began:.0f} s: {row.what}: {row.value:.2f} {row.unit} ({row.detail})",
            flush=True,
        )

    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        found = cases.all_costs(Path(name), size)
        rows = cases.active(found)
        for row in rows:
            progress(row)
        for case in cases.CASES:
            folder = Path(name) / case.__name__
            folder.mkdir()
            got = case(folder, size)
            for row in got if isinstance(got, list) else [got]:
                rows.append(row)
                progress(row)
        if options.plot:
            plot(options.plot, Path(name), size, found)
    met = sum(row.is_met for row in rows)
    lines = [*table(rows), "", *peer_table(found, size.tests), ""]
    lines.append(f"{met} of {len(rows)} goals met; took {time.monotonic() - began:.0f} s")
    print("\n".join(lines))
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
