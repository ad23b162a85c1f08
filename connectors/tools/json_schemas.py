"""JSON Schemas of tools: one that validates and cannot be used is refused where it is registered.

A schema can be sound by the letter and still never work: a reference to nowhere or to the network, a schema
that is its own part without any value between, or one that only an endless value would fit. Each call of the
tool would fail, some after the tool has run.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

_REFERENCES: Final = ("$ref", "$dynamicRef")
_OF_ALL: Final = ("not", "if", "then", "else")
"""Keywords whose one schema is asked of the very same value."""
_LISTS: Final = ("allOf", "anyOf", "oneOf")

Schema = Mapping[str, object]


class SchemaUnusable(Exception):
    """No value can be checked by it; the message says why."""


def usable_validator(text: str, *, of_object: bool) -> Draft202012Validator:
    """Compile a schema that can be used.

    Args:
        text: the schema as JSON.
        of_object: True when it must describe a JSON object, as the parameters of a tool do.

    Raises:
        SchemaUnusable: it is no JSON Schema, or cannot be used.
    """
    try:
        schema = json.loads(text)
        Draft202012Validator.check_schema(schema)
        if of_object and not (isinstance(schema, dict) and schema.get("type", "object") == "object"):
            raise SchemaUnusable("it must describe an object")
        references = _References(schema)
        if isinstance(schema, dict):
            references.demand_end(schema)
            references.demand_finite(schema)
    except (ValueError, SchemaError) as error:
        raise SchemaUnusable(f"it is no JSON Schema: {error}") from error
    except RecursionError as error:
        raise SchemaUnusable("it is nested too deep") from error
    return Draft202012Validator(schema, registry=references.registry)


def faults_of(validator: Draft202012Validator, value: object) -> list[ValidationError]:
    """Return what is wrong with a value; a value on which the validator gives up is wrong as a whole."""
    try:
        return list(validator.iter_errors(value))
    except RecursionError:
        return [ValidationError("it is nested too deep to be checked")]
    except (ArithmeticError, ValueError, TypeError) as error:
        # Such as a number of 400 digits that has to be a multiple of 0.1.
        return [ValidationError(f"it cannot be checked: {type(error).__name__}: {error}")]


class _References:
    """All schemas within one, each with the schemas that its references name; nothing is ever fetched."""

    def __init__(self, schema: object) -> None:
        """Resolve all references.

        Raises:
            SchemaUnusable: one leads nowhere.
        """
        root: Resource[object] = DRAFT202012.create_resource(cast("Schema", schema))
        empty: Registry[object] = Registry()
        self.registry = empty.with_resource("", root).crawl()
        # By the identity of a schema within the document, which lives as long as this does.
        self._named: dict[int, list[object]] = {}
        waiting = [(root, self.registry.resolver_with_root(root))]
        while waiting:
            resource, resolver = waiting.pop()
            if isinstance(resource.contents, dict):
                self._named[id(resource.contents)] = [
                    self._target(resolver.lookup, resource.contents[keyword])
                    for keyword in _REFERENCES
                    if keyword in resource.contents
                ]
            waiting += [(one, resolver.in_subresource(one)) for one in resource.subresources()]

    def demand_end(self, root: Schema) -> None:
        """Refuse a schema that asks itself of the same value again, and so without end."""
        done: set[int] = set()
        under_way: set[int] = set()
        stack: list[tuple[object, Iterator[object]]] = []
        for start in self._schemas(root):
            if id(start) in done:
                continue
            stack.append((start, self._of_same_value(start)))
            under_way.add(id(start))
            while stack:
                schema, parts = stack[-1]
                part = next(parts, None)
                if part is None:
                    under_way.discard(id(schema))
                    done.add(id(schema))
                    stack.pop()
                elif id(part) in under_way:
                    raise SchemaUnusable("a reference in it leads back to itself, without an end")
                elif id(part) not in done:
                    under_way.add(id(part))
                    stack.append((part, self._of_same_value(part)))

    def demand_finite(self, root: Schema) -> None:
        """Refuse a schema that only a value nested without end would fit."""
        schemas = self._schemas(root)
        finite: set[int] = set()
        while True:
            more = {id(one) for one in schemas if id(one) not in finite and self._is_finite(one, finite)}
            if not more:
                break
            finite |= more
        if id(root) not in finite:
            raise SchemaUnusable("only a value that is nested without end would fit it")

    def _is_finite(self, schema: Schema, finite: set[int]) -> bool:
        must = [*self._named.get(id(schema), ()), *_listed(schema, "allOf")]
        properties, required = schema.get("properties"), schema.get("required")
        if schema.get("type") == "object" and isinstance(properties, dict) and isinstance(required, list):
            must += [properties[name] for name in required if name in properties]
        least = schema.get("minItems", 0)
        if schema.get("type") == "array" and isinstance(least, int) and least > 0:
            must += [schema["items"]] if "items" in schema and "prefixItems" not in schema else []
            must += _listed(schema, "prefixItems")[:least]
        either = [_listed(schema, keyword) for keyword in ("anyOf", "oneOf") if keyword in schema]
        return all(_holds(one, finite) for one in must) and all(
            any(_holds(one, finite) for one in branches) for branches in either
        )

    def _schemas(self, root: Schema) -> list[Schema]:
        """Return every schema that can be reached, each once; those that are true or false apart."""
        found: dict[int, Schema] = {}
        waiting: list[object] = [root]
        while waiting:
            schema = waiting.pop()
            if isinstance(schema, dict) and id(schema) not in found:
                found[id(schema)] = schema
                waiting += self._named.get(id(schema), ())
                waiting += [one.contents for one in DRAFT202012.create_resource(schema).subresources()]
        return list(found.values())

    def _of_same_value(self, schema: object) -> Iterator[object]:
        if not isinstance(schema, dict):
            return
        yield from self._named.get(id(schema), ())
        yield from (schema[keyword] for keyword in _OF_ALL if keyword in schema)
        for keyword in _LISTS:
            yield from _listed(schema, keyword)
        dependent = schema.get("dependentSchemas")
        if isinstance(dependent, dict):
            yield from dependent.values()

    @staticmethod
    def _target(lookup: object, reference: object) -> object:
        try:
            found = lookup(reference).contents  # type: ignore[operator]  # a bound method of the resolver
        except Unresolvable as error:
            raise SchemaUnusable(f"its reference {reference!r} leads nowhere; nothing is fetched") from error
        if not isinstance(found, dict | bool):
            raise SchemaUnusable(f"its reference {reference!r} leads to what is no schema")
        return found


def _listed(schema: Schema, keyword: str) -> list[object]:
    found = schema.get(keyword)
    return list(found) if isinstance(found, list) else []


def _holds(schema: object, finite: set[int]) -> bool:
    return schema is not False and (not isinstance(schema, dict) or id(schema) in finite)
