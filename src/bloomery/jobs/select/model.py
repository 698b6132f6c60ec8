"""What the job file of `select` holds, and how the files that come of it are called."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bloomery.frames.roles import RoleSettings
from bloomery.jobs.base import Job
from bloomery.plugins import PluginSpec
from bloomery.potentials.scale import Scale

SELECTED_FILE = "selected.npz"
CONTROL_FILE = "control.npz"
FATES_FILE = "fates.npz"


class Model(Job):
    """Job file of `select`."""

    verb: Literal["select"] = "select"
    selectors: list[PluginSpec] = Field(min_length=1)
    """Selectors in the order in which they are applied."""
    roles: RoleSettings = RoleSettings()
    """Which share of the frames plays which role."""
    pools: dict[str, str] = Field(min_length=1)
    """Files with candidates, by the key of the pool."""
    data_set: dict[str, str] = Field(default_factory=dict)
    """Files with the frames that are labelled already, by the key of the batch."""
    features: str | None = None
    """File with features, arrays ``pool_KEY`` and ``data_KEY``."""
    descriptor: PluginSpec | None = None
    """Descriptor of atoms, for selectors that compare these."""
    potential: str | None = None
    """Folder of the potential whose disagreement counts where the pool does not bring it."""
    property_models: dict[str, str] = Field(default_factory=dict)
    """Folders of models of properties, by property, for selectors that ask them."""
    scale: Scale | None = None
    """What is known of the potential's errors."""
    max_frames: int | None = Field(default=None, ge=0)
    """Select at most so many frames, the probe among them."""
    shares: dict[str, float] = Field(default_factory=dict)
    """Share of each pool in what is selected, by its key; by default pools are selected from as one."""
    control: list[PluginSpec] = Field(default_factory=list)
    """Selectors of the control arm, which takes as many frames from the same pools."""
    control_data_set: dict[str, str] = Field(default_factory=dict)
    """Files with the labelled frames that the control arm has, by the key of the batch; the probe is that of both."""
    chunk_atoms: int = Field(default=4096, ge=1)
    """The potential is asked about, and atoms are described, so many atoms at a time, one frame at least; memory grows
    with it."""
    memory: float = Field(default=4.0, gt=0)
    """GiB of memory that the job may take, about. Frames and features of pools that need more than a quarter of it stay
    in files in the job's folder and are read from there; a selector that needs all features at once, and finds no room
    for them, says so."""
    predict_all: bool = False
    """Predict the disagreement of all candidates, also where the pool brings one (that of another potential)."""
