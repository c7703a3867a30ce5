"""Pages that somebody else wrote stay, and texts that somebody else wrote are only texts."""

import pytest

from suite.leaderboards import build, formats
from suite.leaderboards.formats import MARK
from suite.registry import load


@pytest.mark.parametrize("name", ["README.md"])
def test_a_page_of_the_users_is_never_replaced(tmp_path, capsys, name):
    (tmp_path / name).write_text("mine\n")
    written = build(tmp_path, load())
    assert (tmp_path / name).read_text() == "mine\n"
    assert tmp_path / name not in written
    assert f"{name} is not a page of the suite, and stays as it is" in capsys.readouterr().err


def test_a_page_of_the_suite_is_replaced(tmp_path):
    (tmp_path / "README.md").write_text(f"{MARK}\nold\n")
    assert tmp_path / "README.md" in build(tmp_path, load())
    assert "old" not in (tmp_path / "README.md").read_text()


def test_markup_in_a_name_is_shown_and_does_nothing():
    row = ["<script>x</script>", "![p](http://a)", "`a|b`", "lora[rank=4]"]
    page = formats.table([[formats.plain(text) for text in row]], [*"abcd"], left=4)
    shown = page.splitlines()[-1]
    assert "<" not in shown and "](" not in shown
    assert r"\`a\|b\`" in shown
    assert "lora[rank=4]" in shown
