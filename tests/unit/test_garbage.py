"""How a process that serves looks for garbage: it is its own affair, and over when it has served."""

import gc

from gateway.cli import garbage


def test_process_looks_for_garbage_as_before_when_it_has_served() -> None:
    before = gc.get_threshold()
    with garbage.spared():
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] == garbage.NEW_OBJECTS
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before


def test_process_looks_for_garbage_as_before_when_its_modules_are_there() -> None:
    with garbage.put_off():
        assert not gc.isenabled()
        with garbage.put_off():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
