"""Inspects many files in worker processes, and survives the death of any of them."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from connectors.ui_analyzer.discovery import Found
from connectors.ui_analyzer.inspection import FileReport, Limits, inspect_batch, inspect_file
from connectors.ui_analyzer.model import FileProblem, FileStatus

FILES_FOR_POOL_MIN = 400
"""Below this, starting processes costs more than it saves."""
_BATCH = 24
_WORKERS_MAX = 8


def inspect_all(
    files: Sequence[Found], limits: Limits, workers: int | None, done: Callable[[int], None]
) -> list[FileReport]:
    """Inspect every file; the result is in the order of `files`. `done` hears how many are finished."""
    count = workers if workers is not None else _suitable_workers(len(files))
    if count <= 1 or multiprocessing.current_process().daemon:
        reports = []
        for position, found in enumerate(files, start=1):
            reports.append(inspect_file(found.absolute, found.path, limits))
            if position % _BATCH == 0 or position == len(files):
                done(position)
        return reports
    by_path: dict[str, FileReport] = {}
    for batch in _run(list(_batches(files, _BATCH)), limits, count):
        by_path.update((report.path, report) for report in batch)
        done(len(by_path))
    return [by_path[found.path] for found in files]


def _suitable_workers(files: int) -> int:
    if files < FILES_FOR_POOL_MIN:
        return 1
    return min(
        _WORKERS_MAX,
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )


def _batches(files: Sequence[Found], size: int) -> Iterator[tuple[tuple[str, str], ...]]:
    for start in range(0, len(files), size):
        yield tuple((found.absolute, found.path) for found in files[start : start + size])


def _run(
    batches: list[tuple[tuple[str, str], ...]], limits: Limits, workers: int
) -> Iterator[list[FileReport]]:
    """Yield the reports of each batch. When a process dies, its batch is repeated file by file."""
    left = dict(enumerate(batches))
    suspects: list[tuple[tuple[str, str], ...]] = []
    with _pool(workers) as pool:
        futures: dict[Future[list[FileReport]], int] = {}
        try:
            futures = {pool.submit(inspect_batch, batch, limits): key for key, batch in left.items()}
            pending = set(futures)
            while pending:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
                    del left[futures[future]]
        except BrokenProcessPool:
            suspects = list(left.values())
    for batch in suspects:
        for entry in batch:
            yield [_alone(entry, limits)]


def _alone(entry: tuple[str, str], limits: Limits) -> FileReport:
    """Inspect one file in a process of its own."""
    with _pool(1) as pool:
        try:
            return pool.submit(inspect_file, *entry, limits).result()
        except BrokenProcessPool:
            report = FileReport(entry[1])
            report.problem = FileProblem(
                path=entry[1], status=FileStatus.CRASHED, detail="the parser died on it"
            )
            return report


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned rather than forked: the caller may run threads that hold locks.
    return ProcessPoolExecutor(max_workers=workers, mp_context=multiprocessing.get_context("spawn"))
