"""Two thousand files."""

import os
import time
from pathlib import Path

import pytest

from connectors.ui_analyzer.analysis import analyze
from connectors.ui_analyzer.options import Options, Progress
from tests.ui_analyzer.mutations import APPS, CORPUS

FILES = 2_000


def build(folder: Path) -> int:
    """Copy the files of the clean applications until there are 2,000; returns their size in bytes."""
    originals = [path for app in APPS for path in sorted((CORPUS / app).rglob("*")) if path.is_file()]
    size = 0
    for number in range(FILES):
        source = originals[number % len(originals)]
        target = folder / f"part{number // 50}" / f"{source.stem}{number}{source.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        content = source.read_bytes()
        size += len(content)
        target.write_bytes(content)
    return size


@pytest.mark.slow
def test_two_thousand_files_use_less_than_ten_seconds_of_one_core(tmp_path: Path) -> None:
    build(tmp_path)
    heard: list[Progress] = []

    # Processor time, so that what else the machine does is not measured.
    before = os.times()
    analysis = analyze(tmp_path, Options(workers=1, progress=heard.append))
    after = os.times()

    assert analysis.totals.files_assessed == FILES
    assert after.user + after.system - before.user - before.system <= 10.0
    assert len(heard) > 10
    assert [progress.done for progress in heard] == sorted(progress.done for progress in heard)


if __name__ == "__main__":
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        total = build(Path(name))
        for workers in (1, 2):
            start = time.perf_counter()
            analyze(Path(name), Options(workers=workers))
            sys.stdout.write(
                f"{FILES} files, {total / 1e6:.1f} MB, {workers} worker(s): {time.perf_counter() - start:.1f} s\n"
            )
