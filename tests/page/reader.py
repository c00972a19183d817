"""Somebody who looks at the status page with a browser."""
from page_server import TOP

PICTURES = TOP / "build" / "test-reports" / "pictures"
SIZES = {"desktop": (1280, 800), "phone": (360, 740)}


class Reader:
    """Somebody in Berlin who looks at the page. `complaints`: errors, and what the page's policy forbade."""

    def __init__(self, browser, size="desktop", scheme="light", **more):
        width, height = SIZES[size]
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB",
            timezone_id="Europe/Berlin", device_scale_factor=2 if size == "phone" else 1, **more)
        self.page = self.context.new_page()
        self.complaints, self.may_fail = [], False
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self.heard)

    def heard(self, message):
        # A browser says itself that a connection failed, which some tests want it to.
        expected = self.may_fail and "Failed to load resource" in message.text
        if message.type in ("error", "warning") and not expected:
            self.complaints.append(message.text)

    def open(self, url, at="2026-11-27T01:00:00Z", timers=False):
        """At this time, which stands still until the test moves it. `timers`: only the time of day does."""
        if timers:
            self.page.clock.set_fixed_time(at)
        else:
            self.page.clock.install(time=0)  # it goes on at once, and can be stopped only ahead
            self.page.clock.pause_at(at)
        self.page.goto(url)
        return self.page

    def open_now(self, url):
        """As time goes by."""
        self.page.goto(url)
        return self.page

    def resize(self, size):
        self.page.set_viewport_size(dict(zip(("width", "height"), SIZES[size])))

    def picture(self, name):
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / (name + ".png"), full_page=True)
