"""Spans in OpenTelemetry's own form, OTLP: as protobuf, as JSON, and sent to a receiver by HTTP."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]  # it ships no types
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # as above
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from sinks.span_conventions import BY_FORM, SCHEMA_URL
from sinks.spans import Span, Value

SPANS_MAX: Final = 500
"""Of one request."""
PATH: Final = "/v1/traces"
_TIMEOUT_S: Final = 30.0
_SERVICE: Final = "cartrita"
_SCOPE: Final = "cartrita.log"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS: Final = {
    "INTERNAL": trace_pb2.Span.SPAN_KIND_INTERNAL,
    "SERVER": trace_pb2.Span.SPAN_KIND_SERVER,
    "CLIENT": trace_pb2.Span.SPAN_KIND_CLIENT,
}


class ReceiverRefused(Exception):
    """A receiver does not take the spans; the message says why."""


def request_of(spans: Sequence[Span]) -> ExportTraceServiceRequest:
    """Return spans as one request."""
    of_scope = trace_pb2.ScopeSpans(
        scope=InstrumentationScope(name=_SCOPE), spans=[_span(one) for one in spans], schema_url=SCHEMA_URL
    )
    resource = Resource(attributes=_attributes({"service.name": _SERVICE}))
    return ExportTraceServiceRequest(
        resource_spans=[
            trace_pb2.ResourceSpans(resource=resource, scope_spans=[of_scope], schema_url=SCHEMA_URL)
        ]
    )


def requests_of(spans: Sequence[Span]) -> Iterator[ExportTraceServiceRequest]:
    """Return spans as requests of at most 500 spans each; none, if there are no spans."""
    for begin in range(0, len(spans), SPANS_MAX):
        yield request_of(spans[begin : begin + SPANS_MAX])


def as_plain(request: ExportTraceServiceRequest) -> dict[str, object]:
    """Return a request as OTLP's JSON has it: as protobuf's own, but ids in hexadecimal digits."""
    plain: dict[str, object] = MessageToDict(request, use_integers_for_enums=True)
    for resource, told in zip(_list(plain, "resourceSpans"), request.resource_spans, strict=True):
        for scope, told_scope in zip(_list(resource, "scopeSpans"), told.scope_spans, strict=True):
            for span, told_span in zip(_list(scope, "spans"), told_scope.spans, strict=True):
                _write_ids(span, told_span)
                for link, told_link in zip(_list(span, "links"), told_span.links, strict=True):
                    _write_ids(link, told_link)
    return plain


def as_lines(spans: Sequence[Span]) -> str:
    """Return spans as OTLP's file format has them: a JSON object a line."""
    return "".join(json.dumps(as_plain(one), separators=(",", ":")) + "\n" for one in requests_of(spans))


async def send(url: str, spans: Sequence[Span], headers: Mapping[str, str]) -> None:
    """Send spans to a receiver, and wait until it has all of them; sent twice, they are the same.

    Args:
        url: of the receiver; where it has no path, OTLP's own is used.
        spans: of whatever traces.
        headers: beside those of OTLP.

    Raises:
        ReceiverRefused: it is away, or takes not all of them.
    """
    address = httpx.URL(url)
    if address.path in ("", "/"):
        address = address.copy_with(path=PATH)
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        for request in requests_of(spans):
            try:
                answer = await client.post(
                    address,
                    content=request.SerializeToString(deterministic=True),
                    headers={**headers, "Content-Type": "application/x-protobuf"},
                )
            except httpx.HTTPError as error:
                raise ReceiverRefused(
                    f"{url} does not answer: {str(error) or type(error).__name__}"
                ) from error
            _demand_taken(url, answer)


def _demand_taken(url: str, answer: httpx.Response) -> None:
    if answer.status_code != httpx.codes.OK:
        raise ReceiverRefused(f"{url} answers {answer.status_code}: {answer.text[:200]}".rstrip(": "))
    try:
        told = ExportTraceServiceResponse.FromString(answer.content)
    except DecodeError:
        return
    if told.partial_success.rejected_spans:
        raise ReceiverRefused(
            f"{url} refuses {told.partial_success.rejected_spans} spans: {told.partial_success.error_message}"
        )


def _span(one: Span) -> trace_pb2.Span:
    ended_at = one.ended_at
    assert ended_at is not None
    return trace_pb2.Span(
        trace_id=bytes.fromhex(one.trace_id),
        span_id=bytes.fromhex(one.span_id),
        parent_span_id=bytes.fromhex(one.parent_id),
        name=one.name,
        kind=_KINDS[BY_FORM[one.form].kind],
        start_time_unix_nano=_nanoseconds(one.begun_at),
        end_time_unix_nano=_nanoseconds(ended_at),
        attributes=_attributes(one.attributes),
        events=[
            trace_pb2.Span.Event(
                time_unix_nano=_nanoseconds(event.at),
                name=event.name,
                attributes=_attributes(event.attributes),
            )
            for event in one.events
        ],
        links=[
            trace_pb2.Span.Link(
                trace_id=bytes.fromhex(link.trace_id),
                span_id=bytes.fromhex(link.span_id),
                attributes=_attributes(link.attributes),
            )
            for link in one.links
        ],
        status=trace_pb2.Status(code=trace_pb2.Status.STATUS_CODE_ERROR, message=one.error)
        if one.error
        else trace_pb2.Status(),
    )


def _attributes(given: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in given.items()]


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=one) for one in value]))


def _nanoseconds(at: datetime) -> int:
    """Return a time as OTLP has it; a float would lose what is below 100 of them."""
    return (at - _EPOCH) // timedelta(microseconds=1) * 1_000


def _list(plain: Mapping[str, object], name: str) -> list[dict[str, object]]:
    found = plain.get(name, [])
    assert isinstance(found, list)
    return found


def _write_ids(plain: dict[str, object], told: trace_pb2.Span | trace_pb2.Span.Link) -> None:
    plain["traceId"], plain["spanId"] = told.trace_id.hex(), told.span_id.hex()
    if "parentSpanId" in plain and isinstance(told, trace_pb2.Span):
        plain["parentSpanId"] = told.parent_span_id.hex()
