"""What Autobahn|Testsuite found, against what the protocol wants (docs/protocol.md): text is refused with 1003, messages over
the limit with 1009, compression is never agreed; all the rest must be OK. Usage: NAME FOLDER. Runs on Python 2.7."""

from __future__ import print_function

import collections
import json
import os
import sys

FINE = ("OK", "NON-STRICT", "INFORMATIONAL")
CASES_LEAST = 500  # fewer: the run broke off


def verdict(case, found, report):
    """What the case shows, and whether that is as it should be."""
    sent = report.get("txFrameStats") or {}
    code = report.get("remoteCloseCode")
    if found["behavior"] == "UNIMPLEMENTED":
        return "compression declined", case.startswith(("12.", "13."))
    if found["behavior"] in FINE:
        return "as the RFC has it", True
    # Chapter 6 is about text alone, and two of its cases send frames in pieces, which are not counted.
    if sent.get("1", 0) > 0 or case.startswith("6."):
        # What breaks the framing itself is seen before what kind of message it is.
        return "text refused", code in (1003, 1002)
    if case.startswith("9."):
        return "too big", code == 1009
    return found["behavior"], False


def main(name, folder):
    with open(os.path.join(folder, "index.json")) as index:
        cases = json.load(index)["equipoise"]
    counted, wrong = collections.Counter(), []
    for case in sorted(cases, key=lambda it: [int(part) for part in it.split(".")]):
        found = cases[case]
        with open(os.path.join(folder, found["reportfile"])) as text:
            report = json.load(text)
        what, fine = verdict(case, found, report)
        counted[what] += 1
        if not fine or (what == "too big" and name == "conformance"):
            wrong.append((case, found["behavior"], found.get("behaviorClose"), report.get("remoteCloseCode")))
    print("autobahn, %s: %d cases: %s" % (name, len(cases), ", ".join("%d %s" % (n, w) for w, n in counted.most_common())))
    for one in wrong:
        print("  not as it should be: case %s %s, close %s, code %s" % one)
    if len(cases) < CASES_LEAST:
        print("  only %d cases ran" % len(cases))
    return bool(wrong) or len(cases) < CASES_LEAST


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
