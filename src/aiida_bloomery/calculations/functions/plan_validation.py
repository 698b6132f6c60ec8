"""Say, in the graph, what a campaign measures of its potentials besides errors on the probe."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from bloomery.campaign.measuring import EACH, FINAL, ValidationSettings, independent_jobs, planned, samplers


@calcfunction
def plan_validation(settings: orm.Dict) -> dict[str, orm.Dict]:
    """Return parameters of observables, by when they are measured and key: ``final__*``, ``each_iteration__*``.

    ``independent__*`` are those of an independent set, ``samplers__*`` make a trajectory of the reference method.
    """
    validated = ValidationSettings.model_validate(settings.get_dict())
    jobs = {when: planned(validated, when) for when in (FINAL, EACH)}
    jobs |= {"independent": independent_jobs(), "samplers": samplers(validated)}
    return {f"{when}__{key}": orm.Dict(value) for when, found in jobs.items() for key, value in found.items()}
