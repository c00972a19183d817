"""What a person must be able to see on the status page, on any screen and by any means.

Clocks stand still but for what a test moves them; the browser is real, the agent is a stand-in.
"""
import copy
import datetime
import re
import threading

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from page_server import sample
from reader import SIZES

STATES = {"healthy": ("All is well.", "\u2713 ok \u2013 attic \u2013 Gavel"),
          "outage": ("Outage for 5 h: nothing gets to Kafka.", "\u25cf outage \u2013 attic \u2013 Gavel"),
          "update-failed": ("Working, but one thing needs attention.", "\u25b2 attention \u2013 attic \u2013 Gavel")}
LOOKS = [(size, scheme) for size in SIZES for scheme in ("light", "dark")]
TEN_SECONDS = 10000


def many(count):
    status = sample("healthy")
    one = status["feeds"][1]
    status["feeds"] = [{**one, "name": "eu/%d/0" % realm, "realm": realm, "snapshot_age_s": 100 + realm}
                       for realm in range(1, count + 1)]
    return status


def row_names(page):
    return page.locator("#feeds tbody tr td:first-child").all_inner_texts()


def section(page, heading):
    return page.get_by_role("region", name=heading, exact=True)


def next_look(page, agent):
    """Time goes on until the page has asked again."""
    before = agent.asked
    page.clock.run_for(TEN_SECONDS)
    agent.wait_asked(before)


def picture_contrast(page):
    """The least of all texts in the chart against the card below it, as WCAG defines contrast."""
    def light(colour):
        parts = [int(each) / 255 for each in re.findall(r"\d+", colour)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear))
    below, *texts = page.evaluate("""() => [getComputedStyle(document.querySelector(".columns .card")).backgroundColor,
        ...[...document.querySelectorAll("#chart text")].map(e => getComputedStyle(e).fill)]""")
    assert len(texts) >= 4
    pairs = [sorted((light(below), light(each))) for each in texts]
    return min((high + 0.05) / (low + 0.05) for low, high in pairs)


@pytest.mark.parametrize("name", STATES)
def test_state_is_told_at_once(agent, reader, name):
    agent.status = sample(name)
    page = reader().open(agent.url)
    headline, title = STATES[name]
    expect(page.get_by_role("heading", name=headline)).to_be_in_viewport()
    expect(page).to_have_title(title)


@pytest.mark.parametrize("size,scheme", LOOKS)
@pytest.mark.parametrize("name", STATES)
def test_fits_and_is_accessible_on_every_screen(agent, reader, name, size, scheme):
    agent.status = sample(name)
    who = reader(size, scheme)
    page = who.open(agent.url, timers=True)
    expect(page.get_by_role("heading", name=STATES[name][0])).to_be_visible()
    page.get_by_text("Day by day, as a table").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    result = Axe().run(page, options={"resultTypes": ["violations", "incomplete", "passes"]}).response
    assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in result["violations"]] == []
    # It has looked at contrast, and could tell it everywhere but in the picture, which is looked at here.
    contrast = {kind: [n for rule in result[kind] if rule["id"] == "color-contrast" for n in rule["nodes"]]
                for kind in ("passes", "incomplete")}
    assert len(contrast["passes"]) > 40
    assert [n["html"] for n in contrast["incomplete"] if not n["html"].startswith("<text")] == []
    assert picture_contrast(page) >= 4.5
    page.get_by_text("Day by day, as a table").click()
    page.mouse.move(0, 0)
    who.picture("%s-%s-%s" % (name, size, scheme))


def test_outage_says_what_to_do_and_how_long_there_is_room(agent, reader):
    agent.status = sample("outage")
    page = reader().open(agent.url)
    expect(page.get_by_role("listitem").filter(has_text="Nothing gets to Kafka: no broker answers at")).to_contain_text(
        "What to do: see whether the broker runs")
    expect(page.locator("#story")).to_have_text(
        "1.71 million records are kept on the disk; at this rate there is room for 44 min more.")
    expect(page.locator(".tile", has_text="Kafka")).to_contain_text("away")
    expect(page.locator(".tile", has_text="Waiting on the disk")).to_contain_text("447 MiB of 512 MiB (87 %), oldest 5 h 16 min")
    expect(section(page, "Recent warnings").get_by_role("listitem").first).to_contain_text("5 times")
    expect(section(page, "Board")).to_contain_text("too low")


