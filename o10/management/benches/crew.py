"""Who works at the same time in a benchmark? Processes with a common start."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from django.db import connections

_CONTEXT = multiprocessing.get_context("fork")
_WAIT_S = 600.0

Work = Callable[["psycopg.Connection[Any]"], Any]
"""Gets a connection of its own and answers something that pickles."""


def connect(alias: str) -> "psycopg.Connection[Any]":
    """Which plain connection has this role? Autocommit."""
    wanted = connections[alias].get_connection_params()
    for name in ("cursor_factory", "context", "autocommit", "prepare_threshold"):
        wanted.pop(name, None)
    return psycopg.connect(**wanted, autocommit=True)


def run_together(crew: Sequence[tuple[str, Work]]) -> tuple[float, list[Any]]:
    """How long do all of them take from the common start to the last end, and what do they say?

    Units: seconds. Each is a process with a connection of the named role.
    """
    connections.close_all()
    barrier = _CONTEXT.Barrier(len(crew))
    answers = _CONTEXT.SimpleQueue()
    processes = [
        _CONTEXT.Process(target=_work, args=(place, alias, work, barrier, answers))
        for place, (alias, work) in enumerate(crew)
    ]
    for process in processes:
        process.start()
    collected = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    failed = [answer for _, _, _, answer in collected if isinstance(answer, BaseException)]
    if failed:
        raise failed[0]
    started = min(start for _, start, _, _ in collected)
    ended = max(end for _, _, end, _ in collected)
    return ended - started, [answer for _, _, _, answer in sorted(collected, key=_place)]


def _place(collected: tuple[int, float, float, Any]) -> int:
    return collected[0]


def _work(place: int, alias: str, work: Work, barrier: Any, answers: Any) -> None:
    try:
        with connect(alias) as connection:
            barrier.wait(_WAIT_S)
            start = time.monotonic()
            answer = work(connection)
            end = time.monotonic()
    except Exception as error:  # noqa: BLE001 - told to the parent, which raises it
        barrier.abort()
        answers.put((place, 0.0, 0.0, error))
        return
    answers.put((place, start, end, answer))
