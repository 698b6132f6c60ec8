"""Where modules stand and what they may import: no import goes upwards, and none goes in a circle.

All imports count: those at the top of a module, those inside functions, and those for type checkers alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"

BASE = {
    "bloomery", "devices", "errors", "native", "papers", "plugins", "progress", "quantities", "seeds", "statistics",
    "threads", "versions",
}  # fmt: skip
"""Modules that all others may use. ``native`` is the loader of kernels in C."""

FLOORS = (
    BASE,
    {"frames"},
    {"configurations", "potentials", "reference"},
    {"foundations"},
    {"descriptors", "labellers"},
    {"properties"},
    {"samplers", "selectors"},
    {"engines", "observables"},
    {"campaign", "jobs"},
    {"model_selection", "program", "testing"},
)
"""Rooms of the science, from the ground up; ``configurations`` is the name under which users import those of frames."""

ORDER = (
    "aiida_bloomery", "data", "setup", "calculations", "parsers", "workflows", "provenance", "campaign_file", "report",
    "services", "submission", "cli",
)  # fmt: skip
"""Rooms of the orchestration, each of which may use those before it, and all of the science."""

each_package = pytest.mark.parametrize(
    ("package", "floors"), [("bloomery", FLOORS), ("aiida_bloomery", tuple({name} for name in ORDER))]
)

Module = str


@cache
def modules() -> dict[Module, Path]:
    """Every module of both packages by its dotted name."""
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(SOURCE.rglob("*.py"))
    }


@cache
def imports_of(module: Module) -> frozenset[Module]:
    """Modules of both packages that a module imports, wherever in it."""
    found: set[Module] = set()
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(modules())
            found |= submodules
            if len(submodules) < len(node.names):
                found.add(node.module)
    return frozenset(found & set(modules()))


def room(module: Module) -> str:
    """The folder, or loose module, of a package that a module stands in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def upwards(package: str, floors: tuple[set[str], ...]) -> Iterator[str]:
    """Imports that go to another room which is not on a lower floor."""
    floor_of = {name: number for number, floor in enumerate(floors) for name in floor}
    for module in modules():
        if module.split(".")[0] != package:
            continue
        for other in sorted(imports_of(module)):
            here, there = room(module), room(other)
            if other.split(".")[0] != package or here == there or {here, there} <= BASE:
                continue
            if floor_of[there] >= floor_of[here]:
                yield f"{module} imports {other}"


def circles() -> list[list[Module]]:
    """Modules that import each other, directly or through others (Tarjan, SIAM J. Comput. 1, 146 (1972))."""
    number: dict[Module, int] = {}
    lowest: dict[Module, int] = {}
    path: list[Module] = []
    result = []

    def visit(module: Module) -> None:
        number[module] = lowest[module] = len(number)
        path.append(module)
        for other in imports_of(module) - {module}:
            if other not in number:
                visit(other)
            if other in path:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == number[module]:
            place = path.index(module)
            result.append(sorted(path[place:]))
            del path[place:]

    for module in modules():
        if module not in number:
            visit(module)
    return [circle for circle in result if len(circle) > 1]


@each_package
def test_every_room_has_its_floor(package: str, floors: tuple[set[str], ...]) -> None:
    rooms = {room(module) for module in modules() if module.split(".")[0] == package}
    assert rooms == set().union(*floors)


@each_package
def test_no_import_goes_upwards(package: str, floors: tuple[set[str], ...]) -> None:
    assert list(upwards(package, floors)) == []


def test_no_import_goes_in_a_circle() -> None:
    assert circles() == []


def test_loose_modules_are_few_and_belong_to_the_base() -> None:
    loose = {path.stem for path in (SOURCE / "bloomery").glob("*.py")} - {"__init__"}
    assert loose - BASE == {"configurations"}
    assert len(loose) <= 12


def test_the_science_knows_nothing_of_the_orchestration() -> None:
    for module in modules():
        if module.split(".")[0] == "bloomery":
            assert not [other for other in imports_of(module) if other.startswith("aiida_bloomery")], module


def test_documentation_names_every_room() -> None:
    page = (SOURCE.parent / "docs" / "topics" / "where_is_what.md").read_text(encoding="utf-8")
    rooms = {room(module) for module in modules()} - {"bloomery", "aiida_bloomery"}
    assert not [name for name in sorted(rooms) if f"`{name}`" not in page and f"bloomery.{name}`" not in page]
