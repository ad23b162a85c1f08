"""What requests of /api/v2 may hold: values of the kinds that are named, and none that only look so."""

from collections.abc import Iterator
from typing import Annotated, Any, get_args

import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from streams.gateway.bodies import Body, Moment
from streams.gateway.reference import APIS

LOOKALIKES = (True, False, 0, 1, 5, 1.5, 1_700_000_000, "true", "1", "5", "1.5", "1700000000", "1700000000.5")


def bodies() -> Iterator[type[Body]]:
    """Yield what requests are read as, and what that holds."""
    found = [
        route.body_field.field_info.annotation
        for api in APIS
        for route in api.router.routes
        if isinstance(route, APIRoute) and route.body_field is not None
    ]
    seen = set()
    while found:
        one = found.pop()
        if isinstance(one, type) and issubclass(one, Body):
            if one in seen:
                continue
            seen.add(one)
            yield one
            found += [field.annotation for field in one.model_fields.values()]
        else:
            found += get_args(one)


FIELDS = [
    pytest.param(info, id=f"{body.__name__}.{name}")
    for body in bodies()
    for name, info in body.model_fields.items()
]


def test_every_request_with_a_body_is_looked_at() -> None:
    assert len(list(bodies())) > 10


@pytest.mark.parametrize("info", FIELDS)
def test_no_field_takes_what_only_looks_like_it(info: FieldInfo) -> None:
    kind: Any = Annotated[info.annotation, "", *info.metadata]  # Any: whatever it holds
    field: TypeAdapter[object] = TypeAdapter(kind)
    for given in LOOKALIKES:
        try:
            taken = to_jsonable_python(field.validate_python(given))
        except ValidationError:
            continue
        assert taken == given, f"{given!r} became {taken!r}"
        assert isinstance(taken, bool) == isinstance(given, bool), f"{given!r} became {taken!r}"


def test_no_body_takes_a_field_that_it_does_not_know() -> None:
    for body in bodies():
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            body.model_validate({"surely unknown": 1})


def test_a_moment_of_any_zone_is_told_in_utc() -> None:
    read: TypeAdapter[Any] = TypeAdapter(Moment)

    told = read.validate_python("0652-12-05T15:44:02-20:46")

    assert told.isoformat() == "0652-12-06T12:30:02+00:00"
    for beyond in ("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"):
        with pytest.raises(ValidationError, match="years 1 to 9999"):
            read.validate_python(beyond)
