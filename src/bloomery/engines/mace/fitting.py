"""From labelled frames to a committee: files for `mace_run_train`, its command line, its run, and what it wrote."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from bloomery.engines.contract import Training, TrainingData, TrainingHistory
from bloomery.engines.mace.networks import Network, import_mace, read_model_file, to_arrays, write_model_file
from bloomery.engines.mace.potential import MacePotential
from bloomery.engines.mace.settings import MaceSettings
from bloomery.engines.preparation import Prepared, member_frames, membership_seed, prepare, usable_start, working_folder
from bloomery.engines.programs import find_program, run_program
from bloomery.engines.trainer_files import extxyz_text, group_names, labelled_atoms
from bloomery.errors import BloomeryError, DivergedError, InputError
from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.frames.energy_reference import fit_energy_shift, shifted
from bloomery.frames.labels import LEARNT
from bloomery.progress import Progress
from bloomery.seeds import derive_seed, digest_of
from bloomery.versions import package_versions, versions

PACKAGES = ("mace-torch", "e3nn", "torch")
TRAIN_FILE, VALID_FILE = "train.extxyz", "valid.extxyz"
START_FILE = "start.model"
NAME = "member"
DONE_FILE = "done.json"
COLUMNS = ("member", "epoch", "early_stopping_loss", "energy_rmse", "force_rmse", "seconds")
STAGE_TWO_SHARE = 0.25
FROZEN = 5
"""How mace numbers its layers: up to this one they are the embedding and the interactions."""
LOST_LOSS = re.compile(r"loss=\s*(nan|inf)", re.IGNORECASE)


def fit(settings: MaceSettings, data: TrainingData, training: Training) -> tuple[MacePotential, TrainingHistory]:
    """Train all members, one after the other; see `Engine.fit`."""
    began, seed, place = time.perf_counter(), training.seed, training.device
    import_mace()
    prepared = prepare(data)
    start = usable_start(training.start_from, MacePotential, lambda old: {"members": (old.members, settings.members)})
    unknown = [] if start is None else sorted(set(prepared.elements) - set(start.elements))
    if unknown:
        raise InputError(f"start_from: does not know {', '.join(unknown)}; train from scratch.")
    _check_files(settings)
    shift: dict[str, float] = {}
    if start is not None:
        prepared = replace(prepared, energy_reference=_own_energies(start.networks[0], prepared.elements))
    elif settings.foundation is not None:
        prepared, shift = _moved(prepared, settings.foundation, place)
    membership = membership_seed(seed, start)
    seen = member_frames(prepared.train.hashes(), settings.members, settings.share, membership)
    columns: dict[str, list[float]] = {name: [] for name in COLUMNS}
    with working_folder(training.folder) as root:
        networks, resumed = [], 0
        for member in range(settings.members):
            frames = prepared.train[seen[member]]
            member_training = MemberTraining(
                settings=settings,
                command=_command(settings, prepared, len(frames), place, derive_seed(seed, member), start is not None),
                frames=_frames_text(frames, settings),
                # There is always something to stop on: without frames of that role, what is fitted.
                tried=_frames_text(prepared.early_stopping if len(prepared.early_stopping) else frames, settings),
                start=None if start is None else start.networks[member],
                member=member,
                columns=columns,
                progress=training.progress,
            )
            networks.append(_moved_back(member_training.run(root), shift))
            resumed = max(resumed, member_training.resumed_at)
    potential = MacePotential(
        networks=networks,
        elements=prepared.elements,
        energy_reference=_own_energies(networks[0], prepared.elements),
        dtype=settings.dtype,
        device=place,
        versions=versions() | package_versions(*PACKAGES),
        details={
            "settings": settings.model_dump(mode="json"),
            "seed": seed,
            "membership_seed": membership,
            "trained_on": prepared.trained_on,
        },
    )
    summary = {
        "epochs": max(columns["epoch"], default=0.0),
        "stopped": "early stopping or all epochs done",
        "n_train": len(prepared.train),
        "n_early_stopping": len(prepared.early_stopping),
        "warm_start": start is not None,
        "foundation": settings.foundation,
        "resumed_at_epoch": resumed,
        "device": place,
        "seconds_training": time.perf_counter() - began,
    }
    return potential, TrainingHistory(columns, summary)


@dataclass
class MemberTraining:
    """The training of one member, in a folder of its own that is taken up again after a kill."""

    settings: MaceSettings
    command: list[str]
    frames: str
    tried: str
    start: Network | None
    member: int
    columns: dict[str, list[float]]
    progress: Progress
    resumed_at: int = 0
    _told: set[int] = field(default_factory=set)

    def run(self, root: Path) -> Network:
        """Train, unless the folder holds the end of just this training; return the network."""
        digest = self._digest()
        folder = root / f"{self.member:03d}_{digest}"
        model = folder / "model" / f"{NAME}.model"
        watch = partial(self._look, folder, time.perf_counter())
        if (folder / DONE_FILE).is_file():
            watch()
        else:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / TRAIN_FILE).write_text(self.frames, encoding="utf-8")
            (folder / VALID_FILE).write_text(self.tried, encoding="utf-8")
            if self.start is not None:
                write_model_file(self.start, self.settings.dtype, folder / START_FILE)
            self.resumed_at = _last_epoch(folder / "checkpoints")
            said = run_program(self.command, folder, watch=watch, log="mace.log")
            if LOST_LOSS.search(said):
                raise DivergedError(
                    "mace: the loss is not finite; lower learning_rate, or look for frames with absurd labels."
                )
        found = [path for path in (model.with_name(f"{NAME}_stagetwo.model"), model) if path.is_file()]
        if not found:
            raise BloomeryError(f"mace_run_train ended without writing a model; see {folder / 'mace.log'}.")
        network = to_arrays(read_model_file(found[0]))
        if not all(np.isfinite(value).all() for value in network[1].values()):
            raise DivergedError("mace: weights are not finite; lower learning_rate.")
        (folder / DONE_FILE).write_text(json.dumps({"digest": digest}), encoding="utf-8")
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return network

    def _digest(self) -> str:
        texts = [text + "\0" for text in (*self.command[1:], self.frames, self.tried)]
        start = {} if self.start is None else self.start[1]
        return digest_of(*texts, *(name.encode() + value.tobytes() for name, value in sorted(start.items())), size=6)

    def _look(self, folder: Path, began: float) -> None:
        """Tell the epochs that mace has written down since this was called last."""
        epochs = self.settings.warm_epochs if self.start is not None else self.settings.epochs
        for entry in _entries(folder / "results"):
            epoch = entry["epoch"]
            if epoch in self._told:
                continue
            self._told.add(epoch)
            numbers = {
                "member": float(self.member),
                "epoch": float(epoch + 1),
                "early_stopping_loss": float(entry["loss"]),
                "energy_rmse": float(entry.get("rmse_e_per_atom") or 0.0),
                "force_rmse": float(entry.get("rmse_f") or 0.0),
                "seconds": time.perf_counter() - began,
            }
            if not np.isfinite(list(numbers.values())).all():
                raise DivergedError(
                    f"mace: the loss is not finite after {epoch + 1} epochs; lower learning_rate, or look for frames "
                    "with absurd labels."
                )
            for name, value in numbers.items():
                self.columns[name].append(value)
            self.progress("train", self.member * epochs + epoch + 1, epochs * self.settings.members, numbers)


def _entries(folder: Path) -> Iterator[dict[str, Any]]:
    """Lines of mace's results that are of an epoch; an unfinished one says nothing yet."""
    for file in folder.glob("*_train.txt"):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict) and found.get("mode") == "eval" and found.get("epoch") is not None:
                yield found


