"""Sends ten points: python3 send.py ws://127.0.0.1:8080"""

import sys

import libiscp

with libiscp.connect(sys.argv[1], node_id="python-sensor", timeout=5) as conn:
    with conn.open_upstream(session_id="python-example", qos="reliable") as up:
        for i in range(10):  # ten points a second on the session's clock
            up.write("room/temperature", "string", i * 100_000_000, f"{20 + i / 10:.1f}".encode())
print("the server confirmed every point")