def test_room_is_not_foretold_when_there_is_no_rate_to_speak_of(agent, reader):
    agent.status = sample("outage")
    agent.status["conditions"][0]["since_s"] = 60
    page = reader().open(agent.url)
    expect(page.locator("#story")).to_have_text("1.71 million records are kept on the disk.")


def test_failed_update_is_told_with_its_reason(agent, reader):
    agent.status = sample("update-failed")
    config = section(reader().open(agent.url), "Configuration")
    expect(config).to_contain_text("Version 8 was refused.")
    expect(config).to_contain_text("signed by a key that this board does not know")
    expect(config).to_contain_text("7 min ago, 01:53")
    expect(config).to_contain_text("version 7")
    expect(config).to_contain_text("2 unknown key")


def test_times_are_the_readers_and_exact_on_demand(agent, reader):
    agent.status = sample("healthy")
    page = reader().open(agent.url)
    expect(page.locator("#fresh time")).to_have_text("02:00:00")
    expect(page.get_by_role("cell", name="12 min ago").locator("time")).to_have_attribute("title", "2026-11-27T00:47:35Z")


def test_figures_are_for_people(agent, reader):
    agent.status = sample("healthy")
    page = reader().open(agent.url)
    expect(page.locator(".tile", has_text="Kafka")).to_contain_text("24.1 million records acknowledged")
    memory = section(page, "Memory and disk")
    expect(memory).to_contain_text("9.42 MiB of 12 MiB memory")
    expect(memory).to_contain_text("more than 100 years")
    expect(memory.get_by_role("meter", name="Memory")).to_have_attribute("aria-valuenow", "78")


def test_worst_feeds_come_first_and_can_be_sorted_and_filtered_by_keyboard(agent, reader):
    agent.status = sample("outage")
    page = reader().open(agent.url)
    expect(page.locator("#feeds tbody tr").first).to_contain_text("EU realm 1084")
    expect(page.locator("#feeds tbody tr").first).to_contain_text("HTTP 503: the API is in trouble.")
    page.get_by_role("button", name="Records").focus()
    page.keyboard.press("Enter")
    assert row_names(page)[0] == "EU commodities"
    expect(page.get_by_role("columnheader", name="Records")).to_have_attribute("aria-sort", "ascending")
    page.keyboard.press("Enter")
    assert row_names(page)[-1] == "EU commodities"
    page.get_by_role("searchbox", name="Filter the feeds").fill("horde")
    assert row_names(page) == ["EU realm 4440 Horde"]
    expect(page.locator("#shown")).to_have_text("1 of 6 feeds")
    page.get_by_role("searchbox").fill("eu/1084/0")
    assert row_names(page) == ["EU realm 1084"]
    page.get_by_role("searchbox").fill("no such")
    expect(page.locator("#shown")).to_have_text("None of 6 feeds is like this.")


def test_everything_can_be_reached_by_keyboard_and_focus_is_seen(agent, reader):
    agent.status = sample("healthy")
    page = reader().open(agent.url)
    expect(page.get_by_role("heading", name="All is well.")).to_be_visible()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("""() => { const e = document.activeElement, s = getComputedStyle(e);
            return [e.id || e.textContent, s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2]; }"""))
    names = [name for name, _ in reached]
    assert names[:10] == ["at", "Day by day, as a table", "filter", "Feed", "Snapshot", "Records", "Next", "State",
                          "status.json", "metrics"]
    assert all(seen for _, seen in reached[:10])


def test_chart_has_words_for_those_who_cannot_see_it(agent, reader):
    agent.status = sample("outage")
    page = reader().open(agent.url)
    chart = page.get_by_role("img", name="at most 59 MiB waited on the disk")
    expect(chart).to_be_visible()
    slider = page.get_by_role("slider", name="Moment in the chart")
    last = slider.get_attribute("aria-valuetext")
    assert "1.82 million waiting (59 MiB)" in last.replace("\u00a0", " ")
    slider.focus()
    page.keyboard.press("Home")
    assert "none waiting" in slider.get_attribute("aria-valuetext")
    expect(page.locator("#readout")).to_have_text(slider.get_attribute("aria-valuetext"))
    page.get_by_text("Day by day, as a table").click()
    days = page.locator("#days tbody tr")
    assert days.count() == 4
    expect(days.first).to_contain_text("1.82 million (59 MiB)")
    status = sample("outage")
    assert sum(status["history"]["records"]) > 0
    status["history"] = {"step_s": 900, "at": [], "records": [], "spool_records": [], "spool_bytes": [], "resident_bytes": []}
    agent.status = status
    next_look(page, agent)
    expect(page.get_by_text("Nothing to draw yet")).to_be_visible()
    expect(chart).to_be_hidden()


