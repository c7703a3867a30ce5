"""The command line: what can be typed, and which command answers it.

Nothing heavy is imported here: each verb imports its own command when it is called.
"""

import argparse
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from suite import __version__
from suite.console import coloured, flush, prepare_streams, say
from suite.errors import UserError
from suite.planning.limits import device, devices, factor, jobs, positive, seconds
from suite.results.seeds import FIRST_SEARCH_SEED

T = TypeVar("T")
DESCRIPTION = "How much accuracy per stored bit when one frozen backbone must serve many tasks?"
EPILOGUE = """\
lists of names are comma- or space-separated and take globs, 'all' and exceptions:
  python -m suite run --methods taps,hyperformer --tasks glue
  python -m suite plan -m 'hyper*' -t glue/rte glue/cola -b bert_mini --seeds 0-2
  python -m suite plan -m 'all,!hyper*' -t 'glue,!rte'

exit codes:
  0    every cell is ok        2    wrong usage or invalid registry
  1    some cell failed        130  interrupted; the same command continues
  1    also: a fault that check finds, a result that verify finds wrong, pages that differ

environment:
  SUITE_DATA        folders with real data and weights (datasets/..., models/...), with : between
  SUITE_REGISTRY    folder with methods/, tasks/ or backbones/ that come before the package's own
  SUITE_CUDA_GRAPHS 0: no CUDA graphs of training steps
  SUITE_CHECKPOINT  seconds between checkpoints of a long cell (300; 0 for none)
  HF_HOME, HF_HUB_OFFLINE, TORCH_HOME, XDG_CACHE_HOME, CUDA_VISIBLE_DEVICES, NO_COLOR,
  RAY_ADDRESS and the variables of Slurm arrays and indexed jobs are honoured
"""


def entry_point() -> None:
    """The console script: runs the command line and exits with its code."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code (see `--help`)."""
    # datasets would tell a server of every file of this machine that it loads.
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    prepare_streams()
    try:
        code = _answer([_hyphenated(word) for word in arguments])
        # Here, where a closed pipe is noticed; at exit it would be an error of the interpreter.
        flush()
        return code
    except UserError as error:
        say(f"{coloured('error', 'red', sys.stderr)}: {error}")
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except OSError as error:
        # Of a name that no file can have, of a folder that nobody may read, of a full disk.
        if error.filename is None:
            raise
        say(f"{coloured('error', 'red', sys.stderr)}: {error.filename!s:.300}: {error.strerror}")
        return 2


def _answer(arguments: list[str]) -> int:
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.verb is None:
        parser.print_help()
        return 0
    options.words = arguments
    command = importlib.import_module(f"suite.cli.{options.module}")
    return getattr(command, options.function)(options)


