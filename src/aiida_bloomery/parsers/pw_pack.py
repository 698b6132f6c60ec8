"""Read the frames of a pack of pw.x, and what ph.x added."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from aiida_bloomery.calculations import ph_response, pw_output
from aiida_bloomery.calculations.label_cache import around_of, fingerprint, response_of
from aiida_bloomery.calculations.ph_response import NoResponse
from aiida_bloomery.calculations.pw_output import FrameFailure, FrameLabels
from aiida_bloomery.calculations.pw_pack import CRASH_FILE, OUTPUT_FILE, XML_FILE
from aiida_bloomery.parsers.frame_pack import FramePackParser
from bloomery.properties.laws import total_charges


class PwPackParser(FramePackParser):
    """Parser of `PwPackCalculation`."""

    PROGRAM: ClassVar[str] = "pw.x"

    def read_frame(self, folder: str, n_atoms: int) -> FrameLabels | FrameFailure:
        """Read the XML file and what pw.x says; then the tensors, if ph.x was asked for them."""
        found = self._read_scf(folder, n_atoms)
        if isinstance(found, FrameFailure) or "ph" not in self.node.inputs:
            return found
        files = (ph_response.TENSORS_FILE, ph_response.OUTPUT_FILE, CRASH_FILE)
        xml, stdout, crash = (self.content(f"{folder}/{name}") for name in files)
        charge = float(self.charges[int(folder.rpartition("_")[2])])
        response = ph_response.read_response(xml, stdout, crash, n_atoms=n_atoms, charge=charge)
        if isinstance(response, NoResponse):
            return self._lacking(found, response.reason)
        wanted = self.node.inputs.ph["properties"]
        return replace(found, properties={name: value for name, value in response.items() if name in wanted})

    def saved(self, folder: str, n_atoms: int, why: str) -> FrameLabels | None:
        """What pw.x had given before ph.x was ended."""
        if "ph" not in self.node.inputs or self.content(f"{folder}/{ph_response.OUTPUT_FILE}") is None:
            return None
        found = self._read_scf(folder, n_atoms)
        return None if isinstance(found, FrameFailure) else self._lacking(found, f"ph.x {why}")

    @cached_property
    def charges(self) -> NDArray[np.float64]:
        """Charge of each frame of the node in e."""
        return total_charges(self.node.inputs.configurations.configurations)

    def _read_scf(self, folder: str, n_atoms: int) -> FrameLabels | FrameFailure:
        xml, stdout = (self.content(f"{folder}/{name}") for name in (XML_FILE, OUTPUT_FILE))
        # What stopped behind pw.x wrote into the same file.
        behind = self.content(f"{folder}/{ph_response.OUTPUT_FILE}") is not None
        crash = None if behind else self.content(f"{folder}/{CRASH_FILE}")
        return pw_output.read_frame(xml, stdout, n_atoms, crash)

    def _lacking(self, found: FrameLabels, reason: str) -> FrameLabels:
        wanted = ph_response.told(self.node.inputs.ph["properties"])
        return replace(found, lacks=f"It has no {wanted}: {reason}")

    def fingerprint(self) -> str:
        """Fingerprint of pseudopotentials, parameters, k-points, of open directions, and of what ph.x was asked for."""
        inputs = self.node.inputs
        return fingerprint(
            inputs.code, dict(inputs.pseudos), inputs.parameters, **around_of(inputs), **response_of(inputs)
        )
