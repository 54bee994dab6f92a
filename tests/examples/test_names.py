"""Names are learned, and made up, on data that is there and on data that isn't."""

import re
from pathlib import Path
from typing import Any

NUMBERS = re.compile(r"nats per character: (\S+); best \d-gram (\S+)")


def test_generated_names_are_learned(run_example: Any, tmp_path: Path) -> None:
    picture = tmp_path / "names.png"
    done = run_example("names.py", "--picture", picture)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("generated names: ")
    found = NUMBERS.search(done.stdout)
    assert found and float(found[1]) < float(found[2])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(done.stdout.splitlines()) == 13


def test_a_file_of_names(run_example: Any, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(["anna", "hannah", "susanna"] * 20), "utf-8")
    done = run_example("names.py", path, "--steps", 2, "--picture", tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"names in {path}\n")
    assert "2/2" in done.stderr
