"""Spoils generated records the ways a hostile or broken API could.

Records are JSON texts. A lone byte that is not UTF-8 is a surrogate escape in them (U+DCxx).
Every sort of damage is counted, so that a test knows what has to come out at the other end.
"""

SPOILT_ID = 8_000_000_000         # ids of added records start here, above all generated ones

# name of the damage -> record; %d is the record's id
BAD_RECORDS = (
    ("bad_string_for_number", '{"id":%d,"item":{"id":"19019"},"buyout":5,"quantity":1,"time_left":"LONG"}'),
    ("bad_missing_id", '{"item":{"id":%d},"buyout":5,"quantity":1,"time_left":"LONG"}'),
    ("bad_over_64_bits",
     '{"id":%d,"item":{"id":1},"buyout":9223372036854775808,"quantity":1,"time_left":"LONG"}'),
    ("bad_under_64_bits",
     '{"id":%d,"item":{"id":1},"buyout":-9223372036854775809,"quantity":1,"time_left":"LONG"}'),
    ("bad_fraction", '{"id":%d,"item":{"id":1},"buyout":5,"quantity":1.5,"time_left":"LONG"}'),
    ("bad_null_item", '{"id":%d,"item":null,"buyout":5,"quantity":1,"time_left":"LONG"}'),
    ("bad_item_is_number", '{"id":%d,"item":1,"buyout":5,"quantity":1,"time_left":"LONG"}'),
    ("bad_object_for_array",
     '{"id":%d,"item":{"id":1,"bonus_lists":{"0":1}},"buyout":5,"quantity":1,"time_left":"LONG"}'),
    ("bad_bool_for_number", '{"id":%d,"item":{"id":1},"buyout":true,"quantity":1,"time_left":"LONG"}'),
    ("bad_not_an_object", '%d'),
)

# (put in place of the first, this, members added)
UNKNOWN_MEMBERS = (
    ('"quantity":', '"owner":"Thr\\u00e4ll \\"the\\" \\ud83d\\udc3a","quantity":', 1),
    ('"item":{', '"item":{"upgrades":{"id":7,"steps":[1,-2,3.5e-1,null,true]},', 1),
    ('"quantity":', '"created_at":1404174601000,"quantity":', 1),
    ('"time_left":', '"flags":[],"note":"","seller":{},"time_left":', 3),
)

# Latin-1, cut off, overlong, beyond U+10FFFF, and an escaped half of a surrogate pair
INVALID_UTF8 = ("Gr\udcfc\udcdfe", "\udce4\udcb8", "\udcc0\udcaf", "\udcf5\udc80\udc80\udc80", "\\ud800x")


