"""Figures that docs quote from the leaderboards are those of the committed results.

An invisible comment after such a figure says whose it is: `76.8<!-- bert_mini taps -->`, of one
task `21.2<!-- t5_mini hyperformer/stsb -->`, or how far two methods are apart
`8<!-- resnet_mini taps - lora -->`. One that is on no leaderboard says `<!-- unpublished -->`.
"""

import re
from pathlib import Path

import numpy as np
from committed import mean_score, scores

ROOT = Path(__file__).parents[2]
QUOTED = re.compile(r"(\d+(?:\.\d+)?)<!-- (\w+) ([\w/]+)(?: - ([\w/]+))? -->")


def value(backbone, name):
    method, _, task = name.partition("/")
    return np.mean(scores()[backbone, method][task]) if task else mean_score(backbone, method)


def wrong(text):
    found = []
    for figure, backbone, name, other in QUOTED.findall(text):
        expected = value(backbone, name) - (value(backbone, other) if other else 0)
        decimals = len(figure.partition(".")[2])
        if f"{expected:.{decimals}f}" != figure:
            found.append(f"{backbone} {name} {other}: {figure} is {expected:.{decimals}f}".strip())
    return found


def test_quoted_scores_are_those_of_the_results():
    text = (ROOT / "docs" / "mini.md").read_text()
    assert QUOTED.search(text)
    assert wrong(text) == []


def test_every_score_on_the_page_of_the_miniature_says_whose_it_is():
    text = (ROOT / "docs" / "mini.md").read_text()
    assert re.findall(r"\d+\.\d(?![\d.e]|<!-- .*? -->)", text) == []


def test_a_wrong_figure_is_found():
    right = f"{mean_score('bert_mini', 'taps'):.1f}"
    assert wrong(f"{right}<!-- bert_mini taps -->") == []
    assert wrong("0.5<!-- bert_mini taps -->") == [f"bert_mini taps : 0.5 is {right}"]
