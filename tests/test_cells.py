"""Norms that were typed: what a cell's source is, what it refuses, and that runs and their workers go by it."""

from __future__ import annotations

import linecache
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from normlib.cells import cell_of, is_typed
from normlib.experiments.shipping import pack, unpack
from normlib.models import models
from normlib.registry import RegistryError
from normlib.training.source import class_hash

Typing = Callable[[str], None]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> tuple[Typing, dict[str, Any]]:
    """``run(text)`` runs a cell as a notebook does, its lines in linecache and no file behind; and the notebook's names."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    count = 0

    def run(text: str) -> None:
        nonlocal count
        count += 1
        text, name = textwrap.dedent(text), f"<cell {id(main)} {count}>"
        monkeypatch.setitem(linecache.cache, name, (len(text), None, text.splitlines(keepends=True), name))
        exec(compile(text, name, "exec", dont_inherit=True), vars(main))

    return run, vars(main)


def text_of(notebook: tuple[Typing, dict[str, Any]], name: str) -> str:
    assert is_typed(notebook[1][name])
    return cell_of(notebook[1][name]).text


def works_alone(text: str, name: str) -> Any:
    """What the text defines, run with nothing else around."""
    names: dict[str, Any] = {"__name__": "alone"}
    exec(text, names)
    return names[name]


def test_a_class_comes_with_all_that_it_uses(notebook: tuple[Typing, dict[str, Any]]) -> None:
    run, names = notebook
    run(
        "import math\nfrom math import sqrt as root\nimport os.path as paths\nSIZES = (1, 2.5)\nunused = object()\nx = object()"
    )
    run("def twice(x):\n    return SIZES[0] * 2 * x\n\nalias = twice")
    run("class Base:\n    def size(self): return alias(3)")
    run(
        """
        class Norm(Base):
            scale = SIZES[1]

            def __init__(self, eps: float = 1e-5):
                self.eps = eps

            def total(self, x=1):  # not the notebook's x
                return self.size() + root(4) + math.pi * self.scale + len(paths.join("a", "b")) + x
        """
    )
    text = text_of(notebook, "Norm")
    assert "unused" not in text
    assert "object" not in text
    assert works_alone(text, "Norm")().total() == names["Norm"]().total()


def test_annotations_of_the_future_and_decorators(notebook: tuple[Typing, dict[str, Any]]) -> None:
    run, names = notebook
    run("import functools")
    run("from __future__ import annotations\n@functools.cache\ndef f(x: Unknown, y: Other = 3) -> f: return x + y")
    run(
        "from __future__ import annotations\n@functools.total_ordering\nclass C:\n    def me(self) -> C: return 3\n    __lt__ = me"
    )
    assert works_alone(text_of(notebook, "C"), "C")().me() == 3
    assert works_alone(cell_of(names["f"].__wrapped__).text, "f")(1) == 4


def test_an_edited_cell_is_another_text(notebook: tuple[Typing, dict[str, Any]]) -> None:
    run, _ = notebook
    run("def helper(x): return x")
    run("def f(x): return helper(x)")
    before = text_of(notebook, "f")
    run("def helper(x): return x + 1")
    assert text_of(notebook, "f") != before
    assert works_alone(text_of(notebook, "f"), "f")(1) == 2
    run("def helper(x): return x")
    assert text_of(notebook, "f") == before


@pytest.mark.parametrize(("cells", "name", "words"), [
    (("table = [object()]", "def f(x): return table"), "f", "f uses 'table' of another cell, a list. Its value is neither"),
    (("f = lambda x: x",), "f", "<lambda> has no source"),
    (("def make():\n    def f(x): return x\n    return f\nf = make()",), "f", "has no source in a file or at the top level of a cell"),
    (("class A:\n    def a(self): ...", "class f(A):\n    def b(self): ...", "class A:\n    def a(self): ..."), "f",
     "the cell of A was run again after that of f.*run the cell of f again"),
])  # fmt: skip
def test_what_no_text_can_tell_is_refused(
    cells: tuple[str, ...], name: str, words: str, notebook: tuple[Typing, dict[str, Any]]
) -> None:
    for cell in cells:
        notebook[0](cell)
    with pytest.raises(RegistryError, match=words):
        cell_of(notebook[1][name])


def test_models_and_datasets_travel_as_norms_do(notebook: tuple[Typing, dict[str, Any]], registered: Any) -> None:
    run, names = notebook
    run("from torch import nn")
    run("""
        class Typed(nn.Module):
            def __init__(self, sites, input_shape, num_outputs, width: int = 4):
                super().__init__()
                self.layer = nn.Linear(width, num_outputs)
    """)
    registered(models, "typed_model")(names["Typed"])
    spec = {
        "norm": {"name": "batch", "weights": None},
        "model": {"name": "typed_model"},
        "data": {"name": "digits"},
        "task": {"name": "classification"},
    }
    parcels = pack([SimpleNamespace(spec=spec, sources={})])  # type: ignore[list-item]
    assert [(parcel.group, parcel.name, parcel.attribute) for parcel in parcels] == [("model", "typed_model", "Typed")]
    models._entries.pop("typed_model")
    unpack(pickle.loads(pickle.dumps(parcels)))
    assert models["typed_model"].cls is not names["Typed"]
    assert models["typed_model"].cls(None, (3,), 2).layer.in_features == 4
    assert class_hash(names["Typed"]) != class_hash(models["mlp"].cls)


def test_what_has_a_file_is_not_typed() -> None:
    assert not is_typed(Path)
    assert not is_typed(textwrap.dedent)
    assert not is_typed(test_what_has_a_file_is_not_typed)


NOTEBOOK = '''
import linecache
from normlib.experiments.execute import work_through
from normlib.experiments.plan import make_run
from normlib.experiments.sweep import destination_of

def cell(text, count=[0]):
    """Run a cell as a notebook does."""
    count[0] += 1
    name = f"<cell {count[0]}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    exec(compile(text, name, "exec"), globals())

cell("import torch\\nfrom torch import nn\\nimport normlib\\nPOWER = 1")
cell("def size(x): return x.abs().pow(POWER).mean(1, keepdim=True)")
cell("""
@normlib.register("typed_module")
class Typed(nn.Module):
    def __init__(self, num_features, eps=1e-5):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(num_features)), eps

    def forward(self, x):
        return x / (size(x) + self.eps) * self.weight.view(1, -1, *[1] * (x.dim() - 2))
