"""The agent as it is built for each board, on an emulated processor of it, with real servers and the sink on
this machine. What it leaves on the disk is the emulated program's own: 32-bit and 64-bit boards spool it,
are killed, and find it again."""
import witness
from outage import (COMMODITIES, EU, away, check_all, check_order, segments, serve_hours, show,
                    wait_drained)
from test_end_to_end import FIRST_HOUR, adversarial_body


def test_a_board_delivers_every_row_of_a_body_full_of_traps(world, target):
    body, _ = adversarial_body()
    snapshot = witness.Snapshot(body, FIRST_HOUR)
    assert snapshot.rejects
    world.serve_body(body)
    world.once()
    world.load()
    check_all(world, [snapshot])
    witness.check_rejects_topic(world, [snapshot])
    witness.check_rejects_collection(world, [snapshot])
    assert "snapshots=0 not_modified=1" in world.once(), "it finds its cursor again"


def test_what_a_board_spools_in_an_outage_arrives_once_though_it_is_killed(world, target, progress):
    # So patient that a slow emulator does not look like an outage: all of it is counted here.
    hours = serve_hours(world, 600, 4, EU, COMMODITIES, after_ms=5000)
    agent = world.agent()
    show(world, agent, hours[0], "forwarded")
    with away(world.services, "kafka"):
        show(world, agent, hours[1], "spooled", 1)
        agent.kill()
        left = segments(world)
        assert left
        agent = world.agent()
        show(world, agent, hours[2], "spooled", 2)
        assert len(segments(world)) > len(left)
    wait_drained(world, agent)
    show(world, agent, hours[3], "forwarded", 3)
    assert agent.stop() == 0
    world.load()
    check_all(world, sum(hours, []))
    check_order(world)
    sent = sum(len(snapshot.records) for snapshot in sum(hours, []))
    assert progress.sent() == sent, "nothing was sent twice"
