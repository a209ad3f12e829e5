"""The node that publishes for all: what it takes, and when it signs anew."""

import asyncio
import stat
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from gateway import config, keys, locked
from gateway.errors import ErrorCode, Refusal
from gateway.hidden import Passphrase
from gateway.identity import Role
from gateway.publisher import AGAIN_SECONDS, LONGEST_PAUSE_SECONDS, Publisher
from gateway.trust.lists import SignedList
from tests import world
from tests.registry import PUBLISHER, Registry, key
from tests.world import NOW

START = NOW.replace(microsecond=0)


class Sleeper:
    """A clock, and a pause that moves it on; ends the program after some pauses."""

    def __init__(self, pauses: int, act: Callable[[int], None] = lambda _: None) -> None:
        self.now, self.slept, self._left, self._act = START, list[float](), pauses, act

    def clock(self) -> datetime:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)
        self._act(len(self.slept))
        if len(self.slept) == self._left:
            raise asyncio.CancelledError
        await asyncio.sleep(0)


def publisher_of(
    made: Registry, sleeper: Sleeper | None = None, hours: float = 24, phrase: Passphrase | None = None
) -> Publisher:
    path = made.folder / "publisher.key"
    if not path.exists():
        keys.save_signing_key(path, PUBLISHER, phrase, locked.LEAST)
    settings = config.Publisher(key=path, repository=made.folder / "repository", timestamp_hours=hours)
    sleeper = sleeper or Sleeper(1)
    return Publisher(settings, phrase, sleeper.clock, sleeper.pause)


def signed_list(made: Registry, version: int, signer: str = "ee") -> SignedList:
    entries = made.list_of("ee")
    newcomer = world.participant(f"ee/office-{version}", Role.COURT)
    entries = entries.model_copy(update={"participants": (*entries.participants, newcomer)})
    return SignedList.sign(key(signer), entries, version, NOW)


async def run(publisher: Publisher) -> None:
    with pytest.raises(asyncio.CancelledError):
        await publisher.run()


def test_list_is_published_when_it_is_accepted(made: Registry) -> None:
    assert publisher_of(made).accept(signed_list(made, 2), NOW) == 2
    after = made.load_as_newcomer(NOW)
    assert after.directory.roles("ee/office-2") == {Role.COURT}
    assert after.version("node-ee") == 2


def test_list_that_was_offered_twice_is_published_once(made: Registry) -> None:
    publisher, signed = publisher_of(made), signed_list(made, 2)
    publisher.accept(signed, NOW)
    version = made.load(NOW).version("timestamp")
    assert publisher.accept(signed, NOW) == 2
    assert made.load(NOW).version("timestamp") == version


def test_list_that_was_accepted_before_a_crash_is_published_when_it_is_offered_again(made: Registry) -> None:
    signed = signed_list(made, 2)
    made.repository.accept_list(signed, NOW)
    assert made.load(NOW).version("node-ee") == 1
    assert publisher_of(made).accept(signed, NOW) == 2
    assert made.load(NOW).version("node-ee") == 2


def test_list_that_comes_late_is_told_which_is_newer_and_changes_nothing(made: Registry) -> None:
    publisher, late = publisher_of(made), signed_list(made, 2)
    publisher.accept(signed_list(made, 5), NOW)
    assert publisher.accept(late, NOW) == 5
    assert made.load(NOW).version("node-ee") == 5


def test_list_by_a_wrong_key_is_not_published(made: Registry) -> None:
    before = (made.metadata / "timestamp.json").read_bytes()
    with pytest.raises(Refusal) as caught:
        publisher_of(made).accept(signed_list(made, 2, "de"), NOW)
    assert caught.value.code is ErrorCode.BAD_DIRECTORY
    assert (made.metadata / "timestamp.json").read_bytes() == before


def test_key_under_a_passphrase_is_opened_with_it_alone(made: Registry) -> None:
    phrase = Passphrase("the publisher's own", "test")
    publisher_of(made, phrase=phrase).renew(NOW)
    with pytest.raises(Refusal) as caught:
        publisher_of(made)
    assert caught.value.code is ErrorCode.KEY_FILE


async def test_directory_is_renewed_halfway_through_its_life_for_as_long_as_the_node_runs(made: Registry) -> None:
    """Two days of a timestamp of twelve hours: every six hours a new one, so that half is always left."""
    versions: list[int] = []

    def look(_: int) -> None:
        trusted = made.load(sleeper.now)
        versions.append(trusted.version("timestamp"))
        assert trusted.expires - sleeper.now >= timedelta(hours=6) - timedelta(seconds=LONGEST_PAUSE_SECONDS)
        assert not [each for each in trusted.warnings(sleeper.now) if "timestamp" in each]
        sleeper.now += timedelta(hours=1) - timedelta(seconds=sleeper.slept[-1])  # the machine slept meanwhile

    sleeper = Sleeper(48, look)
    await run(publisher_of(made, sleeper, hours=12))
    assert len(set(versions)) in {8, 9}


async def test_node_that_publishes_waits_no_longer_than_needed_and_never_in_a_hot_loop(made: Registry) -> None:
    sleeper = Sleeper(20)
    await run(publisher_of(made, sleeper, hours=12 / 3600))  # twelve seconds
    assert min(sleeper.slept) > 0
    assert max(sleeper.slept) == pytest.approx(6, abs=1)
    sleeper = Sleeper(3)
    await run(publisher_of(made, sleeper, hours=24))
    assert set(sleeper.slept) == {LONGEST_PAUSE_SECONDS}


async def test_what_cannot_be_signed_now_is_tried_again(made: Registry, caplog: pytest.LogCaptureFixture) -> None:
    away = made.folder / "away"
    (made.folder / "repository").rename(away)

    def mend(pauses: int) -> None:
        if pauses == 3:
            away.rename(made.folder / "repository")

    sleeper = Sleeper(5, mend)
    await run(publisher_of(made, sleeper))
    assert sleeper.slept[:3] == [AGAIN_SECONDS] * 3
    assert made.load(sleeper.now).expires - sleeper.now > timedelta(hours=23)
    assert [each.message for each in caplog.records] == ["cannot publish"] * 3


def test_nothing_that_is_written_lets_others_change_it(made: Registry) -> None:
    publisher_of(made).accept(signed_list(made, 2), NOW)
    written = [path for path in (made.folder / "repository").rglob("*") if path.is_file()]
    assert not any(stat.S_IMODE(path.stat().st_mode) & 0o022 for path in written)
