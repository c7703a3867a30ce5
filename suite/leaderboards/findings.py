"""The page of what the boards teach."""

from collections.abc import Sequence

from suite.leaderboards import formats, questions, story
from suite.leaderboards.board import Board
from suite.leaderboards.questions import Finding
from suite.results.searches import Search

NAME = "findings.md"


def render(found: Sequence[Finding]) -> str:
    """The page `findings.md`."""
    sections = [
        f"{formats.MARK}\n\n# What the boards teach",
        "The questions, what is compared, and the tests were fixed before any board on real data "
        "was scored, and after the first boards on embedded data: answers that rest on the latter "
        "alone are exploratory. They follow from the results by the command that makes this page. "
        "Intervals are of 95 %. Tests are two-sided at 5 %, with Holm's correction for all tests "
        "of a question (for what beats TAPS, all rows within its budget). What is not shown "
        "is not refuted. Boards of one track share test examples and enter several comparisons, "
        "which are therefore not independent of each other.",
    ]
    for each in found:
        sections += [f"## {each.question}", f"*Test*: {each.test}", f"**{each.answer}**"]
        if each.rows:
            table = formats.table(each.rows, each.headers)
            sections += [table, story.EARLIER] if story.SIGN in table else [table]
    return "\n\n".join(sections) + "\n"


def findings(boards: Sequence[Board], searches: Sequence[Search]) -> list[Finding]:
    """The answer to every question, from the boards whose runs are known to vary so much."""
    tested = [board for board in boards if board.ranked and story.is_tested(board)]
    return [
        questions.order_at_other_scale(tested),
        questions.order_on_other_family(tested),
        questions.order_on_other_tasks(tested),
        questions.precision_or_size(tested),
        questions.place_on_the_front(tested),
        questions.learning_rate(searches),
        questions.speed_of_learning(boards),
    ]
