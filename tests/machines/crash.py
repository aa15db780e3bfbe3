"""How does a connection die between two statements, in this process, at a chosen point?

`kill_at_statement` in concurrency.py kills a whole forked process; this one is fast enough for
hundreds of crashes and lets the process go on with what it remembers.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import psycopg
from django.db import DatabaseError, InterfaceError


class Crash(BaseException):
    """The process is gone: nothing in it may catch this."""


@dataclass
class Death:
    """Did it happen yet? `left` points before and after statements are passed until then."""

    left: int
    happened: bool = False

    def step(self, alive: "psycopg.Connection[Any]") -> None:
        """One point is reached: go on, or drop the connection and be gone."""
        self.left -= 1
        if self.left == -1:
            # As after kill -9: the server sees the socket close and rolls back.
            alive.close()
            self.happened = True
            raise Crash


@contextlib.contextmanager
def dies_at(point: int) -> Iterator[Death]:
    """Drops the connection before (even) or after (odd) the n-th statement, COPY or commit."""
    death = Death(point)
    cursor, link = psycopg.Cursor, psycopg.Connection
    with (
        mock.patch.object(cursor, "execute", _around(death, cursor.execute, _of_cursor)),
        mock.patch.object(
            cursor, "executemany", _around(death, cursor.executemany, _of_cursor)
        ),
        mock.patch.object(cursor, "copy", _around_copy(death, cursor.copy)),
        mock.patch.object(link, "commit", _around(death, link.commit, lambda own: own)),
        mock.patch.object(
            psycopg.Transaction, "__exit__", _around_end(death, psycopg.Transaction.__exit__)
        ),
    ):
        try:
            yield death
        except (Crash, DatabaseError, InterfaceError, psycopg.Error):
            # What is raised on the way out may be a complaint of the dead connection.
            if not death.happened:
                raise


def _of_cursor(cursor: Any) -> Any:
    return cursor.connection


def _around(death: Death, real: Callable[..., Any], alive_of: Callable[[Any], Any]) -> Any:
    def stepped(self: Any, *args: Any, **kwargs: Any) -> Any:
        death.step(alive_of(self))
        result = real(self, *args, **kwargs)
        death.step(alive_of(self))
        return result

    return stepped


def _around_copy(death: Death, real: Callable[..., Any]) -> Any:
    @contextlib.contextmanager
    def stepped(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        death.step(self.connection)
        with real(self, *args, **kwargs) as stream:
            yield stream
        death.step(self.connection)

    return stepped


def _around_end(death: Death, real: Callable[..., Any]) -> Any:
    """The end of a `transaction()` block of psycopg is where the sealer commits."""

    def stepped(self: Any, kind: Any, error: Any, trace: Any) -> Any:
        if kind is not None:
            return real(self, kind, error, trace)
        death.step(self.connection)
        result = real(self, kind, error, trace)
        death.step(self.connection)
        return result

    return stepped