def build_parser() -> argparse.ArgumentParser:
    """Every verb with its options."""
    parser = _Parser(
        prog="python -m suite",
        description=DESCRIPTION,
        epilog=EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"suite {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")

    def verb(name: str, module: str, text: str, function: str | None = None) -> _Parser:
        child = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        child.add_argument("--registry", type=Path, metavar="FOLDER", help="registry to use first")
        child.set_defaults(module=module, function=function or name)
        return child

    run = verb("run", "run", "train, score and rank every cell that has no result yet")
    _selection(run)
    _execution(run)
    run.add_argument("-n", "--dry-run", action="store_true", help="same as the verb plan")
    plan = verb("plan", "run", "say what run would do with each cell, and why; writes nothing")
    _selection(plan)
    rehearse = verb(
        "rehearse",
        "rehearse",
        "run full-scale cells shortly (--budget 0.01 --batch-size 2), on made-up data",
    )
    _selection(rehearse, rehearsed=True)
    _execution(rehearse)
    rehearse.set_defaults(scale="full", batch_size=2, out=Path("rehearsal"))
    tune = verb("tune", "tune", "search each method's learning rate on validation data")
    what = tune.add_argument_group("what")
    what.add_argument("methods", nargs="+", metavar="METHOD")
    _cells(what, seeds=f"{FIRST_SEARCH_SEED},{FIRST_SEARCH_SEED + 1}")
    tune.add_argument(
        "--adopt", action="store_true", help="let runs take the best rates: write methods/rates"
    )
    _out(tune)
    _json(tune)
    _execution(tune, waits=True)

    listing = verb("list", "catalogue", "list entries or results", "list_entries")
    listing.add_argument(
        "what", choices=("methods", "tasks", "tracks", "backbones", "results"), nargs="?",
        default="methods",
    )  # fmt: skip
    _out(listing)
    _json(listing)
    show = verb("show", "show", "show one method, task, track or backbone")
    show.add_argument("name", metavar="NAME", help="as in 'list'")
    _json(show)
    why = verb("why", "results", "say what a result depends on and what has changed since")
    why.add_argument("cell", metavar="CELL", help="as in 'list results'; globs allowed")
    _out(why)
    _json(why)

    validate = verb(
        "validate", "contributing", "read entries of the registry and name every mistake"
    )
    validate.add_argument("names", nargs="*", help="only these entries (default: all)")
    check = verb(
        "check", "contributing", "test what a method, task or backbone promises, by trying it"
    )
    check.add_argument("name", metavar="NAME", help="as in 'list'; or timm:ID, hf:ID or ./FOLDER")
    _json(check)
    new = verb("new", "scaffold", "write the files of a new method, task or backbone")
    new.add_argument("kind", choices=("method", "task", "backbone"))
    new.add_argument(
        "name", help="NAME of a method; TRACK/NAME of a task; timm:ID, hf:ID or ./FOLDER"
    )
    new.add_argument(
        "--modality", choices=("text", "image"), default="text",
        help="of a new track's tasks; default: %(default)s",
    )  # fmt: skip
    new.add_argument(
        "--scale", choices=("mini", "full"), default="mini",
        help="of a new track: full for data of one's own; default: %(default)s",
    )  # fmt: skip

    fetch = verb("fetch", "fetch", "bring data and weights here, for use without a network")
    fetch.add_argument(
        "-t", "--tasks", nargs="+", default=[], metavar="NAME", help="tracks or tasks"
    )
    fetch.add_argument(
        "-b", "--backbones", nargs="+", default=[], metavar="NAME",
        help="names or hub ids; a track's own are not added",
    )  # fmt: skip
    fetch.add_argument(
        "--manifest", type=Path, metavar="FILE",
        help="what 'fetch' printed elsewhere: every file must be as it says",
    )  # fmt: skip
    board = verb("leaderboard", "results", "write the leaderboards again from the results")
    instead = board.add_mutually_exclusive_group()
    instead.add_argument(
        "--check", action="store_true", help="write nothing, exit 1 if they differ"
    )
    instead.add_argument(
        "--export", type=Path, metavar="FILE", help="write all rows to a .csv or .parquet instead"
    )
    _out(board)
    submit = verb("submit", "submit", "put results and their deltas into one file for others")
    for short, name in (("-m", "methods"), ("-t", "tasks"), ("-b", "backbones")):
        submit.add_argument(
            short, f"--{name}", nargs="+", default=[], metavar="NAME",
            help="default: those of every result in --out",
        )  # fmt: skip
    submit.add_argument(
        "-o", "--file", type=Path, required=True, metavar="FILE.zip", help="what to write"
    )
    _out(submit)
    export = verb("export", "export", "write a cell's model for programs without the suite")
    export.add_argument("cell", metavar="CELL", help="as in 'list results'; globs allowed")
    export.add_argument(
        "--to", choices=("peft", "torch"), required=True,
        help="an adapter of peft, or a network of torch: merged weights, else a traced program",
    )  # fmt: skip
    export.add_argument("--task", metavar="NAME", help="of a cell with several tasks")
    export.add_argument(
        "-o", "--folder", type=Path, metavar="FOLDER", help="default: exports/ in --out"
    )
    _out(export)
    push = verb("push", "export", "send an exported folder to a repository on the hub")
    push.add_argument("folder", type=Path, metavar="FOLDER")
    push.add_argument("--repo", required=True, metavar="USER/NAME")
    push.add_argument("--private", action="store_true", help="if the repository is made")
    verify = verb("verify", "verify", "compute recorded scores and costs again, and compare")
    verify.add_argument(
        "cells", nargs="*", metavar="CELL | FILE.zip",
        help="as in 'list results', globs allowed; or a submission",
    )  # fmt: skip
    verify.add_argument(
        "--rescore", action="store_true", help="load each stored delta and score it again"
    )
    _device_of_scoring(verify)
    _out(verify)
    accept = verb("accept", "submit", "score a submission again and add its results")
    accept.add_argument("file", type=Path, metavar="FILE.zip")
    accept.add_argument("--by", metavar="NAME", help="who verifies (default: git's user.name)")
    _device_of_scoring(accept)
    accept.add_argument("--allow-dirty", action="store_true", help="with code not committed")
    _out(accept)
    pack = verb("pack", "results", "settle what a merge left, pack results, write their pages")
    _out(pack)
    carry = verb("carry", "carry", "keep results through changes of code that change no result")
    carry.add_argument("-m", "--methods", nargs="+", default=[], metavar="NAME")
    carry.add_argument(
        "-f", "--families", nargs="+", default=[], metavar="FAMILY", help="of backbones"
    )
    carry.add_argument(
        "--sample", type=_positive, default=1, metavar="N",
        help="cells to compare of every method, family, commit, scale, precision and set of "
        "metrics (default: 1)",
    )  # fmt: skip
    carry.add_argument("--steps", type=_positive, metavar="N", help="compare them with fewer steps")
    carry.add_argument("--allow-dirty", action="store_true", help="carry to code not committed")
    _out(carry)
    _json(verb("env", "env", "print what a bug report needs", "show"))
    return parser


