"""What every column of a leaderboard means, as printed under it."""

from suite.leaderboards.board import Board

_TRACK_SCORE = {
    "mean": "mean over the {tasks} tasks of the task's score, in per cent; a task's score is the "
    "mean of its metrics",
    "decathlon": "sum over the {tasks} tasks of 1000 ((E_max − E)⁺ / E_max)² points, E being the "
    "test error and E_max twice the error of full fine-tuning (Visual Decathlon)",
}


def definitions(board: Board) -> str:
    """A list with one line per column of the page."""
    seeds = max(len(row.seeds) for row in board.rows)
    tasks = len(board.track.tasks)
    uncertain = (
        "over seeds and test examples: the variance over 1000 bootstrap resamples of the test "
        "examples plus the variance between seeds, with Welch-Satterthwaite degrees of freedom"
        if seeds > 1
        else "over 1000 bootstrap resamples of the test examples; one seed says nothing of how "
        "another would turn out"
    )
    lines = [
        "**rank group**: the best score without a group leads the next group and is compared with "
        "every method that has none yet, paired by test example, at 5 % with Holm's correction "
        "for these comparisons; methods that cannot be told apart from it share its group.",
        f"**score**: {_TRACK_SCORE[board.track.score].format(tasks=tasks)}; mean over seeds, ± "
        f"half the 95 % interval {uncertain}.",
    ]
    if board.several_metrics:
        metrics = sum(len(names) for names in board.metrics.values())
        lines.append(
            f"**mean of all metrics**: mean over the {metrics} metrics of all tasks, each counted "
            "once (for GLUE the average that the HyperFormer paper prints)."
        )
    lines += [
        "**total ×**: (P + shared + sum over tasks of per-task) / P. *P*: the backbone's "
        "parameters without a head. *Shared*: stored once for all tasks of a joint run. "
        "*Per-task*: stored again for each task. All three are stored bits / 32, so a 1-bit mask "
        "over P weights counts P / 32.",
        f"**per task %**: (shared / T + mean per-task) / P, with T = {tasks} tasks.",
        "**head %**: the output layer, mean per task / P; in neither of the above.",
    ]
    if any(row.cost and row.cost.buffers for row in board.rows):
        lines.append(
            "**buffers %**: stored tensors that are not parameters, such as statistics of norm "
            "layers, mean per task / P; in neither of the above."
        )
    lines += [
        "**trained %**: parameters that received gradients, heads included, / P; of a joint run "
        "the T-th part. A method may train more than it stores.",
        "**stored MB**: bytes of all delta files of one seed, heads and buffers included / 10⁶.",
        "**steps**: optimizer steps of all tasks of one seed.",
        "**train time**: wall time in the training loop for all tasks of one seed, on the named "
        "hardware.",
        "**peak memory MB**: largest memory of any of the cells / 10⁶.",
        "**seeds**: how many runs were averaged. Costs are averages over seeds as well.",
        "**hardware**: letters, explained below.",
    ]
    return "## What the columns mean\n\n" + "\n".join(f"- {line}" for line in lines)