""")
cell("def typed_function(x, eps=1e-5): return x / (size(x) + eps)\\nnormlib.register('typed_function', wraps=typed_function)")
SMALL = ("model=mlp", "model.width=8", "data.batch_size=32", "training.steps=3", "accelerator=cpu")
here = {norm: normlib.train(f"norm={norm}", *SMALL) for norm in ("typed_module", "typed_function")}
runs, there = [make_run([f"norm={norm}", *SMALL]) for norm in here], []
work_through([run for run, _ in runs], destination_of([run for run, _ in runs], runs[0][1] | {"results_dir": "other"}), 1, there.append)
assert {each.record.id: each.record.metrics for each in there} == {record.id: record.metrics for record in here.values()}
cell("def size(x): return x.abs().pow(POWER).amax(1, keepdim=True)")
again = normlib.train("norm=typed_module", *SMALL)
assert again.id != here["typed_module"].id and again.metrics != here["typed_module"].metrics
cell("POWER = 2")
assert normlib.train("norm=typed_module", *SMALL).id not in (again.id, here["typed_module"].id)
cell("POWER = torch.tensor(2)")
try:
    normlib.train("norm=typed_module", *SMALL)
except normlib.registry.RegistryError as error:
    assert "size uses 'POWER' of another cell, a Tensor" in str(error)
else:
    raise AssertionError("a tensor of a cell was taken")
'''


def test_runs_and_workers_go_by_the_cells(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK], cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