class _Parser(argparse.ArgumentParser):
    """Answers wrong usage with one message that names the nearest choice."""

    def error(self, message: str) -> NoReturn:
        """Raise the message as a `UserError`."""
        wrong = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if wrong:
            message += _near(wrong[1], wrong[2].replace("'", "").split(", "))
        raise UserError(f"{message}\nsee: {self.prog} --help")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse unknown options here, where the verb's own options are known."""
        known, rest = super().parse_known_args(args, namespace)
        if rest:
            word = rest[0].partition("=")[0]
            near = _near(word, re.findall(r"--[a-z-]+", self.format_help()))
            self.error(f"unrecognized arguments: {' '.join(rest)}{near}")
        return known, rest


def _near(word: str, choices: Sequence[str]) -> str:
    # Imported only when something is wrong, because it brings in the registry's models.
    from suite.registry.names import did_you_mean

    return did_you_mean(word, choices)


def _selection(parser: _Parser, *, rehearsed: bool = False) -> None:
    group = parser.add_argument_group("what")
    group.add_argument(
        "-m", "--methods", nargs="+", required=True, metavar="NAME", help="names, globs or all"
    )
    _cells(group, rehearsed=rehearsed)
    add = group.add_argument
    add("--store", nargs="+", default=["float32"], metavar="NAME",
        help="precisions to store: float32 (default), bfloat16, int8, int4, binary; one training "
        "serves all; of one method: --set METHOD.store=NAME")  # fmt: skip
    add("--force", action="store_true", help="run again what has a result")
    add("--only-failed", action="store_true", help="only cells whose last run failed")
    add("--shard", metavar="I/N",
        help="the I-th of N parts (default: a Slurm array's or indexed job's)")  # fmt: skip
    _out(parser)
    _json(parser)


