"""Settings of the engine `external`."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from bloomery.engines.external.definition import Definition, fill, read_definition
from bloomery.errors import InputError
from bloomery.plugins import Settings
from bloomery.quantities import Share


class _OrItsName:
    """In the schema: a text is taken as well."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "string"}]}


class ExternalSettings(Settings):
    """Settings of the engine `external`.

    A definition runs programs, and travels with the potentials fitted by it: evaluate only potentials of this engine
    whose origin you know.
    """

    definition: Annotated[Definition, _OrItsName()]
    """Name of a shipped definition (``pacemaker``), path of a YAML file where the training runs, or all of it."""
    values: dict[str, object] = Field(default_factory=dict)
    """Parameters of the definition that shall differ from their defaults."""
    members: int = Field(default=4, ge=1)
    """Members of the committee."""
    share: Share = Field(default=0.75, gt=0, le=1)
    """Share of the members that each training frame is shown to; the draw follows from the frame's content."""

    @field_validator("definition", mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        return read_definition(given) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _values_are_parameters(self) -> Self:
        strange = set(self.values) - set(self.definition.parameters)
        if strange:
            raise ValueError(
                f"values: the definition has no parameter {min(strange)!r} (it has "
                f"{', '.join(self.definition.parameters) or 'none'})"
            )
        return self

    @property
    def parameters(self) -> dict[str, object]:
        """Parameters of the definition, with the values given here."""
        return {**self.definition.parameters, **self.values}

    @property
    def cutoff(self) -> float:
        """Range of an atom's environment in Å; `InputError` if what the definition says is not a number."""
        text = fill(self.definition.cutoff, self.parameters)
        try:
            return float(text)
        except ValueError as error:
            raise InputError(f"definition.cutoff: {text!r} is not a number.") from error
