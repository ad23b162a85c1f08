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
    """Yield the reports of each batch. When a process dies, what was not done is repeated file by file."""
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
    suspicious = [entry for batch in suspects for entry in batch]
    while suspicious:
        reports = _one_by_one(suspicious, limits)
        suspicious = suspicious[len(reports) :]
        yield reports


def _one_by_one(entries: list[tuple[str, str]], limits: Limits) -> list[FileReport]:
    """Inspect files one at a time in another process, up to and with the one that kills it, if any does."""
    reports: list[FileReport] = []
    with _pool(1) as pool:
        for absolute, path in entries:
            try:
                reports.append(pool.submit(inspect_file, absolute, path, limits).result())
            except BrokenProcessPool:
                dead = FileReport(path)
                dead.problem = FileProblem(
                    path=path, status=FileStatus.CRASHED, detail="the parser died on it"
                )
                return [*reports, dead]
    return reports


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned rather than forked: the caller may run threads that hold locks.
    return ProcessPoolExecutor(max_workers=workers, mp_context=multiprocessing.get_context("spawn"))
