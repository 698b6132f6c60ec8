"""Many configurations, with labels, roles and origin, in one immutable node."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from aiida import orm
from aiida.common.exceptions import ValidationError
from ase.symbols import Symbols
from numpy.typing import NDArray
from pydantic import JsonValue

from aiida_bloomery.data.repository import reading
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

PARENT_KEYS = ("parent_uuid", "parent_index", "parent_hash")
"""Per-frame arrays that name the frame a frame was made from: node (empty: none), index in it, content hash there."""

FILE_DIGEST = "file_sha256"
"""Attribute of a node whose frames are of a file: its SHA-256; the label is its name."""

MAX_FORMULAS = 20


class ConfigurationsData(orm.Data):
    """Frames as arrays, one file in the repository; what one asks for first is an attribute.

    Positions and cells are moved onto the grid on which content hashes are stable, so a node and what is read back from
    it have the same hashes. Equal content makes equal bytes.

    Parameters
    ----------
    configurations
        The frames. Where they carry `PARENT_KEYS`, the node can only be stored if every parent is the frame it is said
        to be.
    """

    FILENAME: ClassVar[str] = "configurations.npz"

    def __init__(self, configurations: Configurations, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        configurations = canonical(configurations)
        buffer = io.BytesIO()
        configurations.save(buffer)
        buffer.seek(0)
        self.base.repository.put_object_from_filelike(buffer, self.FILENAME)
        self.base.attributes.set_many(describe(configurations))

    @property
    def configurations(self) -> Configurations:
        """The frames."""
        found: Configurations | None = self.__dict__.get("_configurations")
        if found is None:
            found = self._read()
            if self.is_stored:
                self.__dict__["_configurations"] = found
        return found

    @property
    def hashes(self) -> list[str]:
        """Content hash of each frame."""
        found: list[str] | None = self.__dict__.get("_hashes")
        if found is None:
            found = self.configurations.hashes()
            if self.is_stored:
                self.__dict__["_hashes"] = found
        return found

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.base.attributes.get("n_frames"))

    @property
    def n_atoms(self) -> int:
        """Number of atoms in all frames together."""
        return int(self.base.attributes.get("n_atoms"))

    @property
    def elements(self) -> list[str]:
        """Chemical symbols that occur, in the order of their atomic numbers."""
        return list(self.base.attributes.get("elements"))

    def __len__(self) -> int:
        return self.n_frames

    def __bool__(self) -> bool:
        """A node is there, however many frames it holds."""
        return True

    def _read(self) -> Configurations:
        with reading(self, f"file {self.FILENAME}"), self.base.repository.open(self.FILENAME, "rb") as handle:
            return Configurations.load(io.BytesIO(handle.read()))

    def _validate(self) -> bool:
        """Check that the file can be read, says what the attributes say, and that parents are what they should be."""
        super()._validate()
        try:
            configurations = self._read()
        except InputError as error:
            raise ValidationError(f"the frames of this node cannot be read: {error}") from error
        if configurations.digest() != self.base.attributes.get("digest", None):
            raise ValidationError("the frames in the file are not those that the attributes describe.")
        message = check_parents(configurations)
        if message:
            raise ValidationError(message)
        return True

    # What `verdi data core.export` style commands call; the formats are those of `verdi data bloomery`.
    def _prepare_extxyz(self, main_file_name: str = "") -> tuple[bytes, dict[str, bytes]]:  # noqa: ARG002
        """Return the frames as extended XYZ."""
        buffer = io.StringIO()
        self.configurations.write_extxyz(buffer)
        return buffer.getvalue().encode(), {}


@orm.to_aiida_type.register(Configurations)
def _(configurations: Configurations) -> ConfigurationsData:
    """Make a node where a port is given plain frames."""
    return ConfigurationsData(configurations)


def canonical(configurations: Configurations) -> Configurations:
    """Return the frames on the grid, with per-frame arrays in types that depend on their values alone."""
    info: dict[str, NDArray[Any]] = {}
    for key, values in configurations.info.items():
        if values.dtype.kind in "US":
            info[key] = np.array(values.tolist(), dtype=np.str_).reshape(values.shape)
        elif values.dtype.kind in "iuf":
            info[key] = values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
        else:
            info[key] = values
    return replace(configurations.snapped(), info=info)


def describe(configurations: Configurations) -> dict[str, JsonValue]:
    """Attributes of a node that holds these frames."""
    roles = Counter(configurations.info["role"].tolist() if "role" in configurations.info else ())
    attributes: dict[str, JsonValue] = {
        "n_frames": len(configurations),
        "n_atoms": configurations.n_atoms,
        "elements": [*configurations.elements],
        "formulas": [*_formulas(configurations)[:MAX_FORMULAS]],
        "labels": {name: int(mask.sum()) for name, mask in sorted(configurations.masks.items())},
        "roles": {**dict(sorted(roles.items()))},
        "info_keys": [*sorted(configurations.info)],
        "digest": configurations.digest(),
    }
    if configurations.states:
        stated = sorted(configurations.stated.items())
        attributes["states"] = {name: int(mask.sum()) for name, mask in stated}
    temperatures = configurations.info.get("temperature", np.zeros(0))
    temperatures = temperatures[temperatures >= 0] if temperatures.dtype.kind in "if" else np.zeros(0)
    if len(temperatures):
        attributes["temperature"] = {"min": float(temperatures.min()), "max": float(temperatures.max())}
    return attributes


def with_parents(
    configurations: Configurations, parents: ConfigurationsData | Sequence[ConfigurationsData | None], indices: Any
) -> Configurations:
    """Return the frames with `PARENT_KEYS`.

    Parameters
    ----------
    parents
        The node that the parents are in: one for all frames, or one per frame (``None``: the frame has no parent).
    indices
        Index of each frame's parent in its node, ``(N,)``; negative where it has none.

    Raises
    ------
    InputError
        If an index is beyond the parent's frames; the frame is named.
    """
    indices = np.asarray(indices, dtype=np.int64)
    nodes = [parents] * len(configurations) if isinstance(parents, ConfigurationsData) else list(parents)
    # Attributes of a node are a query each: ask once per node, not once per frame.
    known = {id(node): (str(node.uuid), node.hashes) for node in nodes if node is not None}
    uuids, hashes = [], []
    for frame, (node, index) in enumerate(zip(nodes, indices.tolist(), strict=True)):
        uuid, contents = known.get(id(node), ("", []))
        if uuid and index >= len(contents):
            raise InputError(
                f"frame {frame}: is said to be made from frame {index} of {uuid}, which has {len(contents)}."
            )
        has_parent = bool(uuid) and index >= 0
        uuids.append(uuid if has_parent else "")
        hashes.append(contents[index] if has_parent else "")
    return configurations.with_info(
        parent_uuid=np.array(uuids, dtype="U36"),
        parent_index=np.where(np.array(uuids, dtype="U36") == "", -1, indices),
        parent_hash=np.array(hashes, dtype="U32"),
    )


def check_parents(configurations: Configurations) -> str | None:
    """Return a sentence about the first frame whose parent is not what the frame says, or ``None``."""
    present = [key for key in PARENT_KEYS if key in configurations.info]
    if not present:
        return None
    if len(present) < len(PARENT_KEYS):
        missing = next(key for key in PARENT_KEYS if key not in present)
        return f"the frames have {present[0]} but no {missing}: give all of {', '.join(PARENT_KEYS)} or none."
    uuids, indices, hashes = (configurations.info[key].tolist() for key in PARENT_KEYS)
    wanted = sorted({uuid for uuid in uuids if uuid})
    builder = orm.QueryBuilder().append(ConfigurationsData, filters={"uuid": {"in": wanted}}, project=["uuid", "*"])
    parents = {uuid: node.hashes for uuid, node in builder.all()} if wanted else {}
    for frame, (uuid, index, content) in enumerate(zip(uuids, indices, hashes, strict=True)):
        if not uuid:
            continue
        if uuid not in parents:
            return f"frame {frame}: its parent is in node {uuid}, which is not a stored ConfigurationsData."
        contents = parents[uuid]
        if not 0 <= index < len(contents):
            return f"frame {frame}: its parent is frame {index} of {uuid}, which has {len(contents)} frames."
        if contents[index] != content:
            return (
                f"frame {frame}: frame {index} of {uuid} has the content hash {contents[index]}, not {content}, "
                "so it is not its parent."
            )
    return None


def _formulas(configurations: Configurations) -> list[str]:
    """Chemical formulas that occur, in Hill's order, in the order of the frames."""
    found: dict[bytes, str] = {}
    for start, end in pairwise(configurations.offsets):
        numbers = np.sort(configurations.numbers[start:end])
        if numbers.tobytes() not in found:
            found[numbers.tobytes()] = str(Symbols(numbers).formula.format("hill"))
    return list(dict.fromkeys(found.values()))
