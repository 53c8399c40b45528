#!/usr/bin/env python3
"""Checks the JSON object that a worker prints: check_result.py ROLE KEY=VALUE..., the object on standard input.

KEY=VALUE is what a member of the object must be exactly, besides what every result of the role must be; KEY+KEY=VALUE
what two of them are together.
"""

import json
import sys

LATENCIES = ["points", "p50_us", "p99_us", "p99_9_us", "histogram_us"]
MEMBERS = {
    "pub": ["points", "wall_s", "cpu_s", "rss_kb_open", "rss_kb", "bytes", "ack"],
    "ack": LATENCIES,
    "e2e": LATENCIES + ["lost"],
    "sub": ["points", "wall_s", "cpu_s", "lost", "rss_kb"],
    "ready": ["connections", "rss_kb_before", "rss_kb_after", "cpu_s_open"],
    "idle": ["connections", "kb_each", "cpu_ms_open_each", "cpu_us_per_s_each"],
    "start": ["acked"],
    "write": ["points", "write_ns", "empty_ns"],
    "version": ["version"],
}
# What cannot be zero however quick the worker is.
POSITIVE = ["points", "wall_s", "rss_kb_open", "rss_kb", "p50_us", "p99_us", "p99_9_us", "connections", "acked",
            "write_ns", "empty_ns"]


def require(condition, message):
    if not condition:
        sys.exit(f"check_result.py: {message}")


def main():
    role, *wanted = sys.argv[1:]
    text = sys.stdin.read()
    try:
        result = json.loads(text)
    except ValueError as error:
        sys.exit(f"check_result.py: {text!r} is no JSON: {error}")
    require(list(result) and set(result) == set(MEMBERS[role]), f"{role}: members are {list(result)}")
    # All points may come in one chunk: no time passes then from the first to the last.
    positive = [key for key in POSITIVE if (role, key) != ("sub", "wall_s")]
    for key in positive:
        require(result.get(key, 1) > 0, f"{role}: {key} is {result.get(key)}")
    require(result.get("cpu_s", 0) >= 0, f"{role}: cpu_s is {result.get('cpu_s')}")
    require(result.get("lost", 0) >= 0, f"{role}: lost is {result.get('lost')}")
    if "histogram_us" in result:
        bounds = [bound for bound, _ in result["histogram_us"]]
        require(bounds == sorted(set(bounds)), f"{role}: bounds do not ascend: {bounds}")
        total = sum(count for _, count in result["histogram_us"])
        require(total == result["points"], f"{role}: {total} in the histogram of {result['points']} points")
        order = [result[key] for key in ("p50_us", "p99_us", "p99_9_us")]
        require(order == sorted(order), f"{role}: percentiles do not ascend: {order}")
        require(order[-1] <= bounds[-1] * 1.001, f"{role}: {order[-1]} is beyond the histogram")
    for member in wanted:
        key, value = member.split("=", 1)
        first, *others = [result.get(part) for part in key.split("+")]
        found = first + sum(others) if others else first
        require(str(found) == value, f"{role}: {key} is {found}, not {value}")


main()
