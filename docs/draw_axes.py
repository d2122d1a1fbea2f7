"""Draws which values share one statistic, as the group-norm paper's figure 2 does: a block of samples, channels and positions.

In: the names of axes. Out: the text of an SVG file, the same bytes for the same axes. Knows no norm.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

SAMPLES, CHANNELS, POSITIONS = 4, 6, 5  # cells along each edge of the block
GROUP = CHANNELS // 2  # channels of a group
WINDOW = 3  # channels of a neighbourhood
CELL = 18  # pixels
SLANT = (9, 7)  # how far the next sample stands to the right of and above the one before it, in pixels
MARGIN = 22
SHARED, OTHER, EDGE, INK = "#e8843c", "#d9e0e8", "#ffffff", "#4a5563"
SHADES = {"front": 1.0, "top": 1.06, "side": 0.9}  # as if the light came from above
Corner = tuple[float, float]


def draw_axes(axes: Collection[str]) -> str:
    """The block, with the values coloured that share one statistic over `axes`; a matrix of weights for "weights"."""
    return _matrix(whole="channels" in axes) if "weights" in axes else _block(frozenset(axes))


def _block(axes: frozenset[str]) -> str:
    height = POSITIONS * CELL + SAMPLES * SLANT[1]
    left, top = MARGIN, MARGIN + SAMPLES * SLANT[1]

    def shared(sample: int, channel: int, position: int) -> bool:
        """Whether a value shares its statistic with the last channel of the first position of the first sample."""
        from_last = CHANNELS - 1 - channel
        channels = (
            CHANNELS if "channels" in axes else GROUP if "group" in axes else WINDOW if "neighbours" in axes else 1
        )
        return bool(axes) and (
            (sample == 0 or "samples" in axes) and from_last < channels and (position == 0 or "positions" in axes)
        )

    def corner(sample: float, channel: float, position: float) -> Corner:
        return left + channel * CELL + sample * SLANT[0], top + position * CELL - sample * SLANT[1]

    def cells() -> Iterator[str]:
        for n in range(SAMPLES):
            for c in range(CHANNELS):
                yield _cell([corner(n + i, c + j, 0) for i, j in _SQUARE], shared(n, c, 0), "top")
        for n in range(SAMPLES):
            for p in range(POSITIONS):
                yield _cell([corner(n + i, CHANNELS, p + j) for i, j in _SQUARE], shared(n, CHANNELS - 1, p), "side")
        for c in range(CHANNELS):
            for p in range(POSITIONS):
                yield _cell([corner(0, c + i, p + j) for i, j in _SQUARE], shared(0, c, p), "front")

    front_bottom = top + POSITIONS * CELL
    words = [
        _word(left + CHANNELS * CELL / 2, front_bottom + 14, "C"),
        _word(left - 11, top + POSITIONS * CELL / 2 + 4, "P"),
        _word(left + CHANNELS * CELL + SAMPLES * SLANT[0] / 2 + 12, front_bottom - SAMPLES * SLANT[1] / 2 + 8, "N"),
    ]
    width = 2 * MARGIN + CHANNELS * CELL + SAMPLES * SLANT[0]
    return _svg(width, height + 2 * MARGIN, _spoken(axes), [*cells(), *words])


def _matrix(whole: bool) -> str:
    """Weights (out, in): those of one output channel share a statistic, or all of them do."""
    rows, columns = POSITIONS, CHANNELS + 2

    def cells() -> Iterator[str]:
        for row in range(rows):
            for column in range(columns):
                square = [(MARGIN + (column + i) * CELL, MARGIN + (row + j) * CELL) for i, j in _SQUARE]
                yield _cell(square, whole or row == 0, "front")

    words = [
        _word(MARGIN + columns * CELL / 2, MARGIN + rows * CELL + 14, "inputs"),
        _word(MARGIN - 11, MARGIN + rows * CELL / 2 + 4, "C"),
    ]
    size = 2 * MARGIN + columns * CELL, 2 * MARGIN + rows * CELL
    which = "all weights of a layer" if whole else "the weights of one output channel"
    return _svg(*size, f"{which} share a statistic", [*cells(), *words])


_SQUARE = ((0, 0), (1, 0), (1, 1), (0, 1))


def _cell(corners: list[Corner], is_shared: bool, face: str) -> str:
    points = " ".join(f"{x:g},{y:g}" for x, y in corners)
    return f'<polygon points="{points}" fill="{_shaded(SHARED if is_shared else OTHER, SHADES[face])}"/>'


def _shaded(colour: str, factor: float) -> str:
    parts: Callable[[int], int] = lambda i: min(255, round(int(colour[i : i + 2], 16) * factor))  # noqa: E731
    return "#" + "".join(f"{parts(i):02x}" for i in (1, 3, 5))


def _word(x: float, y: float, text: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" fill="{INK}" stroke="none">{text}</text>'


def _spoken(axes: frozenset[str]) -> str:
    if not axes:
        return "no two values share a statistic"
    return "the coloured values share a statistic: it is taken over " + ", ".join(sorted(axes))


def _svg(width: float, height: float, title: str, parts: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" '
        f'font-family="sans-serif" font-size="12" stroke="{EDGE}" stroke-width="1" stroke-linejoin="round" role="img">'
    )
    ground = f'<rect width="{width:g}" height="{height:g}" rx="6" fill="#ffffff" stroke="none"/>'
    return "\n".join([head, f"<title>{title}</title>", ground, *parts, "</svg>", ""])
