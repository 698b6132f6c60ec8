"""From labelled frames to a potential: files for `gap_fit`, its command line, its run, and the unit of its variance."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Sequence
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

from bloomery.engines.contract import Training, TrainingData, TrainingHistory
from bloomery.engines.gap.potential import Fit, GapPotential
from bloomery.engines.gap.settings import GapSettings, SoapSettings
from bloomery.engines.preparation import (
    Prepared,
    boxed,
    energies_above_lowest,
    member_frames,
    only,
    prepare,
    working_folder,
)
from bloomery.engines.programs import find_program, run_program
from bloomery.engines.trainer_files import extxyz_text, group_names, labelled_atoms
from bloomery.errors import BloomeryError, DivergedError
from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.frames.neighbours import find_neighbours
from bloomery.potentials.calibration import scale_factor
from bloomery.progress import Progress
from bloomery.seeds import derive_seed, digest_of
from bloomery.selectors.features.farthest import farthest_points
from bloomery.selectors.features.feature_space import FeatureSpace
from bloomery.versions import package_versions, versions

PACKAGE = "quippy-ase"
FRAMES_FILE = "train.extxyz"
FITTED_FILE = "gap.xml"
DONE_FILE = "done.json"
SAME = 1e-8
"""Power spectra of unit norm at this distance tell the same."""


def fit(settings: GapSettings, data: TrainingData, training: Training) -> tuple[GapPotential, TrainingHistory]:
    """Fit all members, one after the other; see `Engine.fit`."""
    began, seed, progress = time.perf_counter(), training.seed, training.progress
    prepared = prepare(data)
    seen = member_frames(prepared.train.hashes(), settings.members, settings.share, derive_seed(seed, "members"))
    calibrating = settings.members == 1 and settings.uncertainty.enabled
    columns: dict[str, list[float]] = {"member": [], "frames": [], "seconds": []}
    with working_folder(training.folder) as place:
        unit, measured_on = _sigma_unit(settings, prepared, place, seed, progress) if calibrating else (None, 0)
        members = []
        for member in range(settings.members):
            started = time.perf_counter()
            frames = prepared.train[seen[member]]
            member_seed = derive_seed(seed, "fit", member)
            members.append(_fit_one(settings, frames, prepared, place / f"member_{member:03d}", member_seed))
            row = (member, len(frames), time.perf_counter() - started)
            for name, value in zip(columns, row, strict=True):
                columns[name].append(float(value))
            progress("train", member + 1, settings.members, {"seconds": columns["seconds"][-1]})
        potential = GapPotential(
            fits=[Fit.read(path / FITTED_FILE) for path in members],
            elements=prepared.elements,
            energy_reference=prepared.energy_reference,
            cutoff=settings.cutoff,
            sigma_unit=unit,
            versions=versions() | package_versions(PACKAGE),
            details={"settings": settings.model_dump(mode="json"), "seed": seed, "trained_on": prepared.trained_on},
        )
    summary = {
        "stopped": "linear fit",
        "warm_start": False,
        "device": "cpu",
        "n_train": len(prepared.train),
        "n_early_stopping": len(prepared.early_stopping),
        "sigma_unit": unit,
        "sigma_measured_on": measured_on,
        "seconds_training": time.perf_counter() - began,
    }
    return potential, TrainingHistory(columns, summary)


# -- one fit --------------------------------------------------------------------------------------------------------


def _fit_one(settings: GapSettings, frames: Configurations, prepared: Prepared, folder: Path, seed: int) -> Path:
    """Run `gap_fit` in a folder, unless it holds the result of just this fit; return the folder."""
    command = [find_program("gap", PACKAGE, "gap_fit"), *arguments(settings, frames, prepared, seed)]
    text = _training_text(settings, frames)
    digest = digest_of("\0".join([*command[1:], text]), size=8)
    done = folder / DONE_FILE
    if done.is_file() and json.loads(done.read_text(encoding="utf-8")).get("digest") == digest:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / FRAMES_FILE).write_text(text, encoding="utf-8")
    soap = settings.soap
    if soap is not None and soap.method == "farthest_point":
        for number in sorted(set(frames.numbers.tolist())):
            rows = farthest_environments(soap, frames, number, prepared.elements, settings.cutoff)
            (folder / sparse_file(number)).write_text("".join(f"{row + 1}\n" for row in rows), encoding="utf-8")
    said = run_program(command, folder, log="gap_fit.log")
    _check_labels(said, frames)
    if not (folder / FITTED_FILE).is_file():
        raise BloomeryError(f"gap_fit ended without writing {FITTED_FILE}; see {folder / 'gap_fit.log'}.")
    _rename(folder, f"GAP_{digest}")
    done.write_text(json.dumps({"digest": digest}), encoding="utf-8")
    return folder


def _check_labels(said: str, frames: Configurations) -> None:
    """Raise `BloomeryError` if `gap_fit` counted other labels: it passes over what it cannot read without a word."""
    full = frames.pbc.all(axis=1) & (frames.volumes > 0)
    expected = {
        "energies": int(frames.has("energy").sum()),
        "forces": 3 * int(frames.counts[frames.has("forces")].sum()),
        "virials": 6 * int((frames.has("stress") & full).sum()),
    }
    for name, count in expected.items():
        found = re.search(rf"Number of target {name} \(.*\) found:\s*(\d+)", said)
        if found is None or int(found[1]) != count:
            raise BloomeryError(
                f"gap_fit found {found[1] if found else 'no'} {name} where {count} were given; this version of "
                f"{PACKAGE} is not one that bloomery knows."
            )


def _rename(folder: Path, label: str) -> None:
    """Replace the label that `gap_fit` makes of the time of day: equal fits give equal files."""
    file = folder / FITTED_FILE
    text = file.read_text(encoding="utf-8")
    found = re.search(r"<(GAP_\w+)>", text)
    if found is None:
        raise BloomeryError(f"{file}: has no label, which every file of gap_fit has.")
    if re.search(r"alpha=\"\s*(nan|[+-]?inf)", text, re.IGNORECASE):
        raise DivergedError("gap_fit: the coefficients are not finite; raise jitter or the sigmas.")
    file.write_text(text.replace(found[1], label), encoding="utf-8")
    for path in folder.glob(f"{FITTED_FILE}.sparseX.{found[1]}*"):
        path.rename(folder / path.name.replace(found[1], label))


def arguments(settings: GapSettings, frames: Configurations, prepared: Prepared, seed: int) -> list[str]:
    """Arguments of `gap_fit`."""
    reference = ":".join(f"{element}:{prepared.energy_reference[element]!r}" for element in prepared.elements)
    sigma = settings.sigma
    return [
        f"at_file={FRAMES_FILE}",
        f"gp_file={FITTED_FILE}",
        f"gap={{{' : '.join(descriptors(settings, frames, prepared.elements))}}}",
        f"e0={{{reference}}}",
        f"default_sigma={{{sigma.energy} {sigma.forces} {sigma.virial} 0.0}}",
        "energy_parameter_name=bloomery_energy",
        "force_parameter_name=bloomery_forces",
        "virial_parameter_name=bloomery_virial",
        f"sparse_jitter={settings.jitter}",
        "do_copy_at_file=F",
        "sparse_separate_file=T",
        f"rnd_seed={seed}",
    ]


def descriptors(settings: GapSettings, frames: Configurations, elements: Sequence[str]) -> list[str]:
    """Descriptor strings of `gap_fit`, one for each pair of elements that meets, and one for each element."""
    numbers = symbols_to_numbers(list(elements))
    result = []
    if settings.pairs is not None:
        pair = settings.pairs
        found = find_neighbours(frames, pair.cutoff)
        meet = np.sort(frames.numbers[np.asarray(found.pairs)], axis=0)
        for first, second in combinations_with_replacement(sorted(numbers), 2):
            count = int(((meet[0] == first) & (meet[1] == second)).sum()) // 2
            if count:
                result.append(
                    f"distance_2b order=2 cutoff={pair.cutoff} cutoff_transition_width={pair.transition} "
                    f"covariance_type=ard_se delta={pair.delta} "
                    f"theta_uniform={pair.theta} sparse_method=uniform n_sparse={min(pair.sparse, count)} "
                    f"Z1={first} Z2={second} add_species=F"
                )
    if settings.soap is not None:
        soap = settings.soap
        for number in sorted(numbers):
            count = min(soap.sparse, int((frames.numbers == number).sum()))
            chosen = f"sparse_method={soap.method} n_sparse={count}"
            if soap.method == "farthest_point":
                chosen = f"sparse_method=INDEX_FILE sparse_file={sparse_file(number)}"
            if count:
                result.append(
                    f"{power_spectrum(soap, number, numbers, braces=2)} zeta={soap.zeta} delta={soap.delta} "
                    f"covariance_type=dot_product {chosen} add_species=F"
                )
    if not result:
        raise BloomeryError("gap: no two atoms of the training frames are within the cutoff; raise pairs.cutoff.")
    return result


def power_spectrum(soap: SoapSettings, number: int, numbers: Sequence[int], *, braces: int) -> str:
    """Descriptor string of the power spectra of one element; lists are in so many braces."""
    species = "{" * braces + " ".join(str(other) for other in sorted(numbers)) + "}" * braces
    return (
        f"soap cutoff={soap.cutoff} cutoff_transition_width={soap.transition} n_max={soap.n_max} l_max={soap.l_max} "
        f"atom_sigma={soap.width} Z={number} n_species={len(numbers)} species_Z={species}"
    )


def sparse_file(number: int) -> str:
    """Name of the file that says which environments of an element are sparse points."""
    return f"sparse_{number}.txt"


def farthest_environments(
    soap: SoapSettings, frames: Configurations, number: int, elements: Sequence[str], cutoff: float
) -> NDArray[np.int64]:
    """Environments of an element, counted through all frames, of which each is farthest from those before it.

    The distance of two power spectra of unit norm is a monotonic function of their kernel. What is there already is not
    taken again, so that there may be fewer than asked for. Frames without a cell are put in one that is wider than the
    ``cutoff`` of the whole potential, as for the fit.
    """
    from quippy.descriptors import Descriptor  # noqa: PLC0415

    describe = Descriptor(power_spectrum(soap, number, symbols_to_numbers(list(elements)), braces=1))
    holders = [atoms for atoms in frames.without_labels().to_atoms() if number in atoms.numbers]
    features = np.concatenate([describe.calc(boxed(atoms, cutoff))["data"] for atoms in holders])
    space = FeatureSpace(features, features[:0], np.arange(len(features)), np.ones(features.shape[1]), "gap.soap")
    return farthest_points(space, soap.sparse, SAME).picks


# -- frames ---------------------------------------------------------------------------------------------------------


def _training_text(settings: GapSettings, frames: Configurations) -> str:
    """The training frames as extxyz with the labels that they have, and with the error that each label may have.

    `gap_fit` takes virials with the sign opposite to that of the stress.
    """
    sigmas = [settings.groups.get(group, settings.sigma) for group in group_names(frames, settings.group_key)]
    # Errors of energies are per atom, and wider for frames far above the lowest of their kind.
    energy_sigmas = np.array([sigma.energy for sigma in sigmas])
    if settings.energy_share:
        energy_sigmas = np.maximum(energy_sigmas, settings.energy_share * energies_above_lowest(frames))
    written = []
    for sigma, energy_sigma, (bare, labels) in zip(sigmas, energy_sigmas, labelled_atoms(frames), strict=True):
        atoms = boxed(bare, settings.cutoff)
        root = float(np.sqrt(len(atoms)))
        if "energy" in labels:
            atoms.info["bloomery_energy"] = labels["energy"]
            atoms.info["energy_sigma"] = energy_sigma * root
        if "forces" in labels:
            atoms.new_array("bloomery_forces", labels["forces"])
            large = settings.force_share * np.linalg.norm(labels["forces"], axis=1)
            atoms.new_array("force_atom_sigma", np.maximum(sigma.forces, large))
        if "stress" in labels:
            atoms.info["bloomery_virial"] = voigt_6_to_full_3x3_stress(-labels["stress"] * bare.cell.volume).ravel()
            atoms.info["virial_sigma"] = sigma.virial * root
        written.append(atoms)
    return extxyz_text(written)


# -- the unit of the variance ---------------------------------------------------------------------------------------


def _sigma_unit(
    settings: GapSettings, prepared: Prepared, folder: Path, seed: int, progress: Progress
) -> tuple[float, int]:
    """Return what turns the sigma of an atom's energy in eV into one of its force in eV/Å, and the frames it is from.

    The variance of `gap_fit` is of local energies. Its root, times the unit that makes the errors of force components
    most likely on frames that were not fitted, orders and scales the errors of forces.
    """
    train, tried = prepared.train, prepared.early_stopping
    tried = tried[tried.has("forces")]
    if not len(tried):
        # Nothing to look at that is not fitted: leave frames out of a first fit.
        order, known = np.argsort(train.hashes(), kind="stable").tolist(), train.has("forces")
        left_out = [i for i in order if known[i]][: int(settings.uncertainty.held_out * known.sum())]
        if not left_out or len(left_out) == len(train):
            return 1.0, 0
        tried = train[left_out]
        train = train[np.setdiff1d(np.arange(len(train)), left_out)]
        tried = tried[only(tried, train.numbers)]
    if not len(tried):
        return 1.0, 0
    progress("variance", 0, 1, {})
    place = _fit_one(settings, train, prepared, folder / "variance", derive_seed(seed, "fit", 0))
    probe = GapPotential(
        fits=[Fit.read(place / FITTED_FILE)],
        elements=prepared.elements,
        energy_reference=prepared.energy_reference,
        cutoff=settings.cutoff,
        sigma_unit=1.0,
    )
    prediction = probe.predict(tried, stress=False)
    if prediction.force_sigma is None or not (prediction.force_sigma > 0).any():
        return 1.0, 0
    errors = prediction.force - tried.label("forces")[0]
    return scale_factor(errors, np.repeat(prediction.force_sigma[:, None], 3, axis=1)), len(tried)
