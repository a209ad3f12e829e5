"""An ombudsperson: hears that something happened and when, never what, and answers.

In: complaints. Out: composed answers; see `clients.actor` for what is refused.
"""

from typing import ClassVar

from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices

from clients.actor import Actor
from clients.intake import Received
from gateway.envelope import Composed
from gateway.identity import Role


class Ombudsperson(Actor):
    """Answers whoever complains."""

    role: ClassVar[Role] = Role.OMBUDSPERSON

    def answer(self, grievance: Received, answer: notices.Notice) -> Composed:
        """Answer a complaint."""
        return self._compose(ids.KIND_GRIEVANCE_ANSWER, answer, grievance)