def test_chart_of_the_first_quarter_of_an_hour_is_a_day_wide(agent, reader):
    agent.status = sample("outage")
    agent.status["history"] = {key: value if key == "step_s" else value[-1:] for key, value in agent.status["history"].items()}
    page = reader().open(agent.url)
    chart, bar = (page.locator(each).bounding_box() for each in ("#chart", "#chart .b"))
    assert 0 < bar["width"] < chart["width"] / 24


def test_pointer_in_the_chart_shows_what_was(agent, reader):
    agent.status = sample("outage")
    page = reader().open(agent.url)
    expect(page.locator("#rest")).to_be_visible()
    page.evaluate("document.getElementById('at').scrollIntoView({ block: 'end' })")
    chart = page.locator("#chart").bounding_box()
    page.mouse.move(chart["x"] + 1, chart["y"] + 60)
    expect(page.locator("#readout")).to_contain_text("Tue 24 Nov, 02:00: {:,} records forwarded in 30 min, none waiting".format(agent.status["history"]["records"][0]))


def test_changes_are_spoken_and_nothing_else_is(agent, reader):
    agent.status = sample("healthy")
    page = reader().open(agent.url)
    spoken = page.get_by_role("status")
    expect(page.get_by_role("heading", name="All is well.")).to_be_visible()
    agent.status["uptime_s"] = 5 * 86400
    next_look(page, agent)
    expect(page.get_by_text("running for 5 days")).to_be_visible()
    expect(spoken).to_have_text("")
    agent.status = sample("outage")
    next_look(page, agent)
    expect(spoken).to_contain_text("Outage for 5 h: nothing gets to Kafka.")
    assert page.locator("[aria-live], [role=status], [role=alert], [role=log]").count() == 1


def test_an_agent_that_does_not_answer_is_told_with_since_when(agent, reader):
    agent.status = sample("healthy")
    who = reader()
    page = who.open(agent.url)
    expect(page.get_by_role("heading", name="All is well.")).to_be_visible()
    who.may_fail = True
    agent.status = None
    next_look(page, agent)
    expect(page.get_by_role("heading", name="The agent does not answer.")).to_be_visible()
    expect(page).to_have_title("\u25cb no answer \u2013 attic \u2013 Gavel")
    expect(page.locator("#story")).to_contain_text("Since 02:00:10 (0 s): no connection.")
    expect(page.locator("#story")).to_contain_text("What is below was seen at 02:00:00.")
    expect(page.get_by_role("heading", name="All is well.")).to_have_count(0)
    next_look(page, agent)
    expect(page.locator("#story")).to_contain_text("Since 02:00:10 (10 s)")
    expect(page.get_by_role("status")).to_have_text("The agent does not answer.")
    for code, body, words in ((503, b"busy", "it answered with status 503"), (200, b'{"gavel":', "its answer was cut short")):
        agent.code, agent.status = code, body
        next_look(page, agent)
        expect(page.locator("#story")).to_contain_text(words)
    who.picture("no-answer-desktop-light")
    agent.code, agent.status = 200, sample("healthy")
    next_look(page, agent)
    expect(page.get_by_role("heading", name="All is well.")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("All is well.")


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(agent, reader):
    agent.status, agent.delay = sample("healthy"), threading.Event()
    page = reader().open(agent.url)
    expect(page.get_by_role("heading", name="Asking the agent ...")).to_be_visible()
    page.clock.run_for(8000)
    expect(page.locator("#story")).to_contain_text("no answer within 8 s")
    expect(page.locator("#rest")).to_be_hidden()
    agent.delay.set()
    next_look(page, agent)
    expect(page.get_by_role("heading", name="All is well.")).to_be_visible()


def test_an_answer_of_another_kind_does_not_stop_the_page(agent, reader):
    agent.status = {"gavel": "9.9.9"}
    page = reader().open(agent.url)
    expect(page.get_by_role("heading", name="The agent does not answer.")).to_be_hidden()
    expect(page.get_by_role("heading", name="This page does not understand the agent.")).to_be_visible()
    agent.status = sample("healthy")
    next_look(page, agent)
    expect(page.get_by_role("heading", name="All is well.")).to_be_visible()


def test_a_hidden_page_asks_for_nothing(agent, reader):
    agent.status = sample("healthy")
    who = reader()
    who.page.add_init_script("window.away = false; Object.defineProperty(document, 'hidden', { get: () => window.away });")
    page = who.open(agent.url)
    expect(page.get_by_role("heading", name="All is well.")).to_be_visible()
    page.evaluate("away = true; document.dispatchEvent(new Event('visibilitychange'))")
    asked = agent.asked
    page.clock.run_for(20 * TEN_SECONDS)
    assert page.evaluate("fetch('/').then(() => true)") and agent.asked == asked
    page.evaluate("away = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#fresh time")).to_have_text("02:03:20")
    assert agent.asked == asked + 1
    next_look(page, agent)


