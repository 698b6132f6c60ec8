"""Numbers with units: what is taken, what it becomes, and what is refused."""

from __future__ import annotations

from typing import Annotated

import pytest
from ase import units
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from bloomery.quantities import DIMENSIONS, Unit

NAMES = [(dimension, name) for dimension, names in DIMENSIONS.items() for name in names]


class Sample(BaseModel):
    force: Annotated[float, Unit("meV/Å"), Field(gt=0)] = 1.0
    seconds: Annotated[int, Unit("s")] = 1
    share: Annotated[float, Unit("1")] = 0.5


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("100 meV/Å", "meV/Å", 100),
        ("0.1 eV/Å", "meV/Å", 100),
        ("0.1eV/A", "meV/Å", 100),
        ("1 Ry/bohr", "eV/Å", units.Ry / units.Bohr),
        ("30 Ry", "Ry", 30),
        ("1 Ha", "Ry", 2),
        ("2 fs", "fs", 2),
        ("1 ps", "fs", 1000),
        ("1.5 h", "s", 5400),
        ("01:30:00", "s", 5400),
        ("10 %", "1", 0.1),
        ("10 kbar", "GPa", 1),
        ("4 GB", "kB", 4 * 1024**2),
        ("5 meV/atom", "meV/atom", 5),
        ("-1e-3 eV", "meV", -1),
        ("0.1 V/Å", "Ha/(e bohr)", 0.1 / (units.Ha / units.Bohr)),
        ("7", "K", 7),
        (7, "K", 7),
    ],
)
def test_conversion(text: str | int, unit: str, value: float) -> None:
    assert float(Unit(unit).convert(text)) == pytest.approx(value, rel=1e-9)


@given(
    value=st.floats(-1e6, 1e6).map(lambda x: float(f"{x:.6g}")),
    pair=st.sampled_from(NAMES),
    other=st.sampled_from(NAMES),
)
def test_there_and_back(value: float, pair: tuple[str, str], other: tuple[str, str]) -> None:
    """A quantity survives the way through any other unit of its dimension; other dimensions are refused."""
    if pair[0] != other[0]:
        with pytest.raises(ValueError, match=r"measures|is not known"):
            Unit(other[1]).convert(f"{value!r} {pair[1]}")
        return
    there = Unit(other[1]).convert(f"{value!r} {pair[1]}")
    back = Unit(pair[1]).convert(f"{there!r} {other[1]}")
    assert back == pytest.approx(value, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"force": "2 fs"}, "should be a force in meV/Å (or eV/Å, eV/A, eV/Ang), but 'fs' measures a time"),
        (
            {"force": "2 furlongs"},
            "should be a force in meV/Å (or eV/Å, eV/A, eV/Ang), but the unit 'furlongs' is not known",
        ),
        ({"force": "much"}, "should be a force, such as '1 meV/Å'"),
        ({"force": True}, "should be a force in meV/Å, not a yes or no"),
        ({"force": "-1 eV/Å"}, "Input should be greater than 0"),
        ({"seconds": "0.5 s"}, "Input should be a valid integer, got a number with a fractional part"),
        ({"share": "3 eV"}, "should be a share, such as 0.2 or '20 %', but 'eV' measures an energy"),
    ],
)
def test_refusal(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Sample.model_validate(values)
    assert caught.value.errors()[0]["msg"].removeprefix("Value error, ") == message


def test_schema_takes_numbers_and_text() -> None:
    schema = Sample.model_json_schema()["properties"]["force"]
    assert {option["type"] for option in schema["anyOf"]} == {"number", "string"}