class Adversary:
    """Damages one body; make a new one for the next."""

    def __init__(self, unknown_members=False, duplicates=False, bad_records=False,
                 invalid_utf8=False, extremes=False, deep=0, huge_string=0, every=50):
        self.unknown_members, self.duplicates = unknown_members, duplicates
        self.bad_records, self.invalid_utf8, self.extremes = bad_records, invalid_utf8, extremes
        self.deep, self.huge_string, self.every = deep, huge_string, every
        self.next_id = SPOILT_ID
        self.rounds = 0

    @staticmethod
    def add_arguments(parser, parse_size):
        group = parser.add_argument_group("damage (added records have ids from %d on)" % SPOILT_ID)
        group.add_argument("--unknown-members", action="store_true",
                           help="members that no schema knows, in every 50th record and item")
        group.add_argument("--duplicates", action="store_true",
                           help="repeat every 50th record, in turn as it was and changed")
        group.add_argument("--bad-records", action="store_true",
                           help="add records that break the schema, one per 50")
        group.add_argument("--invalid-utf8", action="store_true",
                           help="an unknown member whose text is no UTF-8, in every 50th record")
        group.add_argument("--extremes", action="store_true",
                           help="add valid records at the edges: 64-bit limits, empty arrays")
        group.add_argument("--deep", type=int, default=0, metavar="LEVELS",
                           help="add one record with a member nested so deep")
        group.add_argument("--huge-string", type=parse_size, default=0, metavar="SIZE",
                           help="add one record with a string of so many bytes")
        group.add_argument("--every", type=int, default=50, metavar="N",
                           help="spoil every Nth record instead of every 50th")

    @classmethod
    def from_arguments(cls, args):
        names = ("unknown_members", "duplicates", "bad_records", "invalid_utf8", "extremes", "deep",
                 "huge_string", "every")
        chosen = {name: getattr(args, name) for name in names}
        return cls(**chosen) if any(chosen[name] for name in names[:-1]) else None

    def new_id(self):
        self.next_id += 1
        return self.next_id

    def spoil(self, chunk, counts):
        """The chunk's records with the damage in place and in between; counts is told."""
        out, repeats = [], []
        for index, record in enumerate(chunk):
            if index % self.every == self.every // 2:
                self.rounds += 1
                if self.unknown_members:
                    record = self.with_unknown_member(record, counts)
                if self.invalid_utf8:
                    record = self.with_invalid_utf8(record, counts)
                if self.duplicates:
                    repeats.append(self.repeated(record, counts))
                if self.bad_records:
                    name, text = BAD_RECORDS[self.rounds % len(BAD_RECORDS)]
                    out.append(text % self.new_id())
                    counts[name] += 1
                    counts["bad"] += 1
            out.append(record)
        out[len(out) // 2:len(out) // 2] = self.once(counts)
        return out + repeats

    def with_unknown_member(self, record, counts):
        marker, text, members = UNKNOWN_MEMBERS[self.rounds % len(UNKNOWN_MEMBERS)]
        counts["unknown_members"] += members
        counts["records_with_unknown_members"] += 1
        return record.replace(marker, text, 1)

    def with_invalid_utf8(self, record, counts):
        text = INVALID_UTF8[self.rounds % len(INVALID_UTF8)]
        counts["invalid_utf8"] += 1
        return record[:-1] + ',"seller_name":"%s"}' % text

    def repeated(self, record, counts):
        if self.rounds % 2:
            counts["duplicates_identical"] += 1
            return record
        counts["duplicates_differing"] += 1
        return record.replace('"quantity":', '"quantity":1', 1)

    def once(self, counts):
        """Records that a body holds once, in its first chunk."""
        added = []
        if self.extremes:
            added += [text % self.new_id() for text in EXTREMES]
            counts["extremes"] += len(added)
            self.extremes = False
        if self.deep:
            nested = "".join('{"a":' if i % 2 else "[" for i in range(self.deep)) + "0"
            nested += "".join("]" if i % 2 == 0 else "}" for i in reversed(range(self.deep)))
            added.append(EXTRA_MEMBER % (self.new_id(), nested))
            counts["deep"] += 1
            self.deep = 0
        if self.huge_string:
            added.append(EXTRA_MEMBER % (self.new_id(), '"%s"' % ("x" * self.huge_string)))
            counts["huge_string"] += 1
            self.huge_string = 0
        return added


EXTRA_MEMBER = '{"id":%d,"item":{"id":6948},"buyout":100,"quantity":1,"time_left":"LONG","more":%s}'

EXTREMES = (
    '{"id":%d,"item":{"id":1,"rand":-9223372036854775808,"seed":9223372036854775807},'
    '"bid":9223372036854775807,"buyout":9007199254740993,"quantity":2147483647,"time_left":"LONG"}',
    '{"id":%d,"item":{"id":2147483647,"bonus_lists":[],"modifiers":[]},"unit_price":0,"quantity":0,'
    '"time_left":"SHORT"}',
    ' { "time_left" : "MEDIUM" ,\n\t"quantity" : 1 , "item" : { "id" : 2 } , "buyout" : -0 , "id" : %d } ',
    '{"id":%d,"item":{"id":3},"buyout":1,"quantity":1,"time_left":"VERY_\\u004cONG"}',
    '{"id":%d,"item":{"id":4},"buyout":1,"quantity":1,"time_left":"FOREVER"}',
)
