"""Following frames from node to node through their parent arrays."""

from __future__ import annotations

from dataclasses import dataclass

from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.common.links import LinkType
from aiida.orm.utils.links import LinkTriple

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from bloomery.campaign.adoption import AGAIN_OF
from bloomery.campaign.stage_label import first_label
from bloomery.errors import InputError

_KINDS = (
    ("source", "data"), ("label_uuid", "label"), (AGAIN_OF, "data"), ("rule", "selection"), ("trajectory", "sampling")
)  # fmt: skip
"""Per-frame arrays, and what made a frame what it is that has them; the first counts."""


def calls(node: orm.ProcessNode, *kinds: LinkType) -> dict[str, LinkTriple]:
    """Calls of a process in their order by the labels of the first; of those that died the one in their place."""
    links = node.base.links.get_outgoing(link_type=kinds).all()
    return {first_label(link.link_label)[0]: link for link in sorted(links, key=lambda link: link.node.pk or 0)}


@dataclass(frozen=True)
class Place:
    """A frame: the node that it is in, and its index there."""

    node: ConfigurationsData
    index: int

    def info(self, key: str, default: object = None) -> object:
        """What the frame says of itself under a key, as a plain value."""
        values = self.node.configurations.info.get(key)
        if values is None:
            return default
        value = values[self.index]
        return value.item() if hasattr(value, "item") else value

    @property
    def kind(self) -> str:
        """What made the frame what it is here: ``label``, ``selection``, ``sampling`` or ``structure``.

        Frames that a campaign began with are ``data`` of it; they come from a ``structure``, or from another campaign.
        """
        info = self.node.configurations.info
        return next((kind for key, kind in _KINDS if key in info), "structure")


class Tracer:
    """Follows frames to where they come from; every node is read once."""

    def __init__(self) -> None:
        self._nodes: dict[str, ConfigurationsData] = {}
        self._creators: dict[str, orm.ProcessNode | None] = {}

    def chain(self, place: Place) -> list[Place]:
        """The frame, its parent, the parent's parent, and so on to where frames begin."""
        found = [place]
        while (parent := self.parent(found[-1])) is not None:
            found.append(parent)
        return found

    def parent(self, place: Place) -> Place | None:
        """The frame that this one was made from, if any; `InputError` if its node is not in this profile."""
        uuid = str(place.info("parent_uuid", ""))
        if not uuid:
            return None
        if uuid not in self._nodes:
            try:
                self._nodes[uuid] = orm.load_node(uuid=uuid)
            except NotExistent as error:
                raise InputError(
                    f"frame {place.index} of {place.node.uuid} was made from node {uuid}, which this profile does not "
                    "have; import the archive that holds it."
                ) from error
        index = place.info("parent_index")
        return Place(self._nodes[uuid], int(str(index)))

    def creator(self, node: ConfigurationsData) -> orm.ProcessNode | None:
        """The process that made a node."""
        uuid = str(node.uuid)
        if uuid not in self._creators:
            self._creators[uuid] = node.creator
        return self._creators[uuid]

    def potential(self, node: ConfigurationsData) -> PotentialData | None:
        """The potential that had a hand in making a node."""
        creator = self.creator(node)
        if creator is None:
            return None
        links = creator.base.links.get_incoming(
            node_class=PotentialData, link_type=LinkType.INPUT_CALC, link_label_filter="potential"
        )
        first = links.first()
        return first.node if first else None
