"""What a notebook shows: a bar that moves in place, results as HTML, and what prints to a console as HTML.

In: a rich console, which knows whether it stands in a notebook. Out: IPython's displays, or HTML. Needs no ipywidgets, and outside of a
notebook no IPython. Every text is escaped.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_BETWEEN_UPDATES = 0.25
"""A notebook stores each update until it has drawn it, so fast runs share one."""
WIDTH = 110
"""Letters in a line of what was printed."""
MUTED = "opacity:0.7"


class Renderable(Protocol):
    """A result that prints itself."""

    def render(self, console: Console) -> None: ...


def in_notebook(console: Console) -> bool:
    """Whether what is shown on the console goes into a notebook's cell. A quiet console shows nothing."""
    return console.is_jupyter and not console.quiet


def show(result: Renderable, console: Console) -> None:
    """Show a result: as HTML in a notebook, else printed."""
    if not in_notebook(console):
        result.render(console)
        return
    from IPython.display import display

    display(result)


class Bar:
    """A `<progress>` in the cell's output with a line of text, and further lines below. Each update replaces the last."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._next = 0.0

    def show(self, text: str, done: int = 0, total: int = 0, lines: Sequence[str] = (), at_once: bool = True) -> None:
        """Draw the bar, or without a `total` the text alone. Where `at_once` is False, an update that comes soon after the last is left out."""
        now = time.monotonic()
        if not at_once and now < self._next:
            return
        self._next = now + SECONDS_BETWEEN_UPDATES
        from IPython.display import HTML, display

        bar = f'<progress value="{done}" max="{total}" style="width:20em"></progress> ' if total else ""
        below = "".join(f'<br><small style="{MUTED}">{escape(line)}</small>' for line in lines)
        drawn = HTML(f"<div>{bar}{escape(text)}{below}</div>")
        if self._handle is None:
            self._handle = display(drawn, display_id=True)
        else:
            self._handle.update(drawn)


@contextlib.contextmanager
def steps(console: Console, total: int, what: str) -> Iterator[Callable[[str], None]]:
    """A bar for so many steps. Call what it gives ahead of each step, with the step's name. In a terminal the bar goes when all is done."""
    if console.quiet:
        yield lambda name: None
    elif console.is_jupyter:
        bar, started, begun = Bar(), time.monotonic(), 0

        def told(name: str) -> None:
            nonlocal begun
            bar.show(f"{begun}/{total} {what} {name}", begun, total, at_once=begun == 0)
            begun += 1

        yield told
        bar.show(f"{what}: {total} of {total} in {time.monotonic() - started:.0f} s")
    else:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(what, total=total, completed=-1)

            def told_in_terminal(name: str) -> None:
                progress.update(task, description=f"{what} {name}", advance=1)

            yield told_in_terminal


def printed_as_html(render: Callable[[Console], None]) -> str:
    """What a function prints to a console, as one `<pre>`. Its colours suit a light and a dark page."""
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme

    theme = TerminalTheme(
        (128, 128, 128), (128, 128, 128),
        [(128, 128, 128), (214, 69, 65), (38, 150, 83), (184, 134, 11), (66, 133, 214), (170, 90, 190), (23, 150, 165), (128, 128, 128)],
    )  # fmt: skip
    console = Console(file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, force_jupyter=False)
    render(console)
    style = "white-space:pre;overflow-x:auto;line-height:1.2;font-family:monospace"
    return console.export_html(theme=theme, code_format=f'<pre style="{style}">{{code}}</pre>', inline_styles=True)
