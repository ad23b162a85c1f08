"""What a planner and a critic write: found in their answers, and read by a schema."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from processors.structured import values_in
from schemas.events.plans import Difficulty, Relation
from schemas.words import listed

DETAIL_CHARACTERS_MAX: Final = 1_000
FAULTS_TOLD_MAX: Final = 5
QUOTED_CHARACTERS_MAX: Final = 120
_NOBODY: Final = frozenset({"", "null", "none", "nil", "-"})


def _or(default: object) -> BeforeValidator:
    """Read null, as models write what they leave out, as the default."""
    return BeforeValidator(lambda value: default if value is None else value)


def _relation(value: object) -> object:
    return value.strip().lower().replace(" ", "_").replace("-", "_") if isinstance(value, str) else value


def _difficulty(value: object) -> object:
    """Read what is no difficulty as the usual one: a plan is not worse for it."""
    known = isinstance(value, str) and Difficulty(value.strip().lower()).is_known
    return str(value).strip().lower() if known else Difficulty.USUAL.value


def _nobody(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() in _NOBODY else value


class _Output(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


class EdgeOutput(_Output):
    """A relation as the planner writes it."""

    relation: Annotated[Literal["depends_on", "blocks", "enables", "refines"], BeforeValidator(_relation)]
    task: Annotated[str, Field(min_length=1, max_length=60)]
    weight: Annotated[float, Field(ge=0, le=1), _or(1.0)] = 1.0


class TaskOutput(_Output):
    """A task as the planner writes it."""

    key: Annotated[str, Field(min_length=1, max_length=60)]
    intent: Annotated[str, Field(min_length=1)]
    agent: Annotated[str, Field(min_length=1, max_length=50)]
    priority: Annotated[int, Field(ge=1, le=10), _or(5)] = 5
    difficulty: Annotated[Difficulty, BeforeValidator(_difficulty)] = Difficulty.USUAL
    parent: Annotated[Annotated[str, Field(max_length=60)] | None, BeforeValidator(_nobody)] = None
    edges: Annotated[list[EdgeOutput], _or([])] = []


class PlanOutput(_Output):
    """A plan as the planner writes it."""

    tasks: list[TaskOutput]


class CritiqueOutput(_Output):
    """A critique as the critic writes it."""

    score: Annotated[float, Field(ge=0, le=1)]
    remarks: Annotated[str, _or("")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misread:
    """An answer that is not what was asked for."""

    detail: str
    is_json: bool
    """True where there is JSON, of another form."""


_OutputT = TypeVar("_OutputT", bound=BaseModel)


def read_plan(text: str) -> PlanOutput | Misread:
    """Find a plan in a planner's answer."""
    return _read(PlanOutput, "tasks", text)


def read_critique(text: str) -> CritiqueOutput | str:
    """Find a critique in a critic's answer; a text says what is wrong with it."""
    found = _read(CritiqueOutput, "score", text)
    return found.detail if isinstance(found, Misread) else found


def schema_of_plan(agents: Iterable[str]) -> str:
    """Return the JSON Schema of a plan in which agents and relations can only be those that there are."""
    edge = _object(
        relation={"type": "string", "enum": [relation.value for relation in Relation]},
        task={"type": "string"},
        weight={"type": "number"},
    )
    task = _object(
        key={"type": "string"},
        intent={"type": "string"},
        agent={"type": "string", "enum": sorted(agents)},
        priority={"type": "integer"},
        difficulty={"type": "string", "enum": [difficulty.value for difficulty in Difficulty]},
        parent={"type": ["string", "null"]},
        edges={"type": "array", "items": edge},
    )
    return json.dumps(_object(tasks={"type": "array", "items": task}))


def schema_of_critique() -> str:
    """Return the JSON Schema of a critique."""
    return json.dumps(_object(score={"type": "number"}, remarks={"type": "string"}))


def _object(**properties: object) -> dict[str, object]:
    # Every field is required and no other allowed, as providers want it that hold answers to a schema.
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _read(form: type[_OutputT], field: str, text: str) -> _OutputT | Misread:
    fault: Misread | None = None
    values = [_unwrapped(value, field) for value in values_in(text)]
    for value in values:
        try:
            return form.model_validate_json(json.dumps(value))
        except (ValidationError, RecursionError) as error:
            told = _described(error) if isinstance(error, ValidationError) else "the answer: this is too deep"
            # What has the field was meant; of several, the last one counts.
            meant = isinstance(value, dict) and field in value
            if fault is None or (meant and "this is missing" in fault.detail):
                fault = Misread(detail=told, is_json=True)
    return fault or Misread(detail=f"the answer: this is not JSON: {_quoted(text)}", is_json=False)


def _unwrapped(value: object, field: str) -> object:
    """Return the object with `field`: in another, alone in a list, or left out around a list of tasks."""
    if isinstance(value, dict) and field not in value:
        inner = [item for item in value.values() if isinstance(item, dict) and field in item]
        return inner[0] if len(inner) == 1 else value
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and field in value[0]:
        return value[0]
    if (
        field == "tasks"
        and isinstance(value, list)
        and value
        and all(isinstance(item, dict) for item in value)
    ):
        return {"tasks": value}
    return value


def _quoted(text: str) -> str:
    beginning = " ".join(text.split())
    if len(beginning) > QUOTED_CHARACTERS_MAX:
        beginning = beginning[: QUOTED_CHARACTERS_MAX - 1] + "…"
    return f"it begins with “{beginning}”" if beginning else "it is empty"


def _described(error: ValidationError) -> str:
    """Say what is wrong in sentences of our own: they enter states, which a library's wording must not."""
    faults = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'the answer'}: "
        f"{_sentence(fault['type'], fault.get('ctx', {}))}"
        for fault in error.errors(include_url=False, include_input=False)[:FAULTS_TOLD_MAX]
    ]
    return "; ".join(faults)[:DETAIL_CHARACTERS_MAX]


def _sentence(kind: str, context: Mapping[str, object]) -> str:
    """Say what is wrong with a value; `kind` and the bounds in `context` are pydantic's, the words ours."""
    match kind:
        case "json_invalid":
            return "this is not JSON"
        case "missing":
            return "this is missing"
        case "string_type":
            return "this must be a text"
        case "string_too_short":
            return "this must not be empty"
        case "string_too_long":
            return f"this may have at most {context.get('max_length')} characters"
        case "greater_than_equal":
            return f"this must be at least {context.get('ge')}"
        case "less_than_equal":
            return f"this must be at most {context.get('le')}"
        case "literal_error":
            return f"this must be {listed(Relation)}"
        case "list_type":
            return "this must be a list"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "this must be an object"
        case "int_type" | "int_parsing" | "int_parsing_size" | "int_from_float":
            return "this must be a whole number"
        case "float_type" | "float_parsing" | "finite_number":
            return "this must be a number"
        case _:
            return "this has a form that is not understood"
