"""The README's walk, as it is written: every command in it works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def blocks(section: str) -> list[tuple[str, str]]:
    """Language and content of the code blocks of a section."""
    text = README.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)


@pytest.mark.torch
def test_the_five_minutes_are_true(tmp_path: Path) -> None:
    walk = blocks("Five minutes: a CNN of your own")
    (model,) = [content for language, content in walk if language == "python"]
    (tmp_path / "model.py").write_text(model)
    script = "\n".join(content for language, content in walk if not language)
    assert {"python model.py", "enclair inspect", "enclair verify", "enclair decrypt"} <= set(
        re.findall(r"python model\.py|enclair \w+", script)
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "encrypted == fixed point, bit for bit: 0 differences" in done.stdout
    assert (tmp_path / "y.npz").exists()
