"""The package against the broker."""

import asyncio
import gc
import signal
import threading
import unittest
import weakref

import libiscp
import libiscp.aio
from support import LIMIT, PACKAGE, Chaos, broker, start, until


class WithBroker(unittest.TestCase):
    def setUp(self):
        self.url = self.enterContext(broker()) if hasattr(self, "enterContext") else self._enter(broker())

    def _enter(self, context):
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def connect(self, node_id, **options):
        conn = libiscp.connect(self.url, node_id=node_id, timeout=LIMIT, **options)
        self.addCleanup(conn._handle.release)
        return conn


class Streams(WithBroker):
    def test_what_is_published_is_received(self):
        receiver, sender = self.connect("receiver"), self.connect("sender")
        down = receiver.open_downstream("sender", "number:a/#", qos="reliable", omit_empty_chunk=True)
        with sender.open_upstream(session_id="session", qos="reliable") as up:
            for i in range(100):
                up.write("a/b", "number", i, bytes([i]))
                up.write("other", "number", i, b"")
            up.flush(timeout=LIMIT)
            stream = up.id
        points = []
        while len(points) < 100:
            chunk = down.next_chunk(LIMIT)
            self.assertEqual(("sender", "session", stream), chunk[:3])
            points += chunk.points
        self.assertEqual([libiscp.Point("a/b", "number", i, bytes([i])) for i in range(100)], points)

    def test_metadata_and_empty_payloads(self):
        receiver, sender = self.connect("receiver"), self.connect("sender")
        down = receiver.open_downstream("sender", qos="reliable")
        sender.send_base_time("session", "edge_rtc", 1_700_000_000_123_456_789, elapsed_time_ns=5, priority=20)
        up = sender.open_upstream(session_id="session", qos="reliable", persist=True)
        up.write("a", "t", -1, b"")
        up.close(close_session=True, timeout=LIMIT)
        self.assertEqual([libiscp.Point("a", "t", -1, b"")], down.next_chunk(LIMIT).points)
        found = {}
        while "upstream_normal_close" not in found:
            metadata = down.next_metadata(LIMIT)
            found[metadata.kind] = metadata
        time_sent = found["base_time"]
        self.assertEqual(("session", "edge_rtc", 20, 5, 1_700_000_000_123_456_789),
                         (time_sent.session_id, time_sent.name, time_sent.priority, time_sent.elapsed_time_ns,
                          time_sent.base_time_ns))
        self.assertEqual((up.id, 1), (found["upstream_normal_close"].stream_id,
                                      found["upstream_normal_close"].total_points))

    def test_points_written_together_stay_together_and_tell_their_filters(self):
        receiver, sender = self.connect("receiver"), self.connect("sender")
        down = receiver.open_downstream(
            "sender", "number:#", "#:a", "text:none", qos="reliable", chunk_order="strict"
        )
        points = [libiscp.Point("a", "number", -1, b"1"), libiscp.Point("b", "number", 2, b""),
                  libiscp.Point("a", "text", 3, b"three")]
        up = sender.open_upstream(qos="reliable", flush_policy="immediate")
        up.write_together(iter(points))
        up.write_together([])
        with self.assertRaises(ValueError):
            up.write_together([points[0], libiscp.Point("a", "number", 2**63, b"")])
        self.assertRaises(TypeError, lambda: up.write_together([libiscp.Point("a", "number", 0, 5)]))
        chunk = down.next_chunk(LIMIT)
        self.assertEqual(points, sorted(chunk.points, key=lambda point: point.elapsed_time_ns))
        filters = {name: sorted(numbers) for name, numbers in chunk.filters.items()}
        self.assertEqual({("a", "number"): [0, 1], ("b", "number"): [0], ("a", "text"): [1]}, filters)
        self.assertRaises(BlockingIOError, down.next_chunk, 0)

    def test_a_point_is_acknowledged(self):
        up = self.connect("sender").open_upstream(qos="reliable")
        up.write_acknowledged("a", "t", 0, b"x", timeout=LIMIT)
        self.assertRaises(ValueError, up.write_acknowledged, "a", "t", 2**63, b"")
        up.close(timeout=LIMIT)
        self.assertRaises(libiscp.Closed, up.write_acknowledged, "a", "t", 0, b"x")

    def test_iterating_ends_when_the_stream_is_closed_from_another_thread(self):
        conn = self.connect("receiver")
        down = conn.open_downstream("nobody")
        got = []
        reader = threading.Thread(target=lambda: got.append(list(down)))
        reader.start()
        down.close(timeout=LIMIT)
        reader.join(LIMIT)
        self.assertEqual([[]], got)
        self.assertRaises(libiscp.Closed, down.next_chunk, 0)

    def test_threads_share_a_stream(self):
        receiver, sender = self.connect("receiver"), self.connect("sender")
        down = receiver.open_downstream("sender", qos="reliable")
        with sender.open_upstream(qos="reliable") as up:
            def write(name):
                for i in range(200):
                    up.write(name, "t", i, b"x")

            threads = [threading.Thread(target=write, args=[str(i)]) for i in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        times = {}
        while sum(map(len, times.values())) < 8 * 200:
            for point in down.next_chunk(LIMIT).points:
                times.setdefault(point.name, []).append(point.elapsed_time_ns)
        self.assertEqual({str(i): list(range(200)) for i in range(8)}, times)

    def test_closing_while_others_write(self):
        up = self.connect("sender").open_upstream()
        closed = []

        def write():
            try:
                while True:
                    up.write("a", "t", 0, b"x")
            except libiscp.Closed as error:
                closed.append(error)

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        up.close(timeout=LIMIT)
        for thread in threads:
            thread.join(LIMIT)
        self.assertEqual(4, len(closed))

    def test_other_threads_run_while_one_waits(self):
        down = self.connect("receiver").open_downstream("nobody")
        waiting = threading.Event()

        def read():
            waiting.set()
            self.assertRaises(libiscp.Closed, down.next_chunk)

        reader = threading.Thread(target=read)
        reader.start()
        waiting.wait(LIMIT)
        counted = sum(1 for _ in range(100_000))
        self.assertTrue(reader.is_alive())
        self.assertEqual(100_000, counted)
        down.close(timeout=LIMIT)
        reader.join(LIMIT)

    def test_calls(self):
        caller, server = self.connect("caller"), self.connect("server")

        def serve():
            received = server.next_call(LIMIT)
            received.reply("reply", received.type, received.payload[::-1], timeout=LIMIT)

        thread = threading.Thread(target=serve)
        thread.start()
        reply = caller.call("server", "reverse", "text", b"abc", timeout=LIMIT)
        thread.join(LIMIT)
        self.assertEqual(("server", "reply", "text", b"cba"),
                         (reply.source_node_id, reply.name, reply.type, reply.payload))

    def test_asyncio(self):
        receiver, sender = self.connect("receiver"), self.connect("sender")
        down = receiver.open_downstream("sender", qos="reliable")
        sender.send_base_time("session", "edge_rtc", 1)
        metadata, points, ticks = [], [], []

        async def read():
            async for chunk in libiscp.aio.chunks(down, on_metadata=lambda one: metadata.append(one.kind)):
                points.extend(chunk.points)
                if len(points) == 300:
                    await asyncio.to_thread(down.close)

        async def tick():
            while len(points) < 300:
                ticks.append(None)
                await asyncio.sleep(0.001)

        def write():
            with sender.open_upstream(session_id="session", qos="reliable") as up:
                for i in range(300):
                    up.write("a", "t", i, b"x")
                    if i % 50 == 0:
                        up.flush()

        async def main():
            await asyncio.wait_for(asyncio.gather(read(), tick(), asyncio.to_thread(write)), LIMIT)

        asyncio.run(main())
        self.assertEqual(list(range(300)), [point.elapsed_time_ns for point in points])
        self.assertIn("base_time", metadata)
        self.assertTrue(ticks)


class Failures(WithBroker):
    def test_an_error_has_code_message_and_result_code(self):
        with broker("--token", "secret") as url:
            with self.assertRaises(libiscp.Error) as caught:
                libiscp.connect(url, token="wrong", timeout=LIMIT)
        error = caught.exception
        self.assertEqual((-401, "ISCP_ERR_UNAUTHORIZED"), (error.code, error.name))
        self.assertGreaterEqual(error.result_code, 0)
        self.assertIn(error.message, str(error))
        self.assertFalse(error.retriable)

    def test_time_outs_are_those_of_the_language_too(self):
        down = self.connect("receiver").open_downstream("nobody")
        self.assertRaises(TimeoutError, down.next_chunk, 0.3)
        self.assertRaises(BlockingIOError, down.next_chunk, 0)

    def test_bad_input(self):
        conn = self.connect("sender")
        with self.assertRaisesRegex(libiscp.Error, "no_such_option"):
            conn.open_upstream(no_such_option=1)
        with self.assertRaisesRegex(ValueError, "NUL"):
            conn.open_upstream(session_id="a\0b")
        up = conn.open_upstream()
        with self.assertRaisesRegex(ValueError, "elapsed_time_ns"):
            up.write("a", "t", 2**63, b"")
        self.assertRaises(TypeError, lambda: up.write("a", "t", 0, 5))
        with self.assertRaises(ValueError):
            up.flush(timeout=-1)

    def test_an_exception_leaves_the_block_and_frees(self):
        with self.assertRaises(KeyError):
            with self.connect("sender") as conn, conn.open_upstream() as up:
                raise KeyError("mine")
        self.assertRaises(libiscp.Closed, up.write, "a", "t", 0, b"")
        self.assertEqual("closed", conn.state)

    def test_an_exception_wakes_those_who_wait(self):
        got = []
        with self.assertRaises(KeyError):
            with self.connect("receiver") as conn, conn.open_downstream("nobody") as down:
                threads = [
                    threading.Thread(target=lambda: got.append(list(down))),
                    threading.Thread(target=lambda: self.assertRaises(libiscp.Closed, conn.next_call)),
                ]
                for thread in threads:
                    thread.start()
                raise KeyError("mine")
        for thread in threads:
            thread.join(LIMIT)
            self.assertFalse(thread.is_alive())
        self.assertEqual([[]], got)


class Callbacks(WithBroker):
    def test_each_is_released_once(self):
        events, acks, released = [], [], []

        class Handler:
            def event(self, event):
                events.append(event)

            def ack(self, *ack):
                acks.append(ack)

        handler = Handler()
        weakref.finalize(handler, released.append, True)
        before = libiscp.live_callbacks()
        conn = self.connect("sender", on_event=handler.event)
        up = conn.open_upstream(qos="reliable", on_ack=handler.ack)
        del handler
        up.write("a", "t", 0, b"x")
        up.close(timeout=LIMIT)
        self.assertEqual([], released)
        conn.close(timeout=LIMIT)
        until(lambda: libiscp.live_callbacks() == before, "the release of the callbacks")
        gc.collect()
        self.assertEqual([True], released)
        self.assertEqual([(1, 0)], [ack[:2] for ack in acks])
        self.assertEqual(["connected", "closed"], [event.kind for event in events])
        self.assertIsNone(events[-1].error)

    def test_streams_tell_how_they_come_back_and_end(self):
        before = libiscp.live_callbacks()
        told = []
        with Chaos(self.url) as chaos:
            conn = libiscp.connect(
                chaos.url, node_id="node", timeout=LIMIT, close_timeout_ms=100, reconnect_min_interval_ms=10,
                reconnect_max_interval_ms=50,
            )
            up = conn.open_upstream(
                qos="reliable", on_event=lambda event: told.append(("up", event)), on_closed=told.append
            )
            down = conn.open_downstream(
                "node", on_event=lambda event: told.append(("down", event)),
                on_closed=lambda error: told.append(("down closed", error)),
            )
            chaos.do("cut")
            until(lambda: len(told) == 2, "the streams coming back")
            self.assertEqual({("up", ("resumed", up.id, up.id)), ("down", ("resumed", down.id, down.id))}, set(told))
            down.close(timeout=LIMIT)
            chaos.do("refuse")
            chaos.do("cut")
            until(lambda: conn.state == "reconnecting", "the loss")
            up.write("a", "t", 0, b"x")
            with self.assertRaises(libiscp.Error):
                conn.close(timeout=LIMIT)
            until(lambda: len(told) == 4, "the ends")
        self.assertEqual(("down closed", None), told[2])
        end = told[3]
        self.assertEqual((1, []), end[1:])
        self.assertIsInstance(end.error, libiscp.Error)
        until(lambda: libiscp.live_callbacks() == before, "the release of the callbacks")

    def test_each_is_released_when_opening_fails(self):
        before = libiscp.live_callbacks()
        with self.assertRaises(libiscp.Error):
            libiscp.connect("ws://127.0.0.1:1", on_event=print, token_source=lambda: "", timeout=LIMIT)
        with self.assertRaises(libiscp.Error):
            libiscp.connect("nonsense", on_event=print)
        until(lambda: libiscp.live_callbacks() == before, "the release of the callbacks")

    def test_a_token_source_is_asked(self):
        with broker("--token", "secret") as url:
            asked = []

            def source():
                asked.append(threading.current_thread() is threading.main_thread())
                return "secret"

            libiscp.connect(url, token_source=source, timeout=LIMIT).close()
        self.assertEqual([False], asked)

    def test_a_token_source_that_raises_is_the_reason(self):
        def source():
            raise RuntimeError("the vault is locked")

        with self.assertRaisesRegex(libiscp.Error, "RuntimeError: the vault is locked") as caught:
            libiscp.connect(self.url, token_source=source, timeout=LIMIT)
        self.assertEqual("ISCP_ERR_TOKEN_FAILED", caught.exception.name)

    def test_blocking_calls_are_refused_inside(self):
        refused = []

        def handler(event):
            try:
                libiscp.connect(self.url)
            except libiscp.Error as error:
                refused.append(error.name)

        self.connect("sender", on_event=handler).close(timeout=LIMIT)
        until(lambda: len(refused) == 2, "two events")
        self.assertEqual({"ISCP_ERR_IN_CALLBACK"}, set(refused))

    def test_forgotten_objects_are_freed(self):
        before = libiscp.live_callbacks()
        conn = libiscp.connect(self.url, on_event=lambda event: None, timeout=LIMIT)
        streams = [conn.open_upstream(on_ack=lambda *ack: None) for _ in range(5)]
        downs = [conn.open_downstream("nobody") for _ in range(5)]
        self.assertGreater(libiscp.live_callbacks(), before)
        del streams, downs, conn
        gc.collect()
        until(lambda: libiscp.live_callbacks() == before, "the release of the callbacks")


EXITS = {
    "at the end of the program": "",
    "with sys.exit": "sys.exit(0)",
    "with a thread that waits": """
down = conn.open_downstream("nobody")
def read():
    with contextlib.suppress(libiscp.Closed):
        down.next_chunk()
threading.Thread(target=read, daemon=True).start()
""",
    "with callbacks on their way": """
up = conn.open_upstream(qos="reliable", flush_policy="immediate", ack_interval_ms=0, on_ack=lambda *ack: None)
for i in range(2000):
    up.write("a", "t", i, b"x")
""",
    "in the middle of writing": """
up = conn.open_upstream(qos="reliable", on_ack=lambda *ack: None)
def write():
    with contextlib.suppress(libiscp.Closed):
        while True:
            up.write("a", "t", 0, b"x")
threading.Thread(target=write, daemon=True).start()
""",
    "while a thread connects again and again": """
url, options = conn_url, conn_options
def again():
    while True:
        with contextlib.suppress(libiscp.Error, RuntimeError):
            libiscp.connect(url, **options).close()
threading.Thread(target=again, daemon=True).start()
""",
    "in a forked child too": """
child = os.fork()
if child == 0:
    try:
        conn.open_upstream()
    except libiscp.Error as error:
        sys.exit(7 if error.name == "ISCP_ERR_FORKED" else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
""",
}


class Exit(WithBroker):
    def test_ends_cleanly_while_connected(self):
        for when, rest in EXITS.items():
            for callbacks in ("{}", "{'on_event': lambda event: None, 'token_source': lambda: ''}"):
                with self.subTest(when, callbacks=len(callbacks) > 2):
                    program = (
                        "import contextlib, os, sys, threading, libiscp\n"
                        f"conn_url, conn_options = {self.url!r}, {callbacks}\n"
                        f"conn = libiscp.connect(conn_url, **conn_options)\n{rest}"
                    )
                    process = start("-c", program)
                    _, errors = process.communicate(timeout=LIMIT)
                    self.assertEqual((0, ""), (process.returncode, errors))

    def test_the_keyboard_interrupts_a_read(self):
        process = start("-u", "-c", f"import libiscp\nconn = libiscp.connect({self.url!r})\n"
                        "down = conn.open_downstream('nobody')\nprint('waiting')\ndown.next_chunk()\n")
        self.assertEqual("waiting\n", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT)
        self.assertTrue(errors.rstrip().endswith("KeyboardInterrupt"), errors)


class Examples(WithBroker):
    def test_each_receiver_prints_what_is_sent(self):
        expected = "".join(f"room/temperature {i / 10:.1f} s: {20 + i / 10:.1f}\n" for i in range(10))
        examples = PACKAGE / "examples"
        for receiver in ["receive.py", "receive_asyncio.py"]:
            with self.subTest(receiver), start(examples / receiver, self.url) as receiving:
                self.assertEqual("listening\n", receiving.stdout.readline())
                with start(examples / "send.py", self.url) as sending:
                    output, errors = sending.communicate(timeout=LIMIT)
                    self.assertEqual(("the server confirmed every point\n", "", 0), (output, errors, sending.returncode))
                output, errors = receiving.communicate(timeout=LIMIT)
                self.assertEqual((expected, "", 0), (output, errors, receiving.returncode))


if __name__ == "__main__":
    unittest.main()
