"""Requests, limits and packages are checked at the border."""

from __future__ import annotations

import pytest

from connectors.sandbox.errors import RequestInvalid
from connectors.sandbox.limits import CODE_BYTES_MAX, FILES_BYTES_MAX, MIB, Limits
from connectors.sandbox.packages import NUMPY, ApprovedPackage, find_packages
from connectors.sandbox.request import ExecutionRequest


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"code": "x" * (CODE_BYTES_MAX + 1)}, "bound is"),
        ({"code": "'\ud800'"}, "Unicode"),
        ({"code": "", "timeout_ms": 0}, "positive"),
        ({"code": "", "files": {str(index): b"" for index in range(65)}}, "65 files"),
        ({"code": "", "files": {"a": bytes(FILES_BYTES_MAX + 1)}}, "bytes together"),
        ({"code": "", "files": {"a": b"", "a/b": b""}}, "the directory of 'a/b'"),
        ({"code": "", "files": {"a/b/c/d": b"", "a/b": b"", "e": b""}}, "'a/b' would also be"),
        *(
            ({"code": "", "files": {name: b""}}, "plain relative path")
            for name in (
                "/etc/passwd",
                "../up",
                "a/../b",
                "a//b",
                "",
                ".",
                "new\nline",
                "\ud800",
                " a",
                "a" * 201,
                "a\u3164b",
                "x\ufe0f",
                "report\U000e0159.txt",
                "\u2800",
                "bidi\u202e",
                "e" + "\u0301" * 9,
                "g\u034fh/i",
                "ends.",
                "a./b",
                "...",
                "a\\b",
                "\uff0e\uff0e",
                "a\uff0fb",
                "a\ufe68b",
                "\u0301mark",
                "a/\u20ddmark",
            )
        ),
        *(
            ({"code": "", "files": dict.fromkeys(names, b"")}, "look the same")
            for names in (("\u00e9", "e\u0301"), ("fi", "\ufb01"), ("d/K", "d/\u212a"))
        ),
    ],
)
def test_a_request_that_breaks_a_bound_is_refused(fields: dict[str, object], fault: str) -> None:
    with pytest.raises(RequestInvalid, match=fault):
        ExecutionRequest(**fields)  # type: ignore[arg-type]  # the table above has the right types


@pytest.mark.parametrize(
    "fields", [{"cpu_ms": 0}, {"timeout_ms_max": 300_001}, {"memory_bytes": 63 * MIB}, {"inodes": -1}]
)
def test_limits_that_are_none_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(RequestInvalid):
        Limits(**fields)


def test_a_package_that_is_not_approved_is_refused_by_name() -> None:
    with pytest.raises(RequestInvalid, match=r"'aiohttp' is not approved; approved: numpy"):
        find_packages(["aiohttp"], [NUMPY])


def test_an_approved_package_that_is_not_installed_is_said_to_be() -> None:
    missing = ApprovedPackage(name="missing", distributions=("no-such-distribution",))

    with pytest.raises(RequestInvalid, match="not installed"):
        find_packages(["missing"], [missing])


def test_only_what_belongs_to_a_package_becomes_readable() -> None:
    places = find_packages(["numpy"], [NUMPY])

    assert set(places.imports) == {"numpy"}
    assert places.native
    assert all("numpy" in path.rpartition("/")[2] for path in places.read_paths)
    assert not any(path.endswith("site-packages") for path in places.read_paths)


def test_a_package_of_python_alone_is_known_to_be_one() -> None:
    pure = ApprovedPackage(name="tinycss2", distributions=("tinycss2", "webencodings"))

    places = find_packages(["tinycss2"], [pure])

    assert set(places.imports) == {"tinycss2", "webencodings"}
    assert not places.native
