"""What an ombudsperson is told of a matter is read as it comes, whatever the node says."""

from pathlib import Path

import pytest
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import trace_pb2 as trace

from clients.happenings import happenings
from clients.participant import Parts
from gateway.errors import ErrorCode, Refusal
from gateway.identity import Address
from gateway.transport import TlsIdentity
from tests import world
from tests.unit.test_cli_registrar import Detached, FakeChannel


async def test_node_that_names_a_time_that_no_calendar_has_is_refused(tmp_path: Path) -> None:
    line = FakeChannel()
    one = trace.Happening(at_us=1 << 62)
    line.answers["GetHappenings"] = trace.GetHappeningsResponse(envelopes=[trace.Happenings(happenings=[one])])
    tls = TlsIdentity(b"", b"")
    parts = Parts(directory=world.DIRECTORY, address=Address.parse("ee/ombudsperson"), tls=tls, home=tmp_path)
    with pytest.raises(Refusal) as caught:
        await happenings(Detached(parts, line), ids.EnvelopeRef())
    assert caught.value.code is ErrorCode.MALFORMED
