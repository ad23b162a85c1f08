"""What a gateway refuses to be told."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from streams.gateway.metadata import DEPTH_MAX, metadata_json
from streams.gateway.problems import Problem
from streams.gateway.process import check_address, origins_of
from streams.process.ending import ExitCode, ShellStopped
from streams.process.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_the_loopback_needs_no_tls(host: str) -> None:
    check_address(Settings(gateway_host=host))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.7", "door.example", "127.0.0.1.evil.example", ""]
)
def test_another_address_needs_tls_or_an_override_that_is_logged(host: str) -> None:
    with pytest.raises(ShellStopped) as stopped:
        check_address(Settings(gateway_host=host))
    assert stopped.value.code == ExitCode.USAGE
    assert "CARTRITA_GATEWAY_CERTIFICATE" in stopped.value.reason
    check_address(Settings(gateway_host=host, gateway_certificate=Path("door.pem")))
    with capture_logs() as logs:
        check_address(Settings(gateway_host=host, gateway_insecure=True))
    assert [(one["event"], one["log_level"]) for one in logs] == [("gateway_insecure", "warning")]


@pytest.mark.parametrize("origin", ["https://console.example", "http://localhost:5173", "http://[::1]:3000"])
def test_origins_are_taken_as_browsers_name_them(origin: str) -> None:
    assert origins_of(Settings(gateway_origins=f"{origin}, {origin}")) == (origin, origin)


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "https://*.example",
        "console.example",
        "https://console.example/",
        "HTTPS://x",
        "null",
        "https://a b",
    ],
)
def test_what_is_no_exact_origin_is_refused(origin: str) -> None:
    with pytest.raises(ShellStopped, match="names") as stopped:
        origins_of(Settings(gateway_origins=origin))
    assert stopped.value.code == ExitCode.USAGE


def nested(depth: int, wide: bool) -> dict[str, object]:
    value: object = 1
    for level in range(depth - 1):
        value = [value, 2] if wide and level % 2 else {"a": value}
    return {"a": value}


@pytest.mark.parametrize("wide", [True, False])
def test_metadata_is_nested_so_deep_and_no_deeper(wide: bool) -> None:
    assert metadata_json(nested(DEPTH_MAX, wide)) is not None
    with pytest.raises(Problem) as told:
        metadata_json(nested(DEPTH_MAX + 1, wide))
    assert (told.value.status, told.value.param) == (422, "metadata")
    assert metadata_json({}) is None
