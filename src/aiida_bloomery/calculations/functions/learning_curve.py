"""Fit a learning curve, in the graph."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from bloomery.campaign.learning_curves import learning_curve
from bloomery.model_selection.folds import SubsetSettings


@calcfunction
def fit_learning_curve(settings: orm.Dict, **measured: orm.Dict) -> orm.Dict:
    """Return points and power laws.

    Parameters
    ----------
    settings
        Of the learning curve.
    measured
        ``n_SIZE_REPEAT`` to what `errors` says of that potential.
    """
    points = []
    for key, node in sorted(measured.items()):
        _, size, repeat = key.split("_")
        errors = {name: node[name] for name in ("forces", "energy") if node.get_dict().get(name)}
        points.append({"size": int(size), "repeat": int(repeat), **errors})
    targets = SubsetSettings.model_validate(settings.get_dict()).targets
    return orm.Dict(learning_curve(points, {str(key): value for key, value in targets.items()}))
