"""A board of constructed results: its rows, its page and the page's sections."""

import re

from suite.leaderboards import markdown
from suite.leaderboards.aggregate import boards


def only(results, registry):
    return next(board for board in boards(results, registry) if board.backbone == "bert_mini")


def section(page, title):
    parts = re.split(r"^## ", page, flags=re.M)
    return next(part for part in parts if part.startswith(f"{title}\n"))


def page(results, registry):
    return markdown.render(only(results, registry), plot=None)


PARTS = {"training": "t", "data": "d", "layers": "l", "method": "m"}


def of_code(results, version=2, metrics="x", dirty=False, carried=None, **parts):
    """The same results from other code."""
    return [
        result.model_copy(
            update={
                "identity": result.identity.model_copy(
                    update={
                        "schema_version": version,
                        "parts": {} if version == 1 else PARTS | parts,
                        "tasks": {
                            task: digest if version == 1 else f"{digest}.{metrics}"
                            for task, digest in result.identity.tasks.items()
                        },
                    }
                ),
                "environment": result.environment.model_copy(update={"dirty": dirty}),
                "carried": carried,
            }
        )
        for result in results
    ]


def objections(registry, *rows):
    board = only([result for row in rows for result in row], registry)
    return {row.label: row.why_unranked for row in board.rows}
