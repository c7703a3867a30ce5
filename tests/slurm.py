"""A real Slurm on this machine, as its administrator would set it up: two cores, one node."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/daemon.log
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/daemon.pid
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
KillWait=5
NodeName={host} CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "munged")


def missing() -> str:
    """Why there can be no Slurm here; empty if there can."""
    absent = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    if absent:
        return f"{', '.join(absent)} not installed: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "only root can start Slurm's daemons"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[None]:
    """Slurm's controller and daemon, and munge if it does not run; the commands find them."""
    host = socket.gethostname().partition(".")[0]
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=host, folder=folder))
    before = dict(os.environ)
    os.environ |= {"SLURM_CONF": str(configuration), "PATH": _path()}
    started = []
    try:
        started += _munge(folder)
        for daemon in ("slurmctld", "slurmd"):
            with (folder / f"{daemon}.out").open("wb") as out:
                started.append(subprocess.Popen([daemon, "-D"], stdout=out, stderr=out))
        _wait_for_node(folder)
        yield
    finally:
        subprocess.run(["scancel", "--user", "root"], check=False, capture_output=True)
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
        os.environ.clear()
        os.environ.update(before)


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _munge(folder: Path) -> list[subprocess.Popen]:
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        return []
    for place in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
        Path(place).mkdir(exist_ok=True)
        shutil.chown(place, "munge", "munge")
    words = ["runuser", "-u", "munge", "--", "munged", "--foreground"]
    with (folder / "munged.out").open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out)
    while subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode:
        assert process.poll() is None, "munged ended"
        time.sleep(0.2)
    return [process]


def _wait_for_node(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        said = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True)
        if said.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    logs = [path.read_text()[-1500:] for path in folder.glob("*.log")]
    raise AssertionError(f"Slurm's node is not ready: {said} {logs}")