def _last_epoch(folder: Path) -> int:
    """Epoch of the latest checkpoint; 0 if there is none."""
    found = [re.search(r"_epoch-(\d+)", path.name) for path in folder.glob("*.pt")]
    return max((int(match[1]) for match in found if match is not None), default=0)


def _command(
    settings: MaceSettings, prepared: Prepared, n_frames: int, device: str, seed: int, warm: bool
) -> list[str]:
    """The command line, which bounds the number of epochs: mace writes its model at a normal end only."""
    model, loss = settings.model, settings.loss
    epochs = settings.warm_epochs if warm else settings.epochs
    gentle = warm or settings.foundation is not None
    numbers = symbols_to_numbers(prepared.elements)
    reference = {z: prepared.energy_reference[e] for z, e in zip(numbers, prepared.elements, strict=True)}
    options: dict[str, object] = {
        "name": NAME,
        "seed": seed,
        "model": "ScaleShiftMACE",
        "train_file": TRAIN_FILE,
        "valid_file": VALID_FILE,
        "E0s": repr(reference),
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "stress_key": "REF_stress",
        "atomic_numbers": repr(numbers),
        "r_max": model.cutoff,
        "num_channels": model.channels,
        "max_L": model.max_l,
        "num_interactions": model.interactions,
        "correlation": model.correlation,
        "max_ell": model.max_ell,
        "num_radial_basis": model.radial,
        "loss": settings.loss_kind,
        "energy_weight": loss.energy,
        "forces_weight": loss.forces,
        "stress_weight": loss.stress,
        # A last batch that is not full is left out: one that never fills would train on nothing.
        "batch_size": min(settings.batch_size, n_frames),
        "valid_batch_size": settings.batch_size,
        "lr": settings.warm_learning_rate if gentle else settings.learning_rate,
        "max_num_epochs": epochs,
        "patience": settings.patience,
        "ema_decay": settings.averaging,
        "default_dtype": settings.dtype,
        "device": device,
        "model_dir": "model",
        "log_dir": "logs",
        "checkpoints_dir": "checkpoints",
        "results_dir": "results",
        "plot": False,
        "eval_interval": 1,
    }
    flags = ["ema", "amsgrad", "restart_latest", "save_cpu"]
    if model.pair_repulsion:
        flags.append("pair_repulsion")
    first = epochs - max(1, round(STAGE_TWO_SHARE * epochs))
    if settings.stage_two and not gentle and first > 0:
        flags.append("swa")
        options |= {"start_swa": first, "swa_lr": settings.learning_rate / 10, "swa_energy_weight": 100 * loss.energy}
        options |= {"swa_forces_weight": 10 * loss.forces, "swa_stress_weight": loss.stress}
    if warm:
        options |= {"foundation_model": START_FILE, "multiheads_finetuning": False}
    elif settings.foundation is not None:
        foundation = str(Path(settings.foundation).resolve())
        options |= {"foundation_model": foundation, "multiheads_finetuning": settings.replay is not None}
        if settings.replay is not None:
            options |= {"pt_train_file": str(Path(settings.replay).resolve()), "weight_pt_head": settings.replay_weight}
            options["force_mh_ft_lr"] = True
    if settings.tuning == "lora":
        # The corrections are scaled by alpha over the rank: by one.
        options |= {"lora": True, "lora_rank": settings.lora_rank, "lora_alpha": settings.lora_rank}
    elif settings.tuning == "frozen":
        options["freeze"] = FROZEN
    program = find_program("mace", "mace-torch", "mace_run_train")
    return [program, *(f"--{name}={value}" for name, value in options.items()), *(f"--{flag}" for flag in flags)]


