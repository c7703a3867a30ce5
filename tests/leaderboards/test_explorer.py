import json
import re
import shutil
import subprocess

import pytest

from suite.leaderboards import explorer, pages
from suite.registry.schema import Scale

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=2000",
)


@pytest.fixture
def page(registry, make):
    """Content of a page with three methods."""
    results = [
        *make.per_task("full", 0.9, own=1000),
        *make.per_task("probe", 0.6, own=0),
        *make.joint("hyper", 0.8, shared=300, own=20),
    ]
    return pages(results, registry)[explorer.NAME].decode()


def data(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1].replace("<\\/", "</"))


def test_the_page_asks_nobody_for_anything(page):
    assert "default-src 'none'" in page
    assert re.findall(r"""(?:src|href)=["']?([^"'> ]+)""", page) == ["README.md"]
    assert not re.search(r"\b(fetch|XMLHttpRequest|import)\b\s*\(", page)
    assert len(page) < 2_000_000


def test_boards_on_real_data_come_first_and_published_numbers_last(registry, make):
    large = {"name": "bert_large", "scale": Scale.FULL}
    mini = registry.backbones["bert_mini"]
    registry.backbones["bert_large"] = mini.model_copy(update=large)
    full = make.per_task("full", 0.9, backbone="bert_large")
    full = [
        r.model_copy(update={"cell": r.cell.model_copy(update={"scale": Scale.FULL})}) for r in full
    ]
    found = data(pages([*make.per_task("full", 0.9), *full], registry)[explorer.NAME].decode())
    assert [board["backbone"] for board in found["boards"]] == [
        "bert_large",
        "bert_mini",
        "t5_base",
    ]


def test_what_is_shared_is_told_from_what_grows_with_the_tasks(page):
    (board,) = (b for b in data(page)["boards"] if b["backbone"] == "bert_mini")
    rows = {row["method"]: row for row in board["rows"]}
    assert (rows["hyper"]["shared"], rows["hyper"]["own"]) == (0.3, 0.03)
    assert (rows["full"]["shared"], rows["full"]["own"]) == (0, 1.01)
    assert rows["probe"]["scores"].keys() == {"cola", "mrpc", "rte"}


def test_a_name_with_markup_stays_text(registry, make):
    glue = registry.tracks["glue"]
    row = make.published("evil", "bert_mini", label="</script><b>x")
    registry.tracks["glue"] = glue.model_copy(update={"published": (row,)})
    page = pages(make.per_task("full", 0.9), registry)[explorer.NAME].decode()
    assert "</script><b>" not in page
    (board,) = data(page)["boards"]
    assert board["rows"][-1]["method"] == "</script><b>x"


def opened(page, tmp_path, state):
    """The document after its script ran."""
    file = tmp_path / "explorer.html"
    file.write_text(page)
    command = [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    address = f"{file.as_uri()}#{state}"
    return subprocess.run(
        [*command, address], capture_output=True, text=True, timeout=120, check=True
    ).stdout


@pytest.mark.skipif(BROWSER is None, reason="needs chromium on the path")
def test_a_browser_draws_every_method_and_counts_for_the_tasks_asked(page, tmp_path):
    dom = opened(page, tmp_path, "track=glue&backbone=glue-bert_mini-mini&tasks=50")
    assert dom.count('class="point"') == 3
    assert dom.count('tabindex="0"') == 3
    body = re.search("<tbody>(.*?)</tbody>", dom, re.S)[1]
    cells = [re.findall("<td[^>]*>(.*?)</td>", line) for line in body.split("<tr")[1:]]
    assert [line[1] for line in cells] == ["full", "hyper", "probe"]
    assert [line[4] for line in cells] == ["50.5", "1.8", "0.5"]


@pytest.mark.skipif(BROWSER is None, reason="needs chromium on the path")
def test_a_filter_and_other_axes_in_the_address_are_heeded(page, tmp_path):
    state = "track=glue&backbone=glue-bert_mini-mini&method=pro&x=trained&y=task:rte"
    dom = opened(page, tmp_path, state)
    assert dom.count('class="point"') == 1
    assert "rte: score ↑" in dom
