"""The words of a page, each explained where it first stands.

In: texts in the order of the page. Out: the same as HTML, escaped, with a button at the first place of each word that opens its
explanation. It needs no script.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

WORDS = {
    "norm": "A normalization method, by its registered name, such as batch or group.",
    "arm": "One norm with its settings, as one side of the comparison.",
    "baseline": "The arm that all others are compared with.",
    "control": "The baseline a second time, with slightly different scales at the start. How far it ends from the baseline shows the noise.",
    "condition": "What else the comparison varies, such as the batch size. Arms are compared within one condition.",
    "seed": "The number from which starting weights, order of the data and augmentation are drawn. All arms are trained with the same seeds.",
    "replicate": "All runs of one seed in one condition. They share trunk and batches, so arms are compared in pairs.",
    "run": "One arm in one condition with one seed, trained once.",
    "n": "The number of seeds behind a figure.",
    "points": "The unit of differences between percentages: from 90 % to 92 % are 2 points.",
    "interval": "The range that the data leave open for a figure, at a confidence of 95 %.",
    "p": "How often chance alone would give a difference this large, if there were none. Corrected (Holm): for the number of comparisons in the table.",
    "rope": "The region of practical equivalence: differences inside it count as equal.",
    "trunk": "Everything in a network that is not a norm. It is identical in all arms at the start.",
    "site": "A place in a network where a norm sits, together with its activation.",
    "workload": "A model on a dataset for a task.",
    "diverged": "The loss was no longer a finite number. Such a run counts with what its broken network scores, where that is a number.",
    "hash": "A short number made from data. Equal hashes mean equal data.",
}  # fmt: skip
"""By word, its explanation in plain text."""
FORMS = {
    "n": "n(?= ?=| replicates)", "p": "p(?= ?[=<≤]| is| values?)", "hash": "hash(?:es)?", "diverged": "diverged",
    "interval": r"intervals?(?= in| of|s are|\.|,| at)", "points": "points?",
}  # fmt: skip
"""How a word stands in a text, where that is not itself or itself with an s."""
_ANY = re.compile(
    r"(?<![\w.=-])(?:" + "|".join(f"(?P<{word}>{FORMS.get(word, f'{word}s?(?!=)')})" for word in WORDS) + r")(?!\w)",
    re.IGNORECASE,
)


class Explained:
    """Explains words, and remembers which it has explained."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(self, text: str) -> Markup:
        """The text, escaped, with a button at each word that has not stood before."""
        made, done = Markup(""), 0
        for found in _ANY.finditer(text):
            word = str(found.lastgroup)
            if word not in self.words:
                self.words.append(word)
                made += escape(text[done : found.start()])
                made += Markup('<button type="button" class="word" popovertarget="word-{}">{}</button>').format(
                    word, found[0]
                )
                done = found.end()
        return made + escape(text[done:])
