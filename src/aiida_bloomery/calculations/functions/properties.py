"""What jobs that learn properties are told, in the graph."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from bloomery.campaign.properties import PropertiesSettings


@calcfunction
def learning_parameters(properties: orm.Dict) -> dict[str, orm.Dict]:
    """Return the parameters of the job that learns a property, by its name."""
    learned = PropertiesSettings.model_validate(properties.get_dict()).learned
    return {name: orm.Dict({"property": name, "model": spec.model.model_dump()}) for name, spec in learned.items()}
