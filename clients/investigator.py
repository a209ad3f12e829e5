"""An investigator: asks another State for help, with its own central authority's countersignature.

In: documents, and what came. Out: drafts of what must be countersigned, and composed envelopes of the rest; see
`clients.actor` for what is refused.
"""

from datetime import datetime
from typing import ClassVar

from rogatory.v1 import assistance_pb2 as assistance
from rogatory.v1 import certificates_pb2 as certificates
from rogatory.v1 import followups_pb2 as followups
from rogatory.v1 import identifiers_pb2 as ids
from rogatory.v1 import notices_pb2 as notices

from clients.actor import Cited, DataClasses, Informant, Measures, Urgency
from clients.drafting import Author, Drafted
from clients.intake import Received
from gateway.envelope import Composed
from gateway.identity import Role


class Investigator(Author, Informant):
    """Asks another State, and goes on with what was asked.

    Of every draft: `to` is the central authority abroad, `via` our own, which countersigns; `case_id` is our reference,
    which goes abroad; `instrument` is the directory's id of the treaty or law relied on; `expires_at` is when it loses
    its meaning undelivered. What goes on from a request of ours goes to whoever has that, in its case.
    """

    role: ClassVar[Role] = Role.INVESTIGATOR

    def draft_freeze(
        self,
        request: certificates.FreezeRequest,
        *,
        to: str,
        via: str,
        case_id: str,
        instrument: str,
        measures: Measures,
        data_classes: DataClasses = (),
        cites: Cited | None = None,
        expires_at: datetime | None = None,
    ) -> Drafted:
        """Draft a request to freeze (2018/1805 Art. 4(1)).

        Args:
            request: what is asked; its measures and data classes are set to those given here, and it is urgent if its
                section B says so.
            to: address of the foreign central authority.
            via: address of the own central authority, which countersigns.
            case_id: our reference, which goes abroad.
            instrument: id in the directory of the treaty or law relied on.
            measures: what is asked for, one at least.
            data_classes: records asked for.
            cites: a request of ours that was forwarded to this authority, and is made anew.
            expires_at: when the request loses its meaning undelivered.

        Raises:
            Refusal: NOT_PERMITTED, an addressee is not such an authority; NO_LEGAL_BASIS; OUT_OF_ORDER, no measure;
                CONTENT_MISMATCH.
        """
        asked = certificates.FreezeRequest()
        asked.CopyFrom(request)
        asked.measures[:] = measures
        asked.data_classes[:] = data_classes
        return self._draft(
            ids.KIND_FREEZE_REQUEST,
            asked,
            via,
            cites,
            to=to,
            case_id=case_id,
            instrument=instrument,
            expires_at=expires_at,
        )

    def draft_confiscation(
        self,
        request: certificates.ConfiscationRequest,
        *,
        to: str,
        via: str,
        case_id: str,
        instrument: str,
        cites: Cited | None = None,
        expires_at: datetime | None = None,
    ) -> Drafted:
        """Draft a request to confiscate (2018/1805 Art. 14(1), 16).

        `cites`: our freeze at the same authority, or our first request to confiscate on the same order elsewhere.
        """
        return self._draft(
            ids.KIND_CONFISCATION_REQUEST,
            request,
            via,
            cites,
            to=to,
            case_id=case_id,
            instrument=instrument,
            urgency=ids.URGENCY_ORDINARY,
            expires_at=expires_at,
        )

    def draft_evidence(
        self,
        request: assistance.EvidenceRequest,
        *,
        to: str,
        via: str,
        case_id: str,
        instrument: str,
        cites: Cited | None = None,
        expires_at: datetime | None = None,
    ) -> Drafted:
        """Draft a request for evidence (UNCAC Art. 46(15)); it is urgent if it says why.

        `cites`: as in `draft_freeze`.
        """
        return self._draft(
            ids.KIND_EVIDENCE_REQUEST,
            request,
            via,
            cites,
            to=to,
            case_id=case_id,
            instrument=instrument,
            expires_at=expires_at,
        )

    def ask_in_emergency(
        self,
        request: assistance.EvidenceRequest,
        *,
        to: str,
        case_id: str,
        instrument: str,
        cites: Cited | None = None,
        expires_at: datetime | None = None,
    ) -> Composed:
        """Ask for identities without a countersignature; validated within 48 hours (2023/1543 Art. 4(5)).

        `cites`: as in `draft_freeze`.

        Raises:
            Refusal: NOT_COUNTERSIGNED, its document names no threat; EXCEEDS_GRANT, it asks for more than who somebody
                is.
        """
        return self._compose(
            ids.KIND_EVIDENCE_REQUEST,
            request,
            cites,
            to=to,
            case_id=case_id,
            instrument=instrument,
            expires_at=expires_at,
        )

    def draft_takedown(
        self,
        notice: assistance.TakedownNotice,
        *,
        to: str,
        via: str,
        case_id: str,
        instrument: str,
        urgency: Urgency = ids.URGENCY_ORDINARY,
        cites: Cited | None = None,
        expires_at: datetime | None = None,
    ) -> Drafted:
        """Draft a request to take content down (2022/2065 Art. 9).

        `cites`: as in `draft_freeze`.
        """
        return self._draft(
            ids.KIND_TAKEDOWN_NOTICE,
            notice,
            via,
            cites,
            to=to,
            case_id=case_id,
            instrument=instrument,
            urgency=urgency,
            expires_at=expires_at,
        )

    def draft_restitution(self, freeze: Cited, decision: followups.RestitutionDecision, *, via: str) -> Drafted:
        """Draft a decision to give back what is frozen or confiscated on a request of ours (2018/1805 Art. 29(1))."""
        return self._draft(ids.KIND_RESTITUTION_DECISION, decision, via, freeze, urgency=ids.URGENCY_ORDINARY)

    def draft_enforcement(self, evidence: Cited, notice: notices.Notice, *, via: str) -> Drafted:
        """Draft a request to enforce a request for evidence of ours (2023/1543 Art. 16(1))."""
        return self._draft(ids.KIND_ENFORCEMENT_REQUEST, notice, via, evidence)

    def draft_extension(self, freeze: Cited, extension: followups.Extension, *, via: str) -> Drafted:
        """Draft an extension of a request of ours (2018/1805 Art. 12(1))."""
        return self._draft(ids.KIND_EXTENSION, extension, via, freeze)

    def draft_validation(self, evidence: Cited, notice: notices.Notice, *, via: str) -> Drafted:
        """Draft the validation of what was asked in an emergency (2023/1543 Art. 4(5))."""
        return self._draft(ids.KIND_VALIDATION, notice, via, evidence)

    def answer_limitation(self, asked: Received, answer: notices.Notice) -> Composed:
        """Agree to a limitation of our freeze, or not (2018/1805 Art. 12(2))."""
        return self._compose(ids.KIND_LIMITATION_ANSWER, answer, asked)

    def dispute_priority(self, decision: Received, notice: notices.Notice) -> Composed:
        """Disagree that another order goes first (2018/1805 Art. 26(1))."""
        return self._compose(ids.KIND_PRIORITY_DISPUTE, notice, decision)

    def withdraw(self, request: Cited, withdrawal: followups.Withdrawal) -> Composed:
        """Withdraw a request (2018/1805 Art. 27)."""
        return self._compose(ids.KIND_WITHDRAWAL, withdrawal, request)

    def close(self, request: Cited, notice: notices.Notice) -> Composed:
        """Say that a request of ours is at its end."""
        return self._compose(ids.KIND_CLOSURE, notice, request)
