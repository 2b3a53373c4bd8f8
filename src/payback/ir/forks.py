"""Locks and forks: in the child there is one thread, and what the others did there will never be finished."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def whole_in_children(lock: Any, then: Callable[[], object] | None = None) -> Any:
    """The lock, a reentrant one, which a fork waits for: what it guards is whole in the child, and it is free there.

    Where one lock is asked for while another is held, the former is told here first: forks take them in reverse order.
    then: called in the child.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release)
    return free_in_children(lock, then)


def free_in_children(lock: Any, then: Callable[[], object] | None = None) -> Any:
    """The lock, which nobody holds in the child of a fork: for what is never half done, or of no account there."""

    def free() -> None:
        lock._at_fork_reinit()  # as the standard library does it
        if then is not None:
            then()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=free)
    return lock
