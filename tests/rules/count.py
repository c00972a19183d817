#!/usr/bin/env python3
"""Adds up the reports of tests/run and prints the closing line.

usage: count.py REPORTS     exit code 1 when anything failed, or when nothing was run
"""
import pathlib
import sys
import xml.etree.ElementTree as xml


def outcome(case):
    tags = {child.tag for child in case}
    if tags & {"failure", "error"} or case.get("status") == "fail":
        return "failed"
    if "skipped" in tags or case.get("status") in ("notrun", "disabled"):
        return "skipped"
    return "passed"


def read(reports):
    for report in sorted(reports.glob("*.xml")):
        for case in xml.parse(report).getroot().iter("testcase"):
            name = f"{report.stem}: {case.get('classname', '')} {case.get('name')}"
            skipped = case.find("skipped")
            reason = skipped.get("message", "") if skipped is not None else ""
            yield name, outcome(case), reason
    checks = reports / "checks"
    if checks.exists():
        for word in checks.read_text(encoding="utf-8").split():
            yield "check", {"pass": "passed", "skip": "skipped"}.get(word, "failed"), ""


def main():
    total = {"passed": 0, "failed": 0, "skipped": 0}
    for name, what, reason in read(pathlib.Path(sys.argv[1])):
        total[what] += 1
        if what == "failed" and name != "check":
            print(f"FAILED  {name}")
        if what == "skipped" and name != "check":
            print(f"skipped {name}: {reason or 'no reason given'}")
    line = f"{total['passed']} passed, {total['failed']} failed"
    print(line + (f", {total['skipped']} skipped" if total["skipped"] else ""))
    return 1 if total["failed"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
