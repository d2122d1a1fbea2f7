"""How an arm looks: colour, marker and line style go together and belong to a name, in every figure and on the page.

In: names of arms. Out: a `Style` for each, so that a norm looks the same everywhere and survives a grey printer.
This file never draws, and needs no plotting library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

PALETTE = {
    "blue": ("#0072B2", "#5AA9E6"), "orange": ("#E69F00", "#F0B429"), "green": ("#009E73", "#2CC295"),
    "vermilion": ("#D55E00", "#F58448"), "purple": ("#CC79A7", "#DF9CC2"), "sky": ("#56B4E9", "#9AD4F7"),
    "black": ("#000000", "#F2F2EE"), "grey": ("#7F7F7F", "#9A9A96"),
}  # fmt: skip
"""By name, a colour on white and on black. On white they are Okabe and Ito's, safe for colour-blind readers, without yellow,
which is lost there; on black they are lighter."""
SOLID, DASHED, DOTTED, DASH_DOT, LONG = (), (5.0, 2.0), (1.0, 1.5), (6.0, 2.0, 1.0, 2.0), (9.0, 2.0)


@dataclass(frozen=True)
class Style:
    """A colour of the palette, a marker in matplotlib's letters, and dashes in line widths: drawn, left out, ...; none is solid.

    A control is the baseline a second time, which shows the noise and is no method: thinner and smaller.
    """

    color: str
    marker: str
    dashes: tuple[float, ...] = SOLID
    control: bool = False

    @property
    def line_width(self) -> float:
        """In points of print."""
        return 0.7 if self.control else 1.1

    @property
    def marker_size(self) -> float:
        """In points of print."""
        return 2.5 if self.control else 4.2

    @property
    def filled(self) -> bool:
        """Whether the marker has no room for the paper's colour inside it."""
        return self.marker in "x."


STYLES = {
    "batch": Style("blue", "o"),
    "layer": Style("orange", "s", DASHED),
    "instance": Style("purple", "v", DASH_DOT),
    "group": Style("vermilion", "D", LONG),
    "batch_renorm": Style("green", "^", DOTTED),
    "batch_renorm_fraction": Style("sky", "P", (4.0, 1.5, 1.0, 1.5)),
    "none": Style("black", "x", (3.0, 2.0, 1.0, 2.0, 1.0, 2.0)),
}
OTHER_STYLES = tuple(
    Style(color, marker, line)
    for (marker, line) in zip("*Xhp<>d", (DASHED, DASH_DOT, LONG, SOLID) * 2, strict=False)
    for color in ("sky", "vermilion", "green", "purple", "blue", "orange")
)
CONTROL_STYLE = Style("grey", ".", control=True)
"""No other arm has its marker."""


def styles(names: Iterable[str], controls: Collection[str] = ()) -> dict[str, Style]:
    """A style for each name: the known norms have theirs, controls are grey, others have one that follows from the name.

    Two unknown names in one figure never share a style as long as there are any left; the later in the alphabet yields.
    """
    chosen: dict[str, Style] = {}
    taken: set[Style] = set()
    for name in sorted(set(names)):
        if name in controls or name in STYLES:
            chosen[name] = CONTROL_STYLE if name in controls else STYLES[name]
            continue
        start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        turns = (OTHER_STYLES[(start + turn) % len(OTHER_STYLES)] for turn in range(len(OTHER_STYLES)))
        chosen[name] = next((style for style in turns if style not in taken), OTHER_STYLES[start % len(OTHER_STYLES)])
        taken.add(chosen[name])
    return chosen
