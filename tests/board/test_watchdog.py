"""A board whose systemd has crashed is started again by its watchdog: what it has promised arrives."""
import pytest

import witness
from board import MACHINE
from gavel_env import until
from outage import away, check_all, names, serve_hours

RESET_S, DRAIN_S = 180, 120
RECORDS = 3000


@pytest.mark.skipif(MACHINE != "virt", reason="qemu's Pi has no watchdog that waits")
def test_a_board_that_hangs_starts_again_by_itself_and_delivers_what_it_has_promised(world, board):
    hours = serve_hours(world, RECORDS, 1)
    board.use_watchdog()
    with away(world.services, "kafka"):
        board.start()
        board.wait_spooled(hours[0])
        board.hang()
        board.wait_reset(RESET_S)
        # What the board is started with after a reset; the API shows it nothing new.
        board.start()
        board.wait_said(r'msg=started')
    until(lambda: witness.ledger_entries(world).keys() >= names(hours[0]), "all of it arrives", DRAIN_S, 1)
    board.cut()
    assert "snapshot spooled" not in board.program.log(), "it was not fetched again"
    world.load()
    check_all(world, hours[0], resent=True)
