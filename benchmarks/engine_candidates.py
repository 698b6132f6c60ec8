"""Who takes part in `engines.py`: settings of each engine, and what its training is given more of, step by step.

All of them see 5 Å far. One model of each engine, small and quick where there is a choice; `hdnnp` as a committee of 8.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """One engine with its settings.

    Parameters
    ----------
    budget
        Path of the setting that a longer training has more of, and its value in the shortest training.
    stops_early
        Whether frames that are not fitted serve it; without them it is given all frames to fit.
    quick
        Budget of a potential of which only the cost is asked.
    routes
        How it is evaluated; see `engine_worker.ROUTES`.
    """

    name: str
    engine: str
    budget: tuple[str, int]
    settings: dict[str, Any] = field(default_factory=dict)
    stops_early: bool = True
    quick: int = 2
    routes: tuple[str, ...] = ("own",)

    @property
    def ours(self) -> bool:
        """Whether it runs in this environment."""
        return self.engine == "hdnnp"

    def with_budget(self, value: int) -> dict[str, Any]:
        """Return the settings of a training with this budget."""
        result = deepcopy(self.settings)
        *path, last = self.budget[0].split(".")
        place = result
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value
        return result


ALONE = {"members": 1, "share": 1.0}


def network(name: str, members: int = 8, **settings: Any) -> Candidate:
    """Return the embedded engine, with defaults but for these settings."""
    return Candidate(f"hdnnp {name}", "hdnnp", ("steps", 50), {"members": members, **settings})


OURS = network("8 members")
SIZES = [
    network("1 member", 1),
    network("8 members, small", hidden=[16, 16], descriptor={"power_spectrum": {"radial": 4, "max_degree": 2}}),
    network("1 member, small", 1, hidden=[16, 16], descriptor={"power_spectrum": {"radial": 4, "max_degree": 2}}),
    network("8 members, large", hidden=[64, 64], descriptor={"power_spectrum": {"radial": 8, "max_degree": 5}}),
    network("1 member, large", 1, hidden=[64, 64], descriptor={"power_spectrum": {"radial": 8, "max_degree": 5}}),
    network("8 members, ACSF", descriptor={"acsf": {"cutoff": 5.0}}),
    network("1 member, ACSF", 1, descriptor={"acsf": {"cutoff": 5.0}}),
]
OTHERS = [
    Candidate(
        "DeePMD se_e2_a",
        "deepmd",
        ("steps", 1000),
        # As its manual advises: batches of 32 atoms at least, which one frame has.
        {**ALONE, "batch_size": 1},
        stops_early=False,
        routes=("deepmd compressed", "exported deepmd"),
    ),
    Candidate(
        "pacemaker ACE",
        "external",
        ("values.iterations", 10),
        {**ALONE, "definition": "pacemaker"},
        stops_early=False,
        routes=("pyace recursive",),
    ),
    Candidate(
        "GAP",
        "gap",
        ("soap.sparse", 50),
        {"uncertainty": {"enabled": False}},
        stops_early=False,
        quick=300,
        routes=("exported gap",),
    ),
    Candidate(
        "MACE, 16 channels",
        "mace",
        ("epochs", 4),
        {**ALONE, "model": {"channels": 16}},
        routes=("exported mace",),
    ),
    Candidate(
        "NequIP, 16 features",
        "nequip",
        ("epochs", 4),
        {**ALONE, "batch_size": 4},
        routes=("exported nequip",),
    ),
    Candidate(
        "SOAP-BPNN",
        "metatrain",
        ("epochs", 4),
        {**ALONE, "batch_size": 4},
        routes=("exported metatomic",),
    ),
    Candidate(
        "PET, small",
        "metatrain",
        ("epochs", 4),
        {
            **ALONE,
            "architecture": "pet",
            "batch_size": 4,
            "model": {"d_pet": 32, "d_node": 64, "d_head": 32, "d_feedforward": 64, "num_heads": 4},
        },
        routes=("exported metatomic",),
    ),
]
