"""Where the processor time of a request goes: a clock that knows whose work is being done.

One request is under way at a time. Whatever begins pushes its name on one stack, whichever thread
it runs in, and takes it off when it ends; the time between two such moments belongs to the name on
top. It is the process's time at work: neither waiting nor what else the machine does counts.
"""

import functools
import inspect
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Clock:
    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, int]]] = []  # Its label; nanoseconds by name.
        self.label = ""
        self._stack: list[str] = []
        self._spent: Counter[str] = Counter()
        self._since = 0

    @property
    def is_idle(self) -> bool:
        return not self._stack

    def begin(self, name: str) -> None:
        self._count()
        self._stack.append(name)

    def end(self) -> None:
        self._count()
        self._stack.pop()

    def end_request(self) -> None:
        self.end()
        self.requests.append((self.label, dict(self._spent)))
        self._spent.clear()

    def _count(self) -> None:
        now = time.process_time_ns()
        if self._stack:
            self._spent[self._stack[-1]] += now - self._since
        self._since = now

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        self.begin(name)
        try:
            yield
        finally:
            self.end()

    def wrap(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def waited(*arguments: Any, **options: Any) -> Any:
                self.begin(name)
                try:
                    return await function(*arguments, **options)
                finally:
                    self.end()

            return waited

        @functools.wraps(function)
        def called(*arguments: Any, **options: Any) -> Any:
            self.begin(name)
            try:
                return function(*arguments, **options)
            finally:
                self.end()

        return called

    def watch(self, owner: Any, attribute: str, name: str) -> None:
        setattr(owner, attribute, self.wrap(getattr(owner, attribute), name))