def _frames_text(frames: Configurations, settings: MaceSettings) -> str:
    """Frames as extxyz under the names that the command line gives, with the labels that they have."""
    written = []
    for group, (atoms, labels) in zip(group_names(frames, settings.group_key), labelled_atoms(frames), strict=True):
        atoms.info["config_weight"] = settings.group_weights.get(group, 1.0)
        for name in LEARNT:
            if name in labels:
                (atoms.arrays if name == "forces" else atoms.info)[f"REF_{name}"] = labels[name]
        written.append(atoms)
    return extxyz_text(written)


def _moved(prepared: Prepared, path: str, device: str) -> tuple[Prepared, dict[str, float]]:
    """Move the labels to where a foundation's energies are; return how far each element was, in eV per atom.

    A foundation's interaction energies go with its own energies of atoms: with those of isolated atoms, or of a fit to
    the labels, the cohesive energy would be missing, or counted twice. And mace takes the energies of atoms that it is
    given only where the foundation knows other elements than the frames have, else the foundation's.
    """
    network = to_arrays(read_model_file(path))
    known = _elements_of(network)
    if strange := sorted(set(prepared.elements) - set(known)):
        raise InputError(f"mace.foundation: {path} does not know {', '.join(strange)}; name another one.")
    own = _own_energies(network, known)
    foundation = MacePotential(networks=[network], elements=known, energy_reference=own, device=device)
    found = foundation.predict(prepared.train, stress=False)
    shift = fit_energy_shift(prepared.train, found.energy, prepared.elements)
    back = {element: -energy for element, energy in shift.items()}
    train, early = shifted(prepared.train, back), shifted(prepared.early_stopping, back)
    reference = {element: own[element] for element in prepared.elements}
    return replace(prepared, train=train, early_stopping=early, energy_reference=reference), shift


def _moved_back(network: Network, shift: Mapping[str, float]) -> Network:
    """Return a network whose energies of atoms are moved."""
    config, arrays, name = network[0], dict(network[1]), "atomic_energies_fn.atomic_energies"
    by = np.array([shift.get(element, 0.0) for element in _elements_of(network)])
    energies = np.atleast_2d(np.array(config["atomic_energies"], dtype=float)) + by
    arrays[name] = arrays[name] + by.astype(arrays[name].dtype)
    return {**config, "atomic_energies": energies.tolist()}, arrays


def _elements_of(network: Network) -> list[str]:
    return [chemical_symbols[int(number)] for number in network[0]["atomic_numbers"]]


def _own_energies(network: Network, elements: Sequence[str]) -> dict[str, float]:
    """Energies of atoms of these elements in a network of one head, in eV."""
    own = dict(zip(_elements_of(network), np.ravel(network[0]["atomic_energies"]).tolist(), strict=True))
    return {element: own[element] for element in elements}


def _check_files(settings: MaceSettings) -> None:
    for key in ("foundation", "replay"):
        path = getattr(settings, key)
        if path is not None and not Path(path).is_file():
            raise InputError(f"mace.{key}: there is no file {path} on this machine; give its full path.")
    if settings.foundation is None:
        return
    model: Any = read_model_file(settings.foundation)
    if settings.replay is not None and len(model.atomic_numbers) < 2:
        # mace-torch 0.3.16 takes the energies of a foundation's atoms for a list, and of one element it is none.
        raise InputError(
            "mace.replay: the foundation knows one element only, with which mace cannot replay; leave it out."
        )
