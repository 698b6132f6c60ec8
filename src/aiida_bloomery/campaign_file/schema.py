"""The JSON Schema of campaign files, and what is registered of each kind of plug-in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from aiida_bloomery.campaign_file.labellers import labeller_parts, programs_of
from aiida_bloomery.campaign_file.model import USE, Bootstrap, CampaignFile, Control, OfKind, ShortForm, Validation
from bloomery.campaign.properties import LearnedProperty, PropertyTarget
from bloomery.campaign.starts import STARTS
from bloomery.errors import InputError
from bloomery.frames.labels import PROPERTIES
from bloomery.frames.roles import RoleSettings
from bloomery.plugins import KINDS, Kind, PluginSpec, declares, load_plugin, registered
from bloomery.potentials.acceptance import AcceptanceSettings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = "#/$defs/{model}"


def schema() -> dict[str, Any]:
    """Return the JSON Schema: the file's model, with every registered plug-in and its settings in its place."""
    places = plugin_places()
    models: dict[str, type[BaseModel]] = {"roles": RoleSettings, "acceptance": AcceptanceSettings}
    for kind in sorted(set(places.values())):
        models |= {f"{kind}.{name}": load_plugin(kind, name).Settings for name in registered(kind)}
    parts = dict(labeller_parts())
    models |= {f"labellers.{name}": part for name, part in parts.items()}
    every: list[type[BaseModel]] = [CampaignFile, *models.values()]
    wanted: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in every]
    references, definitions = models_json_schema(wanted, ref_template=REFERENCE, schema_generator=GenerateJsonSchema)
    found = definitions["$defs"]
    root = found.pop("CampaignFile")
    properties = root["properties"]
    settings = {name: references[model, "validation"] for name, model in models.items()}
    for (model, key), kind in places.items():
        owner = properties if model == "CampaignFile" else found[model]["properties"]
        for spec in ("SamplerSpec", "PluginSpec"):
            known = found[spec]["properties"]
            beside = {name: value for name, value in known.items() if name not in PluginSpec.model_fields}
            choice = json.dumps(_choice(settings, kind, beside))
            owner[key] = _replaced(owner[key], f"{{{_reference(spec)}}}", choice)
    for key in ("roles", "acceptance"):
        properties[key] = {**settings[key], "description": properties[key]["description"]}
    one = _choice(settings, "labellers", {})
    named = {"type": "object", "properties": {USE: {"type": "string"}}, "required": [USE], "additionalProperties": one}
    properties["labelling"] = {
        "anyOf": [*one["anyOf"], named],
        "description": properties["labelling"]["description"],
    }
    properties["data"] = _files(properties["data"])
    _of_properties(properties, found["Stop"]["properties"])
    validation = found["Validation"]["properties"]
    for owner in (properties, validation):
        owner["structures"] = _files(owner["structures"])
    arm = found["Control"]["properties"]["arm"]
    arm["anyOf"].insert(0, next(choice["items"] for choice in arm["anyOf"] if choice.get("type") == "array"))
    entry = {"anyOf": [{"$ref": REFERENCE.format(model="Code")}, {"type": "null"}], "default": None}
    programs = {program.key: program.about for part in parts.values() for program in programs_of(part)}
    engines = {name: f"Jobs that train or load a potential of the engine `{name}`." for name in registered("engines")}
    foundations = {name: f"Sampling jobs that the foundation `{name}` drives." for name in registered("foundations")}
    for name, about in {**foundations, **programs, **engines}.items():
        found["Codes"]["properties"][name] = {**entry, "description": about}
    found["Codes"]["additionalProperties"] = False
    found["FoundationSpec"] = _foundation(settings)
    observables = {"Validation": {"type": "array", "items": validation["final"]["items"]}}
    for name in ("PluginSpec", "SamplerSpec"):
        found.pop(name, None)
    # A plain value may stand for a model, wherever that is referred to.
    # Labellers, also those of other packages, may have models that a text stands for.
    of_labellers = {model.__name__: {"type": "string"} for model in ShortForm.__subclasses__() if model.short[1] is str}
    for name, short in {**of_labellers, **SHORT_FORMS, **observables}.items():
        if name in found:
            old, new = _reference(name), _reference(f"{name}OrShort")
            root, found = (_replaced(part, old, new) for part in (root, found))
            found[f"{name}OrShort"] = {"anyOf": [short, {"$ref": REFERENCE.format(model=name)}]}
    # In a campaign the labeller or the file's foundation drives the dynamics, and need not be named again.
    for name in registered("samplers"):
        if declares("samplers", name, "driven_by_labeller"):
            _let_out(found, settings[f"samplers.{name}"], "calculator")
        if declares("samplers", name, "driven_by_foundation"):
            _let_out(found, settings[f"samplers.{name}"], "foundation")
    return {"$schema": DIALECT, **root, "$defs": dict(sorted(found.items()))}


SHORT_FORMS: dict[str, dict[str, Any]] = {
    "Iterations": {"type": "integer", "minimum": 0},
    "Code": {"type": "string"},
    "EnergyReference": {"type": ["string", "object"]},
    "CalculatorSpec": {"type": ["string", "object"]},
    "ObservableTarget": {"type": ["string", "number"]},
    "PropertyTarget": {"type": "string"},
    "LearnedProperty": {"type": ["string", "null"]},
    "Starting": {
        "anyOf": [
            {"enum": ["auto", *STARTS]},
            {"type": "array", "items": {"enum": ["auto", *STARTS]}, "minItems": 1},
        ]
    },
}
"""Models that a plain value may stand for."""


