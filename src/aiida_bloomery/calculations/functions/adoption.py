"""Labelled frames that exist already become batches of a campaign, in the graph: drawn for a check, compared, taken."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from aiida_bloomery.calculations.functions.labels import versions_of
from aiida_bloomery.calculations.label_cache import VERSION_ATTRIBUTE
from aiida_bloomery.data.configurations import PARENT_KEYS, ConfigurationsData, with_parents
from bloomery.campaign import adoption, same_method
from bloomery.campaign.adoption import AGAIN_OF, DataSettings
from bloomery.campaign.record import Adopted
from bloomery.campaign.same_method import Compared
from bloomery.campaign.stages import SelectionSettings
from bloomery.frames.configurations import Configurations
from bloomery.frames.suspects import SuspectSettings


@calcfunction
def frames_to_check(settings: orm.Dict, seed: orm.Int, **data: ConfigurationsData) -> dict[str, ConfigurationsData]:
    """Return ``frames`` of the data, without labels, to be labelled again, if any; their parents are the data.

    ``settings`` are `DataSettings`, by whose keys ``data`` are known.
    """
    asked = DataSettings.model_validate(settings.get_dict())
    nodes = [data[key] for source in asked.sources for key in source.batches]
    places = list(adoption.to_check([node.configurations for node in nodes], asked, seed.value))
    if not places:
        return {}
    parts = [nodes[place].configurations[index] for place, index in places]
    names = [source.name for source in asked.sources for _ in source.batches]
    bare = [part.without_labels().without_info(*part.info) for part in parts]
    bare = [
        part.with_info(**{AGAIN_OF: names[place]}, source_frame=index)
        for part, (place, index) in zip(bare, places, strict=True)
    ]
    parents, indices = [nodes[place] for place, _ in places], [index for _, index in places]
    return {"frames": ConfigurationsData(with_parents(Configurations.concatenate(bare), parents, indices))}


@calcfunction
def compare_labels(settings: orm.Dict, again: ConfigurationsData, **data: ConfigurationsData) -> orm.Dict:
    """Return how labels compare with those that frames of the data got ``again``: `Compared` by key of the source."""
    asked = DataSettings.model_validate(settings.get_dict())
    known = again.configurations
    place_of = {content: place for place, content in enumerate(again.hashes)}
    compared = {}
    for source in asked.sources:
        nodes = [data[key] for key in source.batches]
        frames = {content: (node, i) for node in nodes for i, content in enumerate(node.hashes) if content in place_of}
        if source.checked and frames:
            given = Configurations.concatenate([node.configurations[i] for node, i in frames.values()])
            whole = Configurations.concatenate([node.configurations for node in nodes])
            found = same_method.compare(given, known[[place_of[content] for content in frames]], whole)
            compared[source.key] = found.as_dict()
    return orm.Dict(compared)


@calcfunction
def adopt(
    settings: orm.Dict,
    selection: orm.Dict,
    seed: orm.Int,
    compared: orm.Dict | None = None,
    again: ConfigurationsData | None = None,
    suspects: orm.Dict | None = None,
    **data: ConfigurationsData,
) -> dict[str, orm.Data]:
    """Return ``adopted``, what the record says of the data, and by key batches that are no longer what they were.

    Parameters
    ----------
    settings, data
        `DataSettings`, and the frames by the keys that they name.
    selection
        How frames are selected; its ``roles`` say which share is held out.
    compared
        What `compare_labels` gave.
    again
        The frames that were labelled again, where sources are learnt from by these labels.
    suspects
        `SuspectSettings`: when a label is kept out; the defaults, if there are none.

    Frames that are returned have the data as parents, or those that were labelled again. A batch of another campaign
    that is taken as a whole is not returned: it stands in the data set itself.
    """
    found = adoption.adopt(
        {key: node.configurations for key, node in data.items()},
        DataSettings.model_validate(settings.get_dict()),
        SelectionSettings.model_validate(selection.get_dict()).roles,
        {} if compared is None else {key: Compared.model_validate(one) for key, one in compared.get_dict().items()},
        seed.value,
        None if again is None else again.configurations,
        None if suspects is None else SuspectSettings.model_validate(suspects.get_dict()),
    )
    outputs: dict[str, orm.Data] = {"adopted": orm.Dict(Adopted(sources=found.sources).as_dict())}
    for key, taken in found.taken.items():
        if not taken.as_it_is:
            bare = taken.frames.without_info(*PARENT_KEYS)
            parents, indices = data[key], taken.indices
            if again is not None and taken.again is not None:
                parents, indices = again, taken.again
            batch = ConfigurationsData(with_parents(bare, parents, indices))
            batch.base.attributes.set(VERSION_ATTRIBUTE, ", ".join(versions_of([parents])))
            outputs[key] = batch
    return outputs
