"""Prints what the node python-sensor sends: python3 receive.py ws://127.0.0.1:8080"""

import sys

import libiscp

with libiscp.connect(sys.argv[1], node_id="python-viewer", timeout=5) as conn:
    with conn.open_downstream("python-sensor", "#:room/#", qos="reliable") as down:
        print("listening", flush=True)
        seen = 0
        for chunk in down:
            for point in chunk.points:
                print(f"{point.name} {point.elapsed_time_ns / 1e9:.1f} s: {point.payload.decode()}", flush=True)
            seen += len(chunk.points)
            if seen >= 10:
                break