def schema_text() -> str:
    """Return the schema as the text of a file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False, sort_keys=False) + "\n"


def plugin_places() -> dict[tuple[str, str], Kind]:
    """Where plug-ins stand in the file: model and key to kind."""
    owners = (CampaignFile, Bootstrap, Control, Validation)
    fields = {(owner.__name__, key): field for owner in owners for key, field in owner.model_fields.items()}
    found = {place: kind for place, field in fields.items() if (kind := _kind_of(field.annotation)) is not None}
    return {**found, (LearnedProperty.__name__, "model"): "property_models"}


@dataclass(frozen=True)
class SettingSummary:
    """A setting of a plug-in: what it is called, and what it is."""

    name: str
    type: str
    required: bool
    default: Any
    description: str


@dataclass(frozen=True)
class PluginSummary:
    """A plug-in and its settings; ``problem`` says why it cannot be loaded, if so."""

    name: str
    summary: str = ""
    module: str = ""
    settings: Sequence[SettingSummary] = ()
    problem: str = ""

    def as_dict(self) -> Mapping[str, object]:
        """Return plain values for JSON, without what is not known."""
        return {key: value for key, value in asdict(self).items() if value or key in ("summary", "settings")}


def describe_plugins(kind: str | None = None) -> dict[str, list[PluginSummary]]:
    """Name, summary and settings of every registered plug-in, by kind; `InputError` if there is no such kind."""
    wanted = [known for known in KINDS if kind is None or known in {kind, f"{kind}s"}]
    if not wanted:
        raise InputError(f"there is no kind of plug-in {kind!r}; the kinds are {', '.join(KINDS)}.")
    return {known: [_describe(known, name) for name in registered(known)] for known in wanted}


def _describe(kind: Kind, name: str) -> PluginSummary:
    try:
        plugin = load_plugin(kind, name)
    except InputError as error:
        return PluginSummary(name, problem=str(error))
    settings = [
        SettingSummary(
            name=key,
            type=str(field.annotation) if not isinstance(field.annotation, type) else field.annotation.__name__,
            required=field.is_required(),
            default=None if field.is_required() else field.get_default(call_default_factory=True),
            description=" ".join((field.description or "").split()),
        )
        for key, field in plugin.Settings.model_fields.items()
    ]
    return PluginSummary(name, (plugin.__doc__ or "").strip().split("\n")[0], plugin.__module__, settings)


def _kind_of(annotation: Any) -> Kind | None:
    """The kind of plug-in somewhere in an annotation."""
    if isinstance(annotation, OfKind):
        return annotation.kind
    return next((kind for part in get_args(annotation) if (kind := _kind_of(part)) is not None), None)


def _choice(settings: dict[str, Any], group: str, beside: dict[str, Any]) -> dict[str, Any]:
    """Schema of a plug-in of a kind: its name, or its name with settings, and what may stand beside them."""
    names = {key.removeprefix(f"{group}."): value for key, value in settings.items() if key.startswith(f"{group}.")}
    closed = {"additionalProperties": False}
    with_settings = [
        {"type": "object", "properties": {name: value, **beside}, "required": [name], **closed}
        for name, value in names.items()
    ]
    return {"anyOf": [{"enum": list(names)}, *with_settings]}


def _let_out(found: dict[str, Any], reference: dict[str, Any], key: str) -> None:
    """Require a key of a model no longer."""
    model = found[reference["$ref"].rsplit("/", maxsplit=1)[-1]]
    model["required"] = [name for name in model.get("required", []) if name != key]


def _foundation(settings: dict[str, Any]) -> dict[str, Any]:
    """Schema of a foundation: of a plug-in, or with its settings beside its name, as in janus-core."""
    choice = _choice(settings, "foundations", {})
    names = choice["anyOf"][0]
    as_in_janus = {"type": "object", "properties": {"arch": names}, "required": ["arch"]}
    return {"anyOf": [*choice["anyOf"], as_in_janus]}


def _reference(model: str) -> str:
    return f'"$ref": "{REFERENCE.format(model=model)}"'


def _replaced(part: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """Put something else, as JSON, in the place of every reference to a model."""
    return cast("dict[str, Any]", json.loads(json.dumps(part).replace(old, new)))


def _of_properties(keys: dict[str, Any], stop: dict[str, Any]) -> None:
    """Let a list of names stand for the properties that are learnt, and targets of theirs beside the other ones."""
    names = {"enum": list(PROPERTIES)}
    learned = {key: value for key, value in keys["properties"].items() if key != "description"}
    keys["properties"] = {
        "anyOf": [names, {"type": "array", "items": names}, learned | {"propertyNames": names}],
        "description": keys["properties"]["description"],
    }
    target = {"$ref": REFERENCE.format(model=PropertyTarget.__name__)}
    stop |= {name: {**target, "description": f"Target for the {name}, if it is learnt."} for name in PROPERTIES}


def _files(field: dict[str, Any]) -> dict[str, Any]:
    """Let one file stand for a list of files, and a name for a file."""
    choices = [{"type": "string"}, field["items"]]
    kept = {key: value for key, value in field.items() if key in {"description", "default", "title"}}
    several = {key: value for key, value in field.items() if key not in kept} | {"items": {"anyOf": choices}}
    return {**kept, "anyOf": [*choices, several]}
