"""The Registry door: participants renew what they have; registrars invite, decide and revoke.

Over mutual TLS like all else, so whoever is out renews nothing. What each may do is the registry's own rule.
"""

from rogatory.v1 import enrolment_pb2 as pb
from rogatory.v1.enrolment_pb2_grpc import RegistryServicer

from gateway import codec
from gateway.authenticate import Peer
from gateway.doors.entrance import Context, Entrance
from gateway.identity import Role
from gateway.quota import Cost
from gateway.registry.desk import not_a_registrar
from gateway.registry.office import Office


class RegistryDoor(RegistryServicer):
    """Serves the participants of one node."""

    def __init__(self, entrance: Entrance, office: Office) -> None:
        self._entrance = entrance
        self._office = office

    async def GetProofKey(self, request: pb.GetProofKeyRequest, context: Context) -> pb.GetProofKeyResponse:
        """Tell to which key sealing keys are proven."""
        async with self._entrance.call(context) as call:
            codec.check(request)
            self._charge(call.peer)
            return pb.GetProofKeyResponse(proof_key=self._office.proof_key)

    async def Renew(self, request: pb.RenewRequest, context: Context) -> pb.RenewResponse:
        """Renew keys and certificate."""
        async with self._entrance.call(context) as call:
            self._charge(call.peer)
            codec.check(request)
            return await self._office.renew(call.peer, request)

    async def Invite(self, request: pb.InviteRequest, context: Context) -> pb.InviteResponse:
        """Make a one-time code."""
        async with self._entrance.call(context) as call:
            self._registrar(call.peer)
            codec.check(request)
            return await self._office.invite(call.peer, request)

    async def ListApplications(
        self, request: pb.ListApplicationsRequest, context: Context
    ) -> pb.ListApplicationsResponse:
        """Show applications."""
        async with self._entrance.call(context) as call:
            self._registrar(call.peer)
            return await self._office.applications(call.peer, request)

    async def Decide(self, request: pb.DecideRequest, context: Context) -> pb.DecideResponse:
        """Take a decision."""
        async with self._entrance.call(context) as call:
            self._registrar(call.peer)
            codec.check(request)
            return await self._office.decide(call.peer, request)

    async def Revoke(self, request: pb.RevokeRequest, context: Context) -> pb.RevokeResponse:
        """Put somebody or something out."""
        async with self._entrance.call(context) as call:
            self._registrar(call.peer)
            codec.check(request)
            return await self._office.revoke(call.peer, request)

    def _registrar(self, peer: Peer) -> None:
        """Let nobody else near, whatever it says; the office asks again, of the list that it changes."""
        if Role.REGISTRAR not in peer.roles:
            raise not_a_registrar(peer.node)
        self._charge(peer)

    def _charge(self, peer: Peer) -> None:
        self._entrance.quotas.charge(peer.address, Cost(queries=1))
