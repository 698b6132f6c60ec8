"""Tables and the figure of `engines.py`, from what it has measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine_bench import Bench, best, reaches, trainings
from engine_candidates import OTHERS, OURS, SIZES, Candidate
from rich.table import Table

TARGETS = (60.0, 30.0)
ATOMS = {64: [2, 2, 2], 512: [4, 4, 4]}


def points(bench: Bench) -> list[tuple[Candidate, float, float]]:
    """Cost in µs per atom at 512 atoms, by the fastest route, and force RMSE in meV/Å."""
    found = []
    costs = bench.results().get("evaluation", {}).values()
    for candidate in [OURS, *SIZES, *OTHERS]:
        record = best(bench, candidate)
        mine = [cost["cpu_seconds"] for cost in costs if cost["name"] == candidate.name and cost["atoms"] == 512]
        if record is not None and mine:
            found.append((candidate, min(mine), float(record["force_rmse"])))
    return found


def front(found: Sequence[tuple[Candidate, float, float]]) -> list[tuple[float, float]]:
    """Those that none is both faster and more accurate than, from fast to slow."""
    result: list[tuple[float, float]] = []
    for _, cost, error in sorted(found, key=lambda point: point[1:]):
        if not result or error < result[-1][1]:
            result.append((cost, error))
    return result


def draw(bench: Bench, path: Path) -> None:
    """Draw errors against costs, both logarithmic."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "bloomery"
    import matplotlib.pyplot as plt  # noqa: PLC0415
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    found = points(bench)
    if not found:
        print("no figure: nothing was both trained on all frames and evaluated; run `pareto`")
        return
    fig, axes = plt.subplots(figsize=(7.5, 5), layout="constrained")
    for candidate, cost, error in found:
        colour, marker = ("tab:red", "o") if candidate.ours else ("tab:blue", "s")
        # Single networks are on the left of the committees, and so are their names, out of each other's way.
        place, side = (-6, "right") if candidate.ours and "1 member" in candidate.name else (6, "left")
        axes.plot(cost, error, marker, color=colour, markersize=6)
        axes.annotate(candidate.name.removeprefix("hdnnp "), (cost, error), xytext=(place, 0), color=colour,
                      textcoords="offset points", fontsize=8, ha=side, va="center")  # fmt: skip
    axes.plot([], [], "o", color="tab:red", label="hdnnp")
    axes.plot([], [], "s", color="tab:blue", label="others, one model")
    axes.legend(loc="upper right")
    edge = front(found)
    axes.step(*zip(*edge, strict=True), where="post", color="0.7", linewidth=1, zorder=0)
    axes.set(xscale="log", yscale="log", xlabel="energy and forces, 512 atoms, one thread / µs per atom",
             ylabel="force RMSE on unseen trajectories / meV Å⁻¹")  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.25, y=0.1)
    axes.grid(which="both", alpha=0.2)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(fig)


def table_of_times(bench: Bench) -> Table:
    """Seconds until each target, and the best error that was reached."""
    heads = [f"{target:g} meV/Å" for target in TARGETS]
    table = Table("", *heads, "best force RMSE, meV/Å", "in",
                  title="Time to a force RMSE, seconds of one processor (wall)")  # fmt: skip
    for candidate in [OURS, *SIZES, *OTHERS]:
        records = trainings(bench, candidate)
        last = best(bench, candidate)
        if last is None:
            continue
        row = []
        for target in TARGETS:
            good = [record for record in records if reaches(record, target)]
            shortest = min(good, key=lambda record: float(record["cpu_seconds"]), default=None)
            row.append(_seconds(shortest) if shortest else f"not in {bench.cap:g} s")
        table.add_row(candidate.name, *row, f"{last['force_rmse']:.1f}", _seconds(last))
    return table


def _seconds(record: dict[str, Any]) -> str:
    return f"{record['cpu_seconds']:.0f} ({record['seconds']:.0f})"


def table_of_costs(bench: Bench) -> Table:
    """Cost of an evaluation by engine and route."""
    table = Table("", "route", *(f"{atoms} atoms" for atoms in ATOMS),
                  title="Energy and forces, µs per atom of one processor (wall)")  # fmt: skip
    rows: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for cost in bench.results().get("evaluation", {}).values():
        rows.setdefault((cost["name"], cost["route"]), {})[cost["atoms"]] = cost
    for (name, route), costs in sorted(rows.items(), key=lambda row: float(row[1][512]["cpu_seconds"])):
        table.add_row(name, route, *(_microseconds(costs[atoms]) for atoms in ATOMS))
    return table


def _microseconds(cost: dict[str, Any]) -> str:
    return f"{cost['cpu_seconds']:.1f} ({cost['seconds']:.1f})"


def tables_of_scaling(bench: Bench) -> list[Table]:
    """Cost and memory of the embedded engine by atoms and by members."""
    found = list(bench.results().get("scaling", {}).values())
    result = []
    for kind, descriptor, title in (
        ("atoms", "power_spectrum", "hdnnp, 8 members"),
        ("members", "power_spectrum", "hdnnp, 512 atoms"),
        ("members", "acsf", "hdnnp on acsf, 512 atoms"),
    ):
        chosen = [record for record in found if record["kind"] == kind and record["descriptor"] == descriptor]
        table = Table(kind, "float64, µs per atom", "MiB", "float32, µs per atom", "MiB",
                      title=f"{title}: µs per atom of one processor (wall)")  # fmt: skip
        for value in sorted({record[kind] for record in chosen}):
            row = []
            for dtype in ("float64", "float32"):
                same = [record for record in chosen if record[kind] == value and record["dtype"] == dtype]
                row += [_microseconds(same[0]), f"{same[0]['memory_mib']:.0f}"] if same else ["", ""]
            table.add_row(f"{value:,}", *row)
        result.append(table)
    return result


def table_of_points(bench: Bench) -> Table:
    """Error and cost of all, and whether it is on the front."""
    found = points(bench)
    edge = front(found)
    table = Table("", "force RMSE, meV/Å", "µs per atom", "on the front", title="Accuracy against cost, 512 atoms")
    for candidate, cost, error in sorted(found, key=lambda point: point[1]):
        table.add_row(candidate.name, f"{error:.1f}", f"{cost:.1f}", "yes" if (cost, error) in edge else "")
    return table
