"""The participant's library: what an authority or an exchange uses to reach its own node.

It seals and signs, hands in, collects, opens, answers with signed statements, and keeps everything on its own disk. It
uses the words of the gateway (envelope, statement, directory) and no stage of a node's path.

    from clients.central_authority import CentralAuthority
    from clients.participant import Participant
    from gateway import material

    async with Participant.of(material.load_participant(Path("central-authority.toml"))) as participant:
        await participant.collect_available()
        for received in participant.unhandled():
            if received.header.kind == ids.KIND_DRAFT:
                answer = CentralAuthority(participant).countersign(received)
                await participant.submit(answer.envelope)
                participant.done(received)
"""
