"""The snapshots the stand-in serves: recorded or generated files, and which of them is current."""
import hashlib
import re
import sys
import threading
import zlib
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "data"))
import generate  # noqa: E402  (tests/data)

REGIONS = ("us", "eu", "kr", "tw")
PIECE_BYTES = 64 * 1024
FILE_NAME = re.compile(r"((?:us|eu|kr|tw)-(?:\d+(?:-[267])?|commodities))-(\d{8}T\d{6}Z)\.json\.gz")
GENERATE = re.compile(r"(?:(us|eu|kr|tw)-)?(?:realm=|classic=)?"
                      r"(\d+(?:[-/][267])?|commodities):(\w+)")


class Snapshot:
    """One gzip file on disk and the time the API would give as its Last-Modified."""

    def __init__(self, series, time, path):
        self.series, self.time, self.path = series, time, Path(path)
        self.gzip_bytes = self.path.stat().st_size
        self._plain_bytes = None

    @property
    def plain_bytes(self):
        if self._plain_bytes is None:
            self._plain_bytes = sum(map(len, self.plain()))
        return self._plain_bytes

    def gzipped(self):
        with open(self.path, "rb") as file:
            yield from iter(lambda: file.read(PIECE_BYTES), b"")

    def plain(self):
        unzip = zlib.decompressobj(31)
        for piece in self.gzipped():
            yield unzip.decompress(piece)
        yield unzip.flush()

    def last_modified(self, shift_s):
        return self.time + timedelta(seconds=shift_s)

    def etag(self, shift_s):
        name = "%s %s" % (self.series, format_datetime(self.last_modified(shift_s)))
        return '"%s"' % hashlib.sha256(name.encode()).hexdigest()[:16]


class FileSeries:
    """Snapshots of one house that lie in a directory, oldest first."""

    def __init__(self, name, files):
        self.snapshots = [Snapshot(name, time, path) for time, path in sorted(files)]

    def at(self, hour):
        return self.snapshots[min(hour, len(self.snapshots) - 1)]

    def times(self):
        return [s.time.strftime("%Y-%m-%dT%H:%M:%SZ") for s in self.snapshots]


class GeneratedSeries:
    """Snapshots of one house, made when their hour is first asked for. Hours have no end."""

    def __init__(self, name, size, seed, directory):
        self.name, self.size, self.seed, self.directory = name, size, seed, Path(directory)
        self.made = {}
        self.lock = threading.Lock()

    def at(self, hour):
        with self.lock:
            if hour not in self.made:
                self.made[hour] = self.make(hour)
            return self.made[hour]

    def make(self, hour):
        time = generate.FIRST_HOUR + timedelta(hours=hour)
        name = "%s-%d-%d-hour%d.json.gz" % (self.name, self.size, self.seed, hour)
        path = self.directory / name
        if not path.exists():
            region, realm, *house = self.name.split("-")
            kind = "classic" if house else "commodities" if realm == "commodities" else "realm"
            realm = 0 if kind == "commodities" else int(realm)
            house = int(house[0]) if house else 2
            pieces = generate.body(kind, region, realm, house, size_bytes=self.size, hour=hour,
                                   seed=self.seed)
            generate.write_gz(path, pieces, 1)
        return Snapshot(self.name, time, path)

    def times(self):
        return [s.time.strftime("%Y-%m-%dT%H:%M:%SZ") for s in self.made.values()]


class Store:
    """All series by name ("eu-604", "eu-4440-2", "eu-commodities") and the current hour of each."""

    def __init__(self):
        self.series = {}
        self.hour = 0
        self.hours = {}           # series whose hour differs from the common one

    def add_directory(self, directory):
        files = {}
        for path in Path(directory).iterdir():
            match = FILE_NAME.fullmatch(path.name)
            if match:
                time = datetime.strptime(match[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
                files.setdefault(match[1], []).append((time, path))
        if not files:
            raise ValueError("%s holds no files named like eu-604-20140701T003001Z.json.gz"
                             % directory)
        for name, found in files.items():
            self.series[name] = FileSeries(name, found)

    def add_generated(self, text, seed, directory):
        """text: eu-604:50M, eu-4440-2:5M, eu-commodities:20M; realm=604:50M is EU's."""
        match = GENERATE.fullmatch(text)
        if not match:
            raise ValueError("--generate takes such as eu-604:50M or eu-commodities:20M, not %r"
                             % text)
        name = "%s-%s" % (match[1] or "eu", match[2].replace("/", "-"))
        Path(directory).mkdir(parents=True, exist_ok=True)
        self.series[name] = GeneratedSeries(name, generate.parse_size(match[3]), seed, directory)

    def set_hour(self, hour, name=None):
        """For one series, or for all (then no series differs any more). "next" goes one on."""
        if name is not None and name not in self.series:
            raise ValueError("no series %r; there are %s" % (name, sorted(self.series)))
        if hour == "next":
            hour = (self.hours.get(name, self.hour) if name else self.hour) + 1
        if not isinstance(hour, int) or hour < 0:
            raise ValueError('hour is a number from 0 on or "next"')
        if name:
            self.hours[name] = hour
        else:
            self.hour, self.hours = hour, {}
        for each in [name] if name else self.series:
            self.current(each)            # generated files are ready before the caller goes on

    def current(self, name):
        series = self.series.get(name)
        return series.at(self.hours.get(name, self.hour)) if series else None

    def realms(self, region, classic):
        """Connected realm ids that the index lists."""
        found = set()
        for name in self.series:
            its_region, realm, *house = name.split("-")
            if its_region == region and realm != "commodities" and bool(house) == classic:
                found.add(int(realm))
        return sorted(found)

    def houses(self, region, realm):
        found = (name.split("-") for name in self.series)
        return sorted(int(n[2]) for n in found if n[:2] == [region, str(realm)] and len(n) == 3)
