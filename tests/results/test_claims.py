"""One process at a time has a cell, whoever else wants it, and however its owner ended."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from suite.errors import UserError
from suite.results import claims as module
from suite.results.claims import Claim, Claims, Owner, alone

TAKE_ALL = """
import os, sys
from pathlib import Path
from suite.results.claims import Claim, Claims

folder, names = Path(sys.argv[1]), [f"cell{number}" for number in range(int(sys.argv[2]))]
with Claims(folder) as claims:
    print(flush=True)
    sys.stdin.readline()
    while names:
        for name in [*names]:
            done = folder / f"{name}.done"
            if not done.exists() and isinstance(claim := claims.take(name), Claim):
                if not done.exists():
                    with (folder / "log").open("a") as log:
                        log.write(f"{name} {os.getpid()}\\n")
                    if len(sys.argv) > 3 and name == sys.argv[3]:
                        os._exit(1)
                    done.touch()
                claims.release(claim)
            if done.exists():
                names.remove(name)
"""

TAKE_ONE = """
import sys
from pathlib import Path
from suite.results.claims import Claims
print(Claims(Path(sys.argv[1])).take("cell").token)
"""


def ended_owner(folder: Path) -> str:
    """The token of a claim whose process ended without giving it up."""
    done = subprocess.run(
        [sys.executable, "-c", TAKE_ONE, folder], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def elsewhere(folder: Path, name: str, age: float) -> None:
    """A claim from another machine that was touched `age` seconds ago."""
    owner = Owner(
        token="f" * 16, host="far", machine="another", process=1, started="1", since="noon"
    )
    path = folder / f"{name}.claim"
    path.write_text(owner.model_dump_json())
    touched = time.time() - age
    os.utime(path, (touched, touched))


def test_a_claim_is_had_once_until_it_is_released(tmp_path):
    with Claims(tmp_path) as mine, Claims(tmp_path) as other:
        claim = mine.take("cell")
        assert isinstance(claim, Claim) and claim.is_held()
        owner = other.take("cell")
        assert isinstance(owner, Owner) and owner.process == os.getpid()
        mine.release(claim)
        assert not claim.is_held()
        assert isinstance(other.take("cell"), Claim)
    assert list(tmp_path.iterdir()) == []


def test_the_claim_of_a_process_that_is_gone_is_taken_over_by_one(tmp_path):
    ended_owner(tmp_path)
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        claim = first.take("cell")
        assert isinstance(claim, Claim)
        assert isinstance(second.take("cell"), Owner)
        first.release(claim)
        assert list(tmp_path.iterdir()) == []


def test_a_number_that_another_process_has_now_keeps_no_claim(tmp_path):
    ended_owner(tmp_path)
    path = tmp_path / "cell.claim"
    owner = json.loads(path.read_text())
    assert owner["started"]
    path.write_text(json.dumps(owner | {"process": os.getpid()}))
    assert isinstance(Claims(tmp_path).take("cell"), Claim)


def test_a_process_that_its_parent_has_not_taken_note_of_is_gone(tmp_path):
    with subprocess.Popen([sys.executable, "-c", TAKE_ONE, tmp_path], stdout=-1) as ended:
        ended.stdout.read()
        wait_until(lambda: isinstance(Claims(tmp_path).take("cell"), Claim))
        assert ended.returncode is None


def wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_on_another_machine_a_claim_is_valid_for_a_lease(tmp_path):
    claims = Claims(tmp_path, lease=60)
    elsewhere(tmp_path, "alive", age=50)
    assert isinstance(owner := claims.take("alive"), Owner)
    assert str(owner) == "process 1 on far, since noon"
    elsewhere(tmp_path, "dead", age=70)
    assert isinstance(claims.take("dead"), Claim)


def test_an_owner_keeps_its_claim_as_long_as_it_lives(tmp_path):
    with Claims(tmp_path, lease=0.3) as claims:
        claim = claims.take("cell")
        assert isinstance(claim, Claim)
        os.utime(claim.own, (0, 0))
        wait_until(lambda: claim.own.stat().st_mtime > 0)


def test_an_owner_that_slept_for_too_long_knows_that_it_has_lost(tmp_path, monkeypatch):
    with Claims(tmp_path, lease=3600) as slept:
        claim = slept.take("cell")
        assert isinstance(claim, Claim)
        os.utime(claim.own, (0, 0))
        monkeypatch.setattr(module, "_machine", lambda: "another")
        taken = Claims(tmp_path, lease=3600).take("cell")
        assert isinstance(taken, Claim)
        assert not claim.is_held()
    assert taken.is_held(), "what it leaves is not what the other has"


def test_two_that_found_the_same_owner_dead_do_not_both_succeed(tmp_path, monkeypatch):
    """One finds it dead and is then slow; the other has come and gone in the meantime."""
    ended_owner(tmp_path)
    make, slow, fast = module._make, Claims(tmp_path), Claims(tmp_path)
    new: list[Claim | Owner] = []

    def delayed(path, content):
        monkeypatch.setattr(module, "_make", make)
        claim = fast.take("cell")
        assert isinstance(claim, Claim)
        fast.release(claim)
        new.append(fast.take("cell"))
        return make(path, content)

    monkeypatch.setattr(module, "_make", delayed)
    assert isinstance(slow.take("cell"), Owner)
    assert isinstance(new[0], Claim) and new[0].is_held()
    assert len([*tmp_path.iterdir()]) == 1


def test_without_hard_links_a_claim_is_still_had_once(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    assert isinstance(Claims(tmp_path).take("cell"), Claim)
    assert isinstance(Claims(tmp_path).take("cell"), Owner)
    (tmp_path / "torn.claim").write_text("{")
    assert isinstance(Claims(tmp_path).take("torn"), Owner), "it may be about to be written"
    os.utime(tmp_path / "torn.claim", (0, 0))
    assert isinstance(Claims(tmp_path).take("torn"), Claim)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_that_want_the_same_get_everything_once(tmp_path, processes):
    """One of them ends in the middle of a cell: that cell alone is begun twice."""
    command = [sys.executable, "-c", TAKE_ALL, tmp_path, "150"]
    running = [
        subprocess.Popen([*command, *(["cell70"] if number == 0 else [])], stdin=-1, stdout=-1)
        for number in range(processes)
    ]
    for each in running:
        each.stdout.readline()
    for each in running:
        each.stdin.write(b"\n")
        each.stdin.close()
    codes = [each.wait(120) for each in running]
    for each in running:
        each.stdout.close()
    assert codes[1:] == [0] * (processes - 1)
    begun = Counter(line.split()[0] for line in (tmp_path / "log").read_text().splitlines())
    ended = {"cell70"} if codes[0] else set()
    assert {name for name, times in begun.items() if times > 1} == ended
    assert len(begun) == 150
    assert sum(begun.values()) == 150 + len(ended)
    assert not [*tmp_path.glob("*.claim"), *tmp_path.glob("*.tmp")]


def test_what_a_process_left_between_its_result_and_its_release_is_removed(tmp_path):
    ended_owner(tmp_path)
    elsewhere(tmp_path, "alive", age=1)
    with Claims(tmp_path) as claims:
        kept = claims.take("mine")
        claims.tidy()
        assert isinstance(kept, Claim) and kept.is_held()
        assert {path.name for path in tmp_path.iterdir()} == {"alive.claim", "mine.claim"}


def test_a_folder_that_takes_no_files_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cell\.claim: cannot be written \(Not a directory\)"):
        Claims(tmp_path / "file").take("cell")


def test_alone_waits_for_the_one_inside(tmp_path):
    order = []

    def enter():
        with alone(tmp_path / "new", "packing"):
            order.append("second")

    with alone(tmp_path / "new", "packing"):
        thread = threading.Thread(target=enter)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
