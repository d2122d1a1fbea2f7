"""Turns errors of Hydra and OmegaConf into one clear ConfigError with the rule, what came and the fix.

In: exceptions from Hydra. Out: ConfigErrors, with the closest names if a name was wrong. Composes nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence

from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from normlib.errors import NormlibError
from normlib.experiments.settings import settings_without_classes
from normlib.naming import close_names, listed, unknown_name
from normlib.results.store.quoting import short

MOST_OWNERS = 6
"""Choices in one message. Dozens of norms may have the same setting."""
HYDRA = ("hydra", "omegaconf", "antlr4", "yaml")


class ConfigError(NormlibError, ValueError):
    """Settings are impossible. The message states the rule, what came and the fix."""


@contextlib.contextmanager
def clear_errors(overrides: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except NormlibError:
        raise
    except RecursionError as error:
        deepest = max(overrides, key=len, default="")
        raise ConfigError(f"{short(deepest)}: settings are nested a few levels deep, but this is deeper") from error
    except (HydraException, OmegaConfBaseException, ValueError, AssertionError) as error:
        raise ConfigError(_message(error, overrides)) from error
    except Exception as error:
        if not _raised_by_hydra(error):
            raise
        raise ConfigError(
            f"Hydra cannot compose {short(' '.join(overrides))} ({type(error).__name__}: {error}); settings are key=value in its "
            "override grammar, and a choice of a config group is one name"
        ) from error


def _raised_by_hydra(error: BaseException) -> bool:
    """Whether an exception comes from Hydra or OmegaConf, which do not check all their inputs."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return name.partition(".")[0] in HYDRA


def _message(error: Exception, overrides: Sequence[str]) -> str:
    """One message for Hydra's chain of exceptions, with the closest names if a name was wrong."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(str(cause))
        cause = cause.__cause__
    text = " ".join(
        dict.fromkeys(line.strip() for part in texts for line in part.splitlines() if _says_something(line))
    )
    text = in_plain_words(text)
    if isinstance(error, OverrideParseException):
        return (
            f"cannot read {short(error.override)}: {error.message.splitlines()[0]}. Settings are key=value in Hydra's override "
            "grammar; put quotes around values with special characters, as in 'seed=range(3)'"
        )
    wrong = re.search(r"Error merging override (\S+) (.*)", text)
    if wrong and "Key '" not in text:
        return f"{wrong.group(1)}: {wrong.group(2)}; `normlib list` shows every setting with its default"
    missing = re.search(r"Could not find '(\w+)/([^']+)'", text)
    if missing:
        group, name = missing.groups()
        known = sorted(set(re.findall(r"^\t(\S+)$", "\n".join(texts), re.MULTILINE)))
        own = "; one of your own comes with plugins=[its_file.py]" if group in ("norm", "model", "data") else ""
        return unknown_name({"data": "dataset"}.get(group, group), name, known) + own if known else text
    key = re.search(r"Key '([^']+)' (?:not in|is not in struct)", text)
    if key:
        return unknown_setting(_override_with_key(key.group(1), overrides), key.group(1), _known_beside(error))
    return text


def in_plain_words(text: str) -> str:
    """OmegaConf's message, for readers who do not know its classes."""
    return text.replace(
        "Cannot merge DictConfig with ListConfig", "it takes arguments by name, as in .width=32, but a list came"
    )


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not re.match(
        r"\s*(full_key:|object_type=|reference_type=|Set the environment variable|To append|See https)", line
    )


def _override_with_key(key: str, overrides: Sequence[str]) -> str:
    """The override that holds a wrong key, or the key."""
    return next((o.partition("=")[0] for o in overrides if key in o.partition("=")[0].split(".")), key)


def unknown_setting(override: str, name: str, known: Iterable[str]) -> str:
    """The message for a setting that does not exist here. `name` is the wrong part of the override's key.

    It also names the full key if the section is missing, and the choices that do have the setting.
    """
    prefix = "" if override == name else f"{override}: "
    nested = [] if prefix else [each.key for each in settings_without_classes()]
    close = {key.rpartition(".")[2] for key in close_names(name, nested, cutoff=0.8)}
    known = {*known, *(key for key in nested if key.rpartition(".")[2] in close)}
    owners = listed(_owners(override), MOST_OWNERS)
    elsewhere = f"; {override} is a setting of {owners}" if owners else ""
    return f"{prefix}{unknown_name('setting', name, known)}{elsewhere}; `normlib list` shows every setting with its default"


def _owners(key: str) -> list[str]:
    """The choices that have a setting, if only some have it: norm=group for norm.num_groups."""
    from normlib.experiments.schema import GROUPS

    group, _, name = key.lstrip("+~").partition(".")
    owners = [
        f"{group}={choice}"
        for each in settings_without_classes()
        if each.key == f"{group}.{name}"
        for choice in each.of
    ]
    entries = GROUPS[group].entries() if group in GROUPS else []
    return owners + [f"{group}={entry.name}" for entry in entries if name in entry.settings]


def _known_beside(error: BaseException) -> list[str]:
    """The keys that exist in the place where OmegaConf missed one."""
    node = getattr(error, "parent_node", None)
    cause: BaseException | None = error
    while node is None and cause is not None:
        cause = cause.__cause__
        node = getattr(cause, "parent_node", None)
    return [str(name) for name in node] if isinstance(node, DictConfig) else []
