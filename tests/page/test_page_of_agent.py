"""The page that a real agent serves, while it works, loses its broker, gets it back, takes a bad update and ends."""
import re

from playwright.sync_api import expect

from outage import away
from owner import Folder, Owner
from test_status import Page, names
from test_updates import config_of

LATER_MS = 40000  # the page asks each ten seconds, and a browser beside servers is slow


def tile(page, title):
    return page.locator(".tile", has=page.get_by_role("heading", name=title, exact=True))


def test_outage_is_seen_from_begin_to_end(world, services, reader):
    world.serve("--generate", "eu-604:20k")
    site = Page(world, device_id="attic", api={"stale_after_ms": 0}, spool={"after_ms": 500})
    agent, who = world.agent(), reader()
    site.until(lambda s: s["feeds"][0]["records"] and s["broker"]["up"], "a snapshot is through")
    page = who.open_now(site.url)
    expect(tile(page, "Kafka")).to_contain_text("answers")
    expect(tile(page, "Schema Registry")).to_contain_text("All schema ids known.")
    expect(page.get_by_role("row", name="EU realm 604")).to_contain_text("on time")
    expect(page).to_have_title(re.compile("(ok|attention) \u2013 attic \u2013 Gavel"))
    who.picture("agent-healthy-desktop-light")
    with away(services, "kafka"):
        world.api.control(hour=1)
        site.until(lambda s: "broker_away" in names(s) and s["spool"]["records"], "the next one is spooled")
        expect(page.get_by_role("heading", name=re.compile("^Outage for .*: nothing gets to Kafka"))).to_be_visible(timeout=LATER_MS)
        expect(page).to_have_title("\u25cf outage \u2013 attic \u2013 Gavel")
        expect(page.get_by_role("status")).to_contain_text("Outage for")
        expect(tile(page, "Waiting on the disk")).to_contain_text("records")
        expect(page.locator("#story")).to_contain_text("kept on the disk")
        who.picture("agent-outage-desktop-light")
        who.resize("phone")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        who.picture("agent-outage-phone-light")
    site.until(lambda s: s["broker"]["up"] and not s["spool"]["records"] and "broker_away" not in names(s),
               "what waited is through")
    expect(tile(page, "Waiting on the disk")).to_contain_text("nothing", timeout=LATER_MS)
    expect(tile(page, "Kafka")).to_contain_text("answers")
    expect(page).to_have_title(re.compile("(ok|attention) \u2013 attic \u2013 Gavel"))
    who.may_fail = True
    assert agent.stop() == 0
    expect(page.get_by_role("heading", name="The agent does not answer.")).to_be_visible(timeout=LATER_MS)


def test_update_that_breaks_the_board_is_seen_with_its_reason(world, reader):
    world.serve("--generate", "eu-604:5k")
    owner, folder = Owner(), Folder()
    try:
        site = Page(world, device_id="attic", ota={"url": folder.url, "keys": [owner.key], "poll_ms": 1000, "trial_ms": 3000})
        agent, who = world.agent(), reader()
        config = config_of(world, api={"stale_after_ms": 0})
        folder.put(owner.sign(2, config))
        site.until(lambda s: s["update"]["version"] == 2 and s["update"]["attempted"]["outcome"] == "committed", "version 2 works")
        page = who.open_now(site.url)
        part = page.get_by_role("region", name="Configuration", exact=True)
        expect(part).to_contain_text("Version 2 was taken.")
        folder.put(owner.sign(3, {**config, "kafka": {**config["kafka"], "brokers": "127.0.0.1:1"}}))
        site.until(lambda s: s["update"]["attempted"]["version"] == 3 and s["update"]["attempted"]["outcome"] != "trial" and
                   s["broker"]["up"], "version 3 is taken back")
        expect(part).to_contain_text(re.compile("Version 3 (was refused|did not work)"), timeout=LATER_MS)
        expect(part).to_contain_text("The broker did not answer")
        expect(part).to_contain_text("version 2")
        expect(page).to_have_title("\u25b2 attention \u2013 attic \u2013 Gavel", timeout=LATER_MS)
        who.picture("agent-update-failed-desktop-light")
        assert agent.stop() == 0
    finally:
        folder.close()
