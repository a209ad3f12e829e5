"""Taking up a store that was put back, on either engine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import ErrorCode, Failure, Refusal
from gateway.store import open_store, restored
from tests import stores
from tests.stores import Place

pytestmark = pytest.mark.integration

NOW_US = 1_800_000_000_000_000
MARKED = (
    "INSERT INTO restorations (restored_at_us, backup_made_at_us, log_size, log_root) VALUES (2, 1, 0, ?)"  # as `mark`
)


def gone(store: Place) -> Callable[[], object]:
    return stores.take_away(store)


def changed(store: Place) -> Callable[[], object]:
    stores.rows(store, "ALTER TABLE restorations RENAME TO elsewhere")
    return lambda: stores.rows(store, "ALTER TABLE elsewhere RENAME TO restorations")


@pytest.mark.parametrize("trouble", [gone, changed])
def test_store_that_fails_while_it_is_taken_up_is_a_failure_and_as_it_was(
    tmp_path: Path, trouble: Callable[[Place], Callable[[], object]]
) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    where = stores.place(folder / "node.db")
    connect, engine = open_store(where)
    engine.dispose()
    stores.rows(where, MARKED, bytes(32))
    mend = trouble(where)
    with pytest.raises(Failure) as caught:
        restored.take_up(connect, NOW_US, told=True)
    assert caught.value.code is ErrorCode.STORE
    mend()
    with pytest.raises(Refusal) as refused:
        restored.take_up(connect, NOW_US, told=False)
    assert refused.value.code is ErrorCode.BAD_CONFIG
    assert restored.take_up(connect, NOW_US, told=True) == 0
    assert restored.take_up(connect, NOW_US, told=False) is None
