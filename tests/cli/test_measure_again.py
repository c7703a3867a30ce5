"""The commands under "Measure again", typed in, give the page they stand on."""

import re
import shlex

import pytest
from toy import PYTHON, write_method, write_tasks

from suite.cli.main import main

PAGE = "runs/colours-resnet_mini-mini.md"
WIDTH = "options: {width: {default: 1, description: Does nothing.}}\n"


@pytest.mark.usefixtures("forked")
def test_the_commands_of_a_page_give_the_page_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    registry, first, second = (tmp_path / name for name in ("registry", "first", "second"))
    write_tasks(registry)
    python = PYTHON.format(adapt="pass", more="").replace(
        "(Method):\n", "(Method):\n    width: int\n\n"
    )
    write_method(registry, "wide", python=python, yaml=WIDTH)
    write_method(registry, "refuses", adapt='raise Unsupported("not on a Friday")')
    write_method(registry, "raises", penalty='raise ValueError("boom")')
    first.mkdir()
    second.mkdir()

    def call(folder, *words):
        monkeypatch.chdir(folder)
        main([str(word) for word in words])
        assert "Traceback" not in capsys.readouterr().err

    run = ("run", "-q", "-j", 1, "--registry", registry)
    call(first, *run, "-m", "wide,refuses,raises", "-t", "colours", "--seeds", "0,1")
    call(first, *run, "-m", "wide", "-t", "reds", "--set", "wide.width=2", "--steps", "6")
    page = (first / PAGE).read_text()
    commands = re.findall(r"^    python -m suite (run .*)$", page, flags=re.M)
    assert len(commands) == 2
    for command in commands:
        call(second, *shlex.split(command), "-q", "-j", 1)
    assert (second / PAGE).read_text() == page
    assert "wide[steps=6,width=2]" in page or "wide[width=2,steps=6]" in page
    assert "not on a Friday" in page
    assert "boom" in page
