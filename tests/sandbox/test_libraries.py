"""The shared libraries that a program needs are found as its loader finds them, and no others."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from connectors.sandbox.interpreter import find_interpreter
from connectors.sandbox.libraries import closure, loader_needs_cache
from connectors.sandbox.packages import NUMPY, find_packages


def test_what_this_interpreter_has_loaded_is_in_its_closure() -> None:
    program = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    lines = Path("/proc/self/maps").read_text().splitlines()
    loaded = {line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) == 6}
    basic = {path for path in loaded if re.search(r"/(libc|libm|ld-linux[^/]*|libpython[^/]*)\.so", path)}

    found = set(closure([program]).values())

    assert basic
    assert basic <= found | {program}


def test_each_library_is_a_file_and_is_opened_by_a_path_without_links_but_the_last() -> None:
    found = find_interpreter().libraries

    assert len(found) > 3
    for path, file in found.items():
        assert os.path.isfile(file)
        assert os.path.realpath(path) == file
        assert os.path.realpath(os.path.dirname(path)) == os.path.dirname(path)


def test_what_is_no_program_needs_nothing(tmp_path: Path) -> None:
    for content in (
        b"",
        b"#!/bin/sh\n",
        b"\x7fELF",
        b"\x7fELF\x02\x01" + bytes(40),
        b"\x7fELF\x02\x01" + b"\xff" * 400,
    ):
        path = tmp_path / "program"
        path.write_bytes(content)
        assert closure([str(path)]) == {}
        path.unlink()
    assert closure([str(tmp_path / "missing")]) == {}


def test_a_package_brings_what_it_needs_beside_its_own() -> None:
    places = find_packages(["numpy"], (NUMPY,))

    assert places.native
    own = tuple(f"{path}/" for path in places.read_paths)
    assert not [path for path in places.libraries.values() if path.startswith(own)]
    assert any("/libc.so" in path for path in places.libraries)


def test_the_loaders_cache_is_needed_only_for_unusual_places() -> None:
    assert not loader_needs_cache([])
    assert not loader_needs_cache(["/somewhere/of/its/own/libx.so"])


def test_no_directory_of_the_system_is_readable_as_a_whole() -> None:
    found = find_interpreter()

    assert not {"/usr/lib", "/lib", "/usr/lib64", "/lib64", os.path.dirname(found.library_path)} & set(
        found.read_paths
    )
    for path in found.read_paths:
        if os.path.isdir(path):
            assert path == "/usr/share/zoneinfo" or path.startswith(found.library_path + "/")
