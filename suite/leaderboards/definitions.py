"""What every column of a leaderboard means, as printed under it."""

from suite.leaderboards.board import Board
from suite.registry.schema import Store
from suite.results.ranks import FAR

_INTERVAL = (
    ", ± half the 95 % interval over seeds and test examples: the variance over 1000 bootstrap "
    "resamples of the test examples plus the variance between seeds. Three seeds determine the "
    "variance of one method poorly, so it is moved towards that of the page's other methods of its "
    "kind, per task or joint (Smyth 2004), unless the method's seeds differ far more than theirs. "
    "The interval is for the learning rate that was chosen: it does not include the choice"
)
_TRACK_SCORE = {
    "mean": "mean over the {tasks} tasks of the task's score, in per cent; a task's score is the "
    "mean of its metrics",
    "decathlon": "sum over the {tasks} tasks of 1000 ((E_max − E)⁺ / E_max)² points, E being the "
    "test error and E_max twice the error of full fine-tuning (Visual Decathlon)",
}


ANCHOR = "what-the-columns-mean"


def definitions(board: Board) -> str:
    """A list with one line per column of the page."""
    tasks = len(board.track.tasks)
    lines = _of_ranks() if any(row.rank for row in board.ranked) else []
    lines += [
        f"**score**: {_TRACK_SCORE[board.track.score].format(tasks=tasks)}; mean over seeds"
        f"{_INTERVAL if any(r.estimate and r.estimate.interval() for r in board.rows) else ''}. "
        "*Constant answer*: the best score that one fixed answer to every example reaches.",
    ]
    if board.several_metrics:
        metrics = sum(len(names) for names in board.metrics.values())
        lines.append(
            f"**mean of all metrics**: mean over the {metrics} metrics of all tasks, each counted "
            "once (for GLUE the average that the HyperFormer paper prints)."
        )
    lines += [
        f"**stored ×**: everything stored to serve the {tasks} tasks beside the frozen backbone, "
        "in backbones: the bits of all saved tensors, heads and buffers included, / 32 P. *P*: the "
        "backbone's parameters without a head. A 1-bit mask over P weights counts P / 32.",
        *_precision(board),
        "**total ×**: the papers' convention, for comparison with published rows: the bits of all "
        "saved tensors without heads and buffers, / 32 P, plus 1 for the frozen backbone if "
        "serving the track needs it (\\*: it does not).",
        f"**per task %**: (shared / T + mean per-task) / P, with T = {tasks} tasks; *shared* is "
        "stored once for all tasks of a joint run, *per-task* again for each; without heads.",
        "**trained %**: parameters that received gradients, heads included, / P; for a joint run "
        "divided by T. Teachers, and networks that are merged, count: a method may train more than "
        "it stores.",
        "**steps**: optimizer steps of all tasks of one seed.",
        "**seeds**: how many runs were averaged. Costs are averages over seeds as well.",
        "**hardware**: letters, explained below.",
        "**head %**: the output layer, mean per task / P.",
    ]
    if any(row.cost and row.cost.buffers for row in board.rows):
        lines.append(
            "**buffers %**: stored tensors that are not parameters, such as statistics of norm "
            "layers, mean per task / P."
        )
    lines += [
        "**tensors MB**: bytes of all tensors of all delta files of one seed / 10⁶.",
        "**files MB**: the same with the files' headers, which name every tensor / 10⁶.",
        "**settings**: every option of the method, at its default or not, those too that are "
        "without effect on this network or beside the others.",
    ]
    return "## What the columns mean\n\n" + "\n".join(f"- {line}" for line in lines)


def _of_ranks() -> list[str]:
    return [
        "**rank**: the place by score, and the 95 % interval of the true place when scores are "
        "drawn again with the uncertainty over test examples and runs.",
        "**= best**: the best score is not told apart from this one, that is, not significantly "
        "higher: paired by test example, at 5 %, with Holm's correction for all comparisons with "
        "the best. Such methods are **bold**. Methods that share the mark may differ from each "
        "other. The mark allows for all comparisons at once, the interval of the rank does not: "
        "where that does not begin at 1, the method is probably not the best, but it is not shown. "
        f"*?*: not told apart only because its runs differ so much that no difference below "
        f"{FAR:g} times the typical one would be found.",
    ]


def _precision(board: Board) -> list[str]:
    """What precision is, where a row is not in float32."""
    if all(row.store is Store.FLOAT32 for row in board.rows):
        return []
    return [
        "**store=**: the precision of what is stored, float32 where a name says none. Rounded is "
        "the change from where training starts; int8, int4 and binary (signs) hold matrices and "
        "kernels with a scale for each output (binary: for each matrix), and norms, other vectors "
        "and heads in bfloat16. Scales count. The score is that of what the file gives back. Rows "
        "that differ only here are the same runs; all but float32 need the frozen backbone. Every "
        "cost but *trained %* is in bits / 32 P.",
    ]
