"""The tasks: what is learned, one a file, registered by name. This folder knows neither norms nor models."""

from __future__ import annotations

from normlib.registry import Registry


def _task_class() -> type:
    from normlib.tasks.task import Task

    return Task


tasks = Registry(
    kind="task",
    package="normlib.tasks",
    entry_points="normlib.tasks",
    supplied=frozenset(),
    required_base=_task_class,
)
register = tasks.register
names = tasks.names
