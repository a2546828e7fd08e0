"""A changed route spec, and a start, until the tables have changed."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from examples.demo import hosts as host_processes
from tests.bench.figures import Sample, Samples
from tests.bench.rig import CIDR, Rig, Spec, addresses, random_phase, rig, sample

OTHERS = {"10.66.0.0/16": 2, "10.77.0.0/16": 3}
"""What else the route spec has: CIDRs, and how many hosts each."""

Write = Callable[[Path, Spec], float]
"""Puts a spec in place; returns the monotonic time just before the daemon could see it."""


def in_place(runs: int) -> Samples:
    return {"in_place": _measure(runs, _write_in_place)}


def replaced(runs: int) -> Samples:
    return {"replaced": _measure(runs, _replace)}


def swapped(runs: int) -> Samples:
    return {"swapped": _measure(runs, _swap)}


def _measure(runs: int, write: Write) -> list[Sample]:
    """Each run gives a CIDR a host that the spec did not have, so that it is not known yet."""
    hosts = addresses(2 + max(OTHERS.values()), "127.0")
    first, second, *others = hosts
    specs = [{CIDR: [host], **{c: others[:n] for c, n in OTHERS.items()}} for host in hosts[:2]]
    with rig(hosts) as our, host_processes.running(hosts) as (port, _):
        write(our.spec_path, specs[0])
        our.configure(port)
        with our.running():
            samples: list[Sample] = []
            for run in range(1, runs + 1):
                random_phase()
                since = our.mark()
                written_s = write(our.spec_path, specs[run % 2])
                samples.append(our.moved(since, written_s, (first, second)[(run - 1) % 2]))
            return samples


def _write_in_place(path: Path, spec: Spec) -> float:
    text = json.dumps(spec)
    at_s = time.monotonic()
    path.write_text(text, encoding="utf-8")
    return at_s


def _replace(path: Path, spec: Spec) -> float:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(spec), encoding="utf-8")
    at_s = time.monotonic()
    new.replace(path)
    return at_s


def _swap(path: Path, spec: Spec) -> float:
    """As the kubelet updates a ConfigMap: a new folder, and one rename of the link `..data`."""
    data = path.parent / "..data"
    old = path.parent / os.readlink(data) if data.is_symlink() else None  # noqa: PTH115
    folder = path.parent / f"..{time.time_ns()}"
    folder.mkdir()
    (folder / path.name).write_text(json.dumps(spec), encoding="utf-8")
    link = path.parent / "..data_tmp"
    link.symlink_to(folder.name)
    at_s = time.monotonic()
    link.replace(data)
    if old is None:
        path.symlink_to(Path(data.name) / path.name)
    else:
        shutil.rmtree(old)
    return at_s


def start(runs: int) -> Samples:
    """Each run begins without state and without routes."""
    hosts = addresses(6, "127.0")
    spec = {CIDR: hosts, "10.66.0.0/16": hosts[:2], "10.77.0.0/16": hosts[2:]}
    samples: Samples = {"start": [], "start_all": []}
    with rig(hosts) as our, host_processes.running(hosts) as (port, _):
        our.write_spec(spec)
        our.configure(port)
        for _ in range(runs):
            with _fresh(our, spec):
                since, started_s = our.mark(), time.monotonic()
                with our.daemon:
                    count = len(spec) * len(our.network.table_ids)
                    calls = our.changes(since, "CreateRoute", count)
                samples["start"].append(sample(calls[0], started_s))
                samples["start_all"].append(sample(calls[-1], started_s))
    return samples


@contextlib.contextmanager
def _fresh(our: Rig, spec: Spec) -> Iterator[None]:
    """Forget all of it afterwards."""
    yield
    shutil.rmtree(our.folder / "state", ignore_errors=True)
    for cidr in spec:
        for table in our.network.table_ids:
            our.network.delete_route(table, cidr)
