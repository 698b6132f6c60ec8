"""Labels from a foundation, many frames in one job."""

from __future__ import annotations

from typing import ClassVar

from aiida_bloomery.workflows.labelling.in_process import InProcessLabellingWorkChain


class FoundationLabellingWorkChain(InProcessLabellingWorkChain):
    """Label frames with a foundation."""

    LABELLER: ClassVar[str] = "foundation"
