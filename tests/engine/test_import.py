"""What `import minigrad` brings along."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg

IMPORT = "import minigrad"
USE = """
import minigrad as mg
layer = mg.nn.Linear(2, 2)
adam = mg.optim.Adam(layer.parameters())
xs = mg.randn(3, 1, 2, generator=0)
carry, ys = mg.scan(lambda c, x: (mg.tanh(layer(c) + x), c), mg.ones(1, 2), xs)
mg.cross_entropy(ys[-1], mg.tensor([1])).backward()
adam.step()
mg.trace(mg.exp, mg.ones(2))[0].check()
"""
# What Cython registers without importing it, such as cython_runtime, has no spec.
LIST = """
found = {name for name, m in sys.modules.items() if getattr(m, "__spec__", None)}
print(*sorted({name.partition(".")[0] for name in found - before}))
"""


@pytest.mark.parametrize("pure", ["0", "1"], ids=["compiled", "plain"])
@pytest.mark.parametrize("code", [IMPORT, USE], ids=["import", "use"])
def test_only_the_standard_library_numpy_and_itself(code, pure):
    env = {
        **os.environ,
        "PYTHONPATH": str(Path(mg.__file__).parents[1]),
        "MINIGRAD_PURE": pure,
    }
    script = f"import sys; before = set(sys.modules)\n{code}\n{LIST}"
    command = [sys.executable, "-P", "-W", "error", "-c", script]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    brought = set(done.stdout.split())
    assert {"minigrad", "numpy"} <= brought
    assert brought - sys.stdlib_module_names == {"minigrad", "numpy"}


def test_what_not_everybody_uses_comes_later():
    later = "{m for m in sys.modules if m.startswith('minigrad.fused')}"
    script = f"import sys, minigrad as mg; assert not {later}; mg.scan; assert {later}"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_is_installed_is_small():
    files = Path(mg.__file__).parent.rglob("*")
    kinds = {".py", ".pyi", ".so", ".pyd", ".typed"}
    assert sum(f.stat().st_size for f in files if f.suffix in kinds) <= 5 * 2**20


def test_everything_that_is_named_is_there():
    assert [name for name in mg.__all__ if not hasattr(mg, name)] == []


# An editable install has one, which knows where the extensions are.
NO_FINDER = """
import sys
module = lambda finder: getattr(finder, "__module__", "")
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in module(f)]
"""


def test_a_checkout_that_was_not_built_says_so(tmp_path):
    shutil.copytree(
        Path(mg.__file__).parent,
        tmp_path / "minigrad",
        ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"),
    )
    command = [sys.executable, "-P", "-c", f"{NO_FINDER}\n{IMPORT}"]
    for pure, message in (("0", "`pip install -e .` builds them"), ("1", "")):
        env = {**os.environ, "PYTHONPATH": str(tmp_path), "MINIGRAD_PURE": pure}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert message in done.stderr
        assert (done.returncode == 0) == (pure == "1")
