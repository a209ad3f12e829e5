"""A whole freeze by the command line alone, every step a process of its own, over two real nodes."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import envelope_pb2 as pb
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import orders_pb2 as orders

from clients.intake import Faulty, Item
from gateway.cli import inbox
from gateway.cli.home import Home
from tests import paperwork
from tests.federation import Federation, federation
from tests.processes import finished

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]  # two dozen processes

SECONDS = 60.0
INSTRUMENT = ("--instrument", "eu-2018-1805")
# Each stands in one document and nowhere else.
CONTENT = ("the-facts-of-it", "the-reasons-of-it", "the-basis-of-it", "a-remark-of-it", paperwork.wallet().address)


@dataclass
class Terminal:
    """Runs `rogatory` and remembers all that it ever printed."""

    fed: Federation
    folder: Path
    printed: list[str] = field(default_factory=list)

    async def run(self, *arguments: str | Path, secret: bool = True) -> tuple[int, Any]:
        status, out, err = await finished(*map(str, arguments), "--json")
        if secret:
            self.printed += [out, err]
        assert "Traceback" not in err, err
        return status, json.loads(out)

    def config(self, who: str) -> tuple[str, Path]:
        return "--config", self.fed.summary.config(who)

    async def send(self, who: str, *step: str | Path) -> Any:
        status, shown = await self.run("send", *step, *self.config(who))
        assert status == 0, shown
        assert shown["sender"] == who
        assert (shown["receipt"]["issuer"], shown["receipt"]["milestone"]) == (f"{who[:2]}/node", "accepted")
        return shown

    async def refused(self, who: str, *step: str | Path) -> tuple[int, str, str]:
        status, shown = await self.run("send", *step, *self.config(who))
        return status, shown["error"]["code"], shown["error"]["field"]

    async def receive(self, who: str, kind: str) -> Any:
        """Collect until an envelope of that kind is there; each time, `inbox` itself waits."""
        async with asyncio.timeout(SECONDS):
            while True:
                status, shown = await self.run("inbox", "--wait", "10", *self.config(who))
                assert (status, shown["rejected"]) == (0, []), shown
                for found in shown["unhandled"]:
                    if found["kind"] == kind:
                        return found

    def file(self, name: str, content: Message | dict[str, Any]) -> Path:
        path = self.folder / name
        value = content if isinstance(content, dict) else json_format.MessageToDict(content)
        path.write_text(json.dumps(value))
        return path


def request() -> certificates.FreezeRequest:
    offence = certificates.Offence(
        facts="the-facts-of-it",
        provisions="s 209",
        listed=[certificates.LISTED_OFFENCE_SWINDLING],
        maximum_sentence_months=60,
    )
    return paperwork.request(offence=offence)


def results() -> dict[str, Any]:
    report = paperwork.report()
    return {
        "results": [json_format.MessageToDict(each) for each in report.results],
        "transactions": [json_format.MessageToDict(each) for each in report.transactions],
        "remarks": "a-remark-of-it",
    }


async def test_whole_freeze_by_the_command_line_alone(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed") as fed:
        at = Terminal(fed, tmp_path)
        addressed = ("--to", "de/central-authority", "--via", "ee/central-authority", "--case", "EE-1", *INSTRUMENT)

        drafted = await at.send("ee/prosecutor", "draft", at.file("request.json", request()), *addressed)
        assert (drafted["kind"], drafted["recipient"]) == ("draft", "ee/central-authority")
        draft = await at.receive("ee/central-authority", "draft")
        assert (draft["id"], draft["sender"], draft["case_id"]) == (drafted["id"], "ee/prosecutor", "EE-1")
        signed = await at.send("ee/central-authority", "countersign", draft["id"][:13])
        assert (signed["kind"], signed["outcome"]) == ("countersignature", "granted")

        # One draft, one answer: a second is refused by the node, in signed words.
        again = await at.refused("ee/central-authority", "return", draft["id"], "--reason", "second thoughts")
        assert again == (2, "OUT_OF_ORDER", "cites[0]")
        # It is in no log then, and keeps nobody from proving the rest.
        status, proven = await at.run("case", "prove", "EE-1", *at.config("ee/central-authority"))
        assert (status, proven["proven"]) == (0, True)
        refused = [each["refused"] and each["index"] is None for each in proven["entries"] if each["receipt"] is None]
        assert sorted(refused) == [False, False, True]

        answered = await at.receive("ee/prosecutor", "countersignature")
        assert answered["cites"] == [{"sender": "ee/prosecutor", "id": drafted["id"]}]
        asked = await at.send("ee/prosecutor", "request", answered["id"])
        assert (asked["kind"], asked["recipient"]) == ("freeze-request", "de/central-authority")

        arrived = await at.receive("de/central-authority", "freeze-request")
        assert arrived["id"] == asked["id"]
        await at.send("de/central-authority", "referral", arrived["id"], "--court", "de/court", "--case", "DE-7")
        referral = await at.receive("de/court", "review-referral")
        judgment = at.file("decision.json", paperwork.decision(reasons="the-reasons-of-it"))
        decided = await at.send("de/court", "decision", referral["id"], judgment)
        assert (decided["case_id"], decided["outcome"]) == ("DE-7", "granted")
        decision = await at.receive("de/central-authority", "review-decision")
        order = at.file("order.json", paperwork.order(legal_basis="the-basis-of-it"))
        notified, ordered = await asyncio.gather(
            at.send("de/central-authority", "notify", arrived["id"], "--decision", decision["id"]),
            at.send("de/court", "order", decided["id"], order, "--exchange", "de/exchange", "--case", "AG-1"),
        )
        assert (notified["recipient"], notified["outcome"]) == ("ee/prosecutor", "granted")
        assert (ordered["recipient"], ordered["case_id"]) == ("de/exchange", "AG-1")

        received = await at.receive("de/exchange", "domestic-order")
        reported = await at.send("de/exchange", "report", received["id"], at.file("results.json", results()))
        assert (reported["recipient"], reported["outcome"]) == ("de/court", "granted")
        report = await at.receive("de/court", "execution-report")
        await at.send("de/court", "forward", decided["id"], "--report", report["id"])
        from_court = await at.receive("de/central-authority", "execution-report")
        final = await at.send("de/central-authority", "answer", arrived["id"], "--report", from_court["id"])
        assert (final["kind"], final["recipient"], final["outcome"]) == ("execution-report", "ee/prosecutor", "granted")

        outcome = await at.receive("ee/prosecutor", "execution-report")
        assert outcome["cites"] == [{"sender": "ee/prosecutor", "id": asked["id"]}]
        status, traced = await at.run("trace", asked["id"], *at.config("ee/operator"))
        (story,) = traced["envelopes"]
        assert (status, story["situation"]) == (0, "executed and reported; ee/prosecutor acts next")
        assert not [receipt for receipt in story["receipts"] if not receipt["verified"]]

        for text in at.printed:
            assert [each for each in CONTENT if each in text] == []
        status, shown = await at.run("inbox", "--open", outcome["id"], *at.config("ee/prosecutor"), secret=False)
        assert (status, shown["id"], shown["signers"]) == (0, outcome["id"], ["de/central-authority"])
        told = json_format.ParseDict(shown["document"], orders.ExecutionReport())
        assert told == paperwork.report()


async def test_inbox_that_waits_takes_what_comes_settles_it_and_says_why_it_was_rejected(tmp_path: Path) -> None:
    async with federation(tmp_path / "fed", start=["ee"]) as fed:
        at = Home(fed.summary.config("ee/central-authority"))
        assert await inbox.collect(at, wait=0.2, within=SECONDS) == []
        at = Home(fed.summary.config("ee/central-authority"))
        on_the_line, collect = asyncio.Event(), at.participant.collect

        def listening() -> AsyncGenerator[Item, None]:
            on_the_line.set()
            return collect()

        at.participant.collect = listening  # type: ignore[method-assign,assignment]  # to know when it listens
        waiting = asyncio.create_task(inbox.collect(at, wait=SECONDS, within=SECONDS))
        async with asyncio.timeout(SECONDS):
            await on_the_line.wait()
            prosecutor = fed.actor("ee/prosecutor")
            await prosecutor.submit(
                prosecutor.compose(
                    ids.KIND_DRAFT, "ee/central-authority", b"no draft", measures=(ids.MEASURE_BLOCK_WITHDRAWAL,)
                )
            )
            (faulty,) = await waiting
        assert isinstance(faulty, Faulty)
        # What is acknowledged before the line is left is heard at once.
        said = [prosecutor.said(item) for item in await prosecutor.collect(2)]
        assert {each.milestone for each in said} == {pb.MILESTONE_DELIVERED, pb.MILESTONE_REJECTED}
        status, shown = await Terminal(fed, tmp_path).run(
            "inbox", "--no-collect", "--config", fed.summary.config("ee/central-authority")
        )
        (rejected,) = shown["rejected"]
        assert (status, shown["unhandled"], shown["receipts"]) == (0, [], [])
        assert (rejected["kind"], rejected["sender"], rejected["code"]) == (
            "draft",
            "ee/prosecutor",
            "CONTENT_MISMATCH",
        )


REFUSED: dict[str, tuple[str, Sequence[str], tuple[str, str]]] = {
    "an exchange starts a case": ("de/exchange", ["draft"], ("NOT_PERMITTED", "")),
    "a field that the request has not": ("ee/prosecutor", ["draft"], ("BAD_INPUT", "offence.amnesty")),
}


@pytest.mark.parametrize(("who", "step", "wanted"), REFUSED.values(), ids=REFUSED)
async def test_refused_step_shows_its_code_and_nothing_reaches_the_node(
    tmp_path: Path, who: str, step: Sequence[str], wanted: tuple[str, str]
) -> None:
    async with federation(tmp_path / "fed", start=()) as fed:
        at = Terminal(fed, tmp_path)
        value = json_format.MessageToDict(request())
        value["offence"]["amnesty"] = "the-facts-of-it"
        addressed = ("--to", "de/central-authority", "--via", "ee/central-authority", "--case", "EE-1", *INSTRUMENT)
        assert await at.refused(who, *step, at.file("request.json", value), *addressed) == (2, *wanted)
        assert "the-facts-of-it" not in "".join(at.printed)
        home = fed.summary.config(who).parent / "home"
        assert [*(home / "sent").iterdir(), *(home / "drafts").iterdir()] == []
