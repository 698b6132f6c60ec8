"""The table of observables at the end of a campaign."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from aiida_bloomery.cli.display import observables_table
from bloomery.campaign.record import QuotedRow
from bloomery.observables.contract import number


def test_potential_reference_and_difference_stand_side_by_side() -> None:
    rows = [
        {
            "observable": "equation_of_state",
            "of": "Si2",
            "quantity": "a",
            "potential": number(3.8564, "Å", 3.8520, 3.8608),
            "reference": number(3.8403, "Å"),
            "difference": number(0.0161, "Å", 0.0117, 0.0205),
        },
        {"observable": "rdf", "of": "", "quantity": "mean_overlap", "difference": number(97.25, "%")},
    ]
    console = Console(width=120, record=True, file=StringIO())
    console.print(observables_table([QuotedRow.model_validate(row) for row in rows]))
    head, first, second = (line.split() for line in console.export_text().splitlines())
    assert head == ["observable", "potential", "reference", "difference", "unit"]
    assert " ".join(first) == "equation_of_state Si2 a 3.8564 ± 0.0044 3.8403 0.0161 ± 0.0044 Å"
    assert " ".join(second) == "rdf mean_overlap 97.25 %"


def test_a_lower_bound_is_no_value() -> None:
    time = {**number(2.0028, "ps"), "at_least": True}
    console = Console(record=True, width=120, file=StringIO())
    row = {"observable": "nve_stability", "of": "", "quantity": "time_to_failure", "potential": time}
    console.print(observables_table([QuotedRow.model_validate(row)]))
    assert "> 2.0028" in console.export_text()
