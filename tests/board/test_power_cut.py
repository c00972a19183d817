"""The power of a board is cut while its agent spools: what it has promised arrives."""
import random
import re

import witness
from gavel_env import until
from outage import away, check_all, names, serve_hours, slow_down

BOOT_S, DRAIN_S, SEED = 300, 120, 20140701
RECORDS, BYTES_PER_S = 10_000, 35_000


def promised(said):
    return set(re.findall(r'msg="snapshot spooled" snapshot=(\S+) ', said))


def cut_within(world, board, hour, draw):
    """Shows the hour, and cuts the power when the disk has got some of it. What was said until then."""
    slow_down(world, BYTES_PER_S)
    transfers = world.api.state()["counts"]["status_200"]
    world.api.control(hour=hour)
    world.api.wait_until(lambda s: s["transfers"] and s["counts"]["status_200"] > transfers, BOOT_S)
    before = board.written()
    aim = before + draw.randint(1, 200_000)
    until(lambda: board.written() >= aim, "the disk gets some of the snapshot")
    assert world.api.state()["transfers"], "it was cut within the body"
    said = board.cut()
    print("hour %d: cut when the disk had taken in %d KiB, %d of it in this hour" % (
        hour, board.written() >> 10, board.written() - before >> 10))
    world.api.control(faults=[])
    return said


def test_what_a_board_has_promised_survives_power_cuts_while_it_spools(world, board, cuts):
    hours = serve_hours(world, RECORDS, cuts + 1)
    draw, safe = random.Random(SEED), set()
    with away(world.services, "kafka"):
        board.start()
        board.wait_spooled(hours[0])
        for hour in range(1, cuts + 1):
            safe |= promised(cut_within(world, board, hour, draw))
            # The API shows no hour but this one: the earlier ones are on the disk or nowhere.
            assert names(sum(hours[:hour], [])) <= safe and not names(hours[hour]) & safe
            board.start()
            board.wait_spooled(hours[hour])
    until(lambda: witness.ledger_entries(world).keys() >= names(sum(hours, [])), "all of it arrives", DRAIN_S, 1)
    board.cut()
    world.load()
    check_all(world, sum(hours, []), resent=True)
