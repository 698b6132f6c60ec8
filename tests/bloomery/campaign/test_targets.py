"""The table of errors that can be targets, and limits on them."""

from bloomery.campaign.targets import TARGETS, ErrorLimits
from bloomery.campaign.validation import Validation

SUMMARY = {
    "n_frames": 12,
    "energy": {"rmse": {"value": 2.0, "unit": "meV/atom", "lower": 1.0, "upper": 3.0}},
    "forces": {
        "rmse": {"value": 40.0, "unit": "meV/Å", "lower": 30.0, "upper": 50.0},
        "relative_rmse": {"value": 0.04, "unit": "1"},
    },
    "stress": {},
}


def test_every_target_has_its_limit_and_its_place() -> None:
    assert list(ErrorLimits.model_fields) == list(TARGETS)
    validation = Validation.model_validate(SUMMARY)
    found = {name: validation.error(name) for name in TARGETS}
    assert {name: number.value for name, number in found.items() if number} == {
        "energy": 2.0, "forces": 40.0, "relative_forces": 0.04,
    }  # fmt: skip
    assert all(number.unit == TARGETS[name].unit for name, number in found.items() if number)


def test_the_upper_bounds_are_held_against_limits() -> None:
    validation = Validation.model_validate(SUMMARY)
    limits = ErrorLimits.model_validate({"forces": "0.05 eV/Å", "energy": 3.0})
    assert limits.given == {"energy": 3.0, "forces": 50.0}
    assert validation.is_below(limits)
    assert not validation.is_below(ErrorLimits(forces=45.0))
    assert not validation.is_below(ErrorLimits(relative_forces=0.1))  # it has no interval
    assert not validation.is_below(ErrorLimits(stress=1.0))
    assert validation.is_below(ErrorLimits())
