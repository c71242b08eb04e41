"""What a person should be told, and how a step may fail without taking others with it."""

import logging
from collections.abc import Callable
from typing import Any

from redoxscope.live.observer import Observer

log = logging.getLogger(__name__)

_MOST = 1000


class Notices:
    """Tells an observer, and keeps what went wrong."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.failures: list[str] = []
        """What went wrong, the last of it."""

    def attempt(self, what: str, step: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Do a step and return what it does; what goes wrong in it is told and stays with it: None."""
        try:
            return step(*arguments, **named)
        except Exception as error:
            log.exception(what)
            text = str(error) or type(error).__name__
            self.fail(text if text.startswith(what) else f"{what}: {text}")
            return None

    def fail(self, text: str) -> None:
        """Something went wrong."""
        self.failures.append(text)
        del self.failures[:-_MOST]
        self.say(text)

    def say(self, text: str) -> None:
        """Something that a person should know."""
        self.tell(self.observer.message, text)

    def tell(self, method: Callable[..., None], *arguments: Any) -> None:
        """Call a method of the observer; one that fails (its terminal is gone, say) must not fail a scan."""
        try:
            method(*arguments)
        except Exception:
            log.exception("an observer failed")