HOSTILE = "<img src=x onerror=\"window.hit=1\"><script>window.hit=1</script>\u202e&amp;</style>"


def hostile(value):
    if isinstance(value, dict):
        return {key: hostile(each) for key, each in value.items()}
    if isinstance(value, list):
        return [hostile(each) for each in value]
    if isinstance(value, str):
        try:
            datetime.datetime.fromisoformat(value)
        except ValueError:
            return value + HOSTILE
    return value


def test_hostile_texts_stay_texts(agent, reader):
    agent.status = hostile(sample("update-failed"))
    agent.status["conditions"] = hostile(sample("outage")["conditions"])
    page = reader().open(agent.url)
    expect(page.get_by_role("heading", level=1)).to_contain_text("attic<img src=x")
    expect(section(page, "Configuration")).to_contain_text("<script>window.hit=1</script>")
    assert page.locator("main img, main script, main style").count() == 0
    assert page.evaluate("window.hit") is None
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_two_hundred_feeds_stay_light(agent, reader):
    agent.status = many(200)
    agent.status["feeds"][150]["trouble"] = "HTTP 500"
    who = reader("phone")
    page = who.open(agent.url)
    expect(page.locator("#shown")).to_have_text("50 of 200 feeds")
    assert row_names(page)[0] == "EU realm 151"
    assert page.evaluate("document.querySelectorAll('*').length") < 1200
    page.get_by_role("button", name="Show all 200").click()
    expect(page.locator("#feeds tbody tr")).to_have_count(200)
    assert page.evaluate("document.querySelectorAll('*').length") < 3000
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    # Of the next look only what differs is drawn.
    page.evaluate("""() => { window.drawn = 0; new MutationObserver(all => drawn += all.length).observe(
        document.getElementById("feeds"), { childList: true, subtree: true, characterData: true, attributes: true }); }""")
    agent.status = copy.deepcopy(agent.status)
    agent.status["feeds"][7]["records"] = 1
    next_look(page, agent)
    expect(page.get_by_role("row").filter(has=page.get_by_title("eu/8/0")).get_by_role("cell").nth(2)).to_have_text("1")
    assert 0 < page.evaluate("drawn") < 10


def test_large_letters_fit_on_a_phone(agent, reader):
    agent.status = sample("outage")
    page = reader("phone").open(agent.url)
    expect(page.locator("#rest")).to_be_visible()
    page.evaluate("document.documentElement.style.fontSize = '150%'")
    page.get_by_text("Day by day, as a table").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_new_board_is_told_without_holes(agent, reader):
    """Nothing is known yet: no null comes onto the page."""
    status = sample("healthy")
    for feed in status["feeds"]:
        feed.update(snapshot_at=None, snapshot_age_s=None, records=None, next_fetch_s=None)
    status["memory"].update(resident_bytes=None, peak_bytes=None)
    status["disk"].update(card_bytes_per_day=None, card_lasts_years=None, free_bytes=None)
    status["board"].update(model=None, temperature_c=None, under_voltage=None, throttled=None, clock="unknown")
    agent.status = status
    page = reader().open(agent.url)
    expect(page.locator("#story")).to_contain_text("no snapshot has come yet")
    text = page.locator("body").inner_text()
    for hole in ("null", "NaN", "undefined", "Infinity", "[object"):
        assert hole not in text
    status = copy.deepcopy(status)
    status["feeds"] = []
    agent.status = status
    next_look(page, agent)
    expect(page.locator("#shown")).to_contain_text("No feeds are configured")


def test_without_scripts_the_page_says_where_to_look(agent, reader):
    page = reader(java_script_enabled=False).page
    page.goto(agent.url)
    hint = page.locator("noscript p")
    expect(hint).to_be_visible()
    assert "Without it: gavel status on the board, or status.json" in " ".join(hint.inner_text().split())
    assert agent.asked == 0
