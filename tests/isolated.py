# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Work that may crash or hang, item by item in a child process that is started again behind what it died of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

PATIENCE = 60  # seconds without a word from the child: it hangs


@dataclass(frozen=True, slots=True)
class Died:
    """An item that ended its child. ``why``: ``signal 11``, ``exit 3``, ``no answer``."""

    why: str


def each(items: Sequence[Any], work: Callable[[Any], Any], patience: float = PATIENCE) -> Iterator[Any]:
    """``work(item)`` for each item in order, or ``Died``. Results must pickle; ``work`` must not raise."""
    at = 0
    while at < len(items):
        receiver, sender = Pipe(duplex=False)
        child = os.fork()
        if child == 0:
            receiver.close()
            _serve(items[at:], work, sender)
        sender.close()
        silent = False
        try:
            while at < len(items):
                silent = not receiver.poll(patience)
                if silent:
                    break
                answer = receiver.recv()
                at += 1
                yield answer
        except EOFError:
            pass
        finally:
            receiver.close()
            status = _end(child, silent or at == len(items))
        if at < len(items):
            yield Died("no answer" if silent else _told(status))
            at += 1


def _serve(items: Sequence[Any], work: Callable[[Any], Any], sender: Connection) -> None:
    """The child: never returns."""
    try:
        for item in items:
            sender.send(work(item))
    finally:
        os._exit(1)


def _end(child: int, kill: bool) -> int:
    if kill:
        os.kill(child, 9)
    return os.waitpid(child, 0)[1]


def _told(status: int) -> str:
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