def _cells(group: argparse._ArgumentGroup, *, seeds: str = "", rehearsed: bool = False) -> None:
    """`seeds`: those of a search of rates; `rehearsed`: of full-scale cells, and short."""
    add = group.add_argument
    add("-t", "--tasks", nargs="+", required=True, metavar="NAME", help="tracks or tasks")
    add("-b", "--backbones", nargs="+", default=[], metavar="NAME", help="default: the track's")
    if not rehearsed:
        add("--scale", choices=("mini", "full"), default="mini",
            help="mini: embedded, minutes on a CPU; full: real data and weights; default: "
            "%(default)s")  # fmt: skip
    numbers = (
        f"numbers and ranges from {FIRST_SEARCH_SEED} on" if seeds
        else f"numbers and ranges such as 0-4, below {FIRST_SEARCH_SEED}"
    )  # fmt: skip
    add("--seeds", nargs="+", default=[seeds or "0"], metavar="N",
        help=f"{numbers}; default: {seeds or 0}")  # fmt: skip
    add("--steps", type=_positive, metavar="N",
        help="optimizer steps per task, of which a joint method takes as many for each; default: "
        "the recipe's")  # fmt: skip
    add("--budget", type=_factor, metavar="X",
        help="multiply every recipe's steps by it; not with --steps"
        + ("; default: 0.01" if rehearsed else ""))  # fmt: skip
    add("--batch-size", type=_positive, metavar="N",
        help="examples a step; default: " + ("2" if rehearsed else "the recipe's"))  # fmt: skip
    add("--examples", type=_positive, metavar="N",
        help="train on at most so many of each task, drawn by the seed")  # fmt: skip
    add("--precision", choices=("float32", "bfloat16"),
        help="of the arithmetic; default: float32 on a CPU, bfloat16 on a GPU")  # fmt: skip
    add("--set", action="append", default=[], dest="settings", metavar="METHOD.OPTION=VALUE",
        help="an option of a method, see 'show METHOD'; several values with commas give a row each"
        + ("" if seeds else "; rates are the recipe's, or what tune --adopt found"))  # fmt: skip


def _device_of_scoring(parser: _Parser) -> None:
    parser.add_argument(
        "--device", type=_device, default="auto", metavar="DEVICE",
        help="what scores deltas: auto (a GPU, or the CPU), cpu, cuda or cuda:N",
    )  # fmt: skip


def _execution(parser: _Parser, *, waits: bool = False) -> None:
    add = parser.add_argument_group("how").add_argument
    add("--device", type=_devices, default="auto", metavar="DEVICE",
        help="auto (every GPU, or the CPU), cpu, cuda, or some: cuda:0,cuda:1")  # fmt: skip
    add("-j", "--jobs", type=_jobs, metavar="N",
        help="cells at a time on all devices (default: auto, by cores and memory)")  # fmt: skip
    add("--executor", default="local", metavar="NAME",
        help="what runs cells: local, ray or slurm; default: %(default)s")  # fmt: skip
    add("--executor-options", default="", metavar="KEY=VALUE,...",
        help="what Slurm is told: partition=a100,time=4:00:00,gpus=8")  # fmt: skip
    if waits:
        parser.set_defaults(wait=True)
    else:
        add("--no-wait", action="store_false", dest="wait",
            help="return when an executor has submitted the cells")  # fmt: skip
    add("--timeout", type=_seconds, metavar="SECONDS", help="per cell; default: none")
    add("-x", "--fail-fast", action="store_true", help="stop at the first cell that fails")
    add("--allow-dirty", action="store_true", help="publish results of code that is not committed")
    add("--offline", action="store_true", help="fetch nothing, even if there is a network")
    add("-q", "--quiet", action="store_true", help="no progress, only the result")


def _out(parser: _Parser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="FOLDER",
        help="folder of results, logs and deltas; default: %(default)s",
    )  # fmt: skip


def _json(parser: _Parser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable answer on stdout")


def _checked(check: Callable[[object], T]) -> Callable[[str], T]:
    """A check of a value in the form that argparse expects."""

    def convert(text: str) -> T:
        try:
            return check(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


_positive, _seconds, _factor = _checked(positive), _checked(seconds), _checked(factor)
_device, _devices, _jobs = _checked(device), _checked(devices), _checked(jobs)


def _hyphenated(word: str) -> str:
    """`--batch_size=8` as `--batch-size=8`: both spellings are accepted."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value
