"""The commands `bloomery property`: models of dipoles, polarizabilities and other tensors, on plain files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bloomery.program.console import Program, given, option_json, option_prefix, option_set, tell

if TYPE_CHECKING:
    from bloomery.properties.evaluation import PropertyErrors


@click.group("property", cls=Program)
def property_() -> None:
    """Learn a property beyond the energy, such as the dipole, and predict it."""


@property_.command()
@click.argument("name", metavar="PROPERTY")
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("--model", default="equivariant_ridge", show_default=True, help="Which model.")
@click.option("--test", metavar="FRAMES", help="Measure the errors on these frames, which are not learnt from.")
@click.option("--out", metavar="FOLDER", help="Where the model goes.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every random choice.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of the numerical libraries.")
@option_prefix
@option_set
@option_json
def train(name: str, data: tuple[str, ...], out: str | None, test: str | None, **options: Any) -> None:
    """Learn a property from those frames that have its label.

    Example: bloomery property train dipole labelled.extxyz --test others.extxyz --out dipole/
    """
    from bloomery.jobs.base import limit_threads  # noqa: PLC0415
    from bloomery.plugins import PluginSpec  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415
    from bloomery.properties.contract import PropertyModel  # noqa: PLC0415
    from bloomery.properties.evaluation import errors_of  # noqa: PLC0415
    from bloomery.properties.laws import property_named  # noqa: PLC0415

    wanted = property_named(name)
    folder = files.check_new_folder(given(out, "--out"))
    spec = PluginSpec(name=options["model"], settings=files.parse_assignments(options["assignments"]))
    model: PropertyModel = spec.load("property_models")
    limit_threads(options["threads"])
    frames = files.frames_with(wanted, data, options["prefix"])
    others = None if test is None else files.frames_with(wanted, [test], options["prefix"])
    fitted = model.fit(frames, wanted, options["seed"])
    errors = None if others is None else errors_of(fitted, others)
    # A folder that is there is empty.
    if folder.exists():
        folder.rmdir()
    fitted.save(folder)
    summary = {"property": name, "model": model.name, "frames": len(frames), "elements": fitted.elements}
    told = f"{model.name} of the {name} from {len(frames)} frames ({', '.join(fitted.elements)}) -> {folder}"
    _tell(summary, told, errors, as_json=options["as_json"])


@property_.command()
@click.argument("model", metavar="MODEL")
@click.argument("frames", metavar="FRAMES")
@click.option("--out", metavar="FILE", help="Where the frames go, with the prediction as their label.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of the numerical libraries.")
@option_json
def predict(model: str, frames: str, out: str | None, threads: int, *, as_json: bool) -> None:
    """Predict a property of frames, with its standard error; measure the errors where frames have the label.

    Example: bloomery property predict dipole/ trajectory.extxyz --out dipoles.extxyz
    """
    import numpy as np  # noqa: PLC0415

    from bloomery.errors import InputError  # noqa: PLC0415
    from bloomery.frames.labels import LABELS  # noqa: PLC0415
    from bloomery.jobs.base import limit_threads  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415
    from bloomery.properties.contract import load_property  # noqa: PLC0415
    from bloomery.properties.evaluation import errors_of  # noqa: PLC0415

    target = files.check_output(given(out, "--out"))
    fitted = load_property(files.absolute(model, "model"))
    limit_threads(threads)
    given_frames = files.read_all([frames])
    files.check_apart(given_frames, frames)
    try:
        prediction = fitted.predict(given_frames)
    except InputError as error:
        raise InputError(f"{frames}: {error}") from error
    sigma = prediction.sigma
    if LABELS[fitted.name].per == "atom":
        # Of a frame, root mean square over its atoms.
        squares = np.zeros(len(given_frames))
        np.add.at(squares, given_frames.frame_of_atom, sigma**2)
        sigma = np.sqrt(squares / np.maximum(given_frames.counts, 1))
    predicted: dict[str, Any] = {fitted.name: prediction.values}
    result = given_frames.without_labels().with_labels(**predicted).with_info(**{f"{fitted.name}_error": sigma})
    files.write_frames(result, target)
    unit = LABELS[fitted.name].unit
    typical = float(np.sqrt((sigma**2).mean())) if len(sigma) else 0.0
    summary = {"property": fitted.name, "frames": len(result), "standard_error": {"value": typical, "unit": unit}}
    told = f"{fitted.name} of {len(result)} frames, standard error {typical:.3g} {unit} -> {target}"
    _tell(summary, told, errors_of(fitted, given_frames), as_json=as_json)


def _tell(summary: dict[str, Any], sentence: str, errors: PropertyErrors | None, *, as_json: bool) -> None:
    from bloomery.properties.evaluation import told_errors  # noqa: PLC0415

    found = {} if errors is None else {"errors": errors}
    tell(summary | found, sentence, *([] if errors is None else [told_errors(errors)]), as_json=as_json)
