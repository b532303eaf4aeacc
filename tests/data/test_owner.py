"""Who holds a lock: processes of this machine alone are asked whether they live."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec

from kalshi_ray.data.owner import Owner


def of(**fields: object) -> Owner:
    return msgspec.structs.replace(Owner.this(), **fields)


def test_this_process_lives_here() -> None:
    assert Owner.this().is_here and not Owner.this().is_dead


def test_a_machine_of_the_same_name_is_another_one_and_nobody_there_is_taken_for_dead() -> None:
    twin = of(machine="another", boot="another", birth=1, pid=2**22 + 1)
    assert not twin.is_here and not twin.is_dead


def test_a_process_from_before_the_machine_was_started_again_is_dead_whatever_has_its_number_now() -> None:
    assert of(boot="before").is_here and of(boot="before").is_dead


def test_a_process_of_the_same_number_is_told_apart_by_its_birth() -> None:
    assert of(birth=1).is_dead and of(pid=2**22 + 1).is_dead


def test_a_lock_that_does_not_say_machine_or_start_is_judged_by_its_process() -> None:
    assert of(machine="", boot="").is_here and not of(machine="", boot="").is_dead
    assert of(machine="", boot="", birth=1).is_dead


def test_a_process_that_was_killed_is_dead_although_nobody_has_asked_how_it_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        owner = of(pid=process.pid, birth=0)
        assert not owner.is_dead
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays in the table of processes
        assert owner.is_dead
    finally:
        process.communicate()
