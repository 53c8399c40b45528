"""The official Python client as a peer of the interoperability tests: carries out the commands of docs/interop.md that
come on standard input, one a line, and prints what it receives, one event a line."""

import asyncio
import sys
import traceback

import iscp

# How long a request may take.
LIMIT = 20

QOS = {
    "unreliable": iscp.QoS.UNRELIABLE,
    "reliable": iscp.QoS.RELIABLE,
    "partial": iscp.QoS.PARTIAL,
}


def emit(event, **fields):
    words = [event] + [f"{key}={escape(str(value))}" for key, value in fields.items()]
    print(*words, flush=True)


def escape(text):
    return "".join(f"%{ord(c):02X}" if c <= " " or c == "%" else c for c in text)


def split(text):
    return text.split(",") if text else []


def data_id(text):
    kind, name = text.split(":", 1)
    return iscp.DataID(name=name, type=kind)


def flush_policy(text):
    policy, *numbers = text.split(":")
    if policy == "immediate":
        return iscp.Immediately()
    if policy == "interval":
        return iscp.IntervalOnly(interval=int(numbers[0]) / 1000)
    if policy == "size":
        return iscp.BufferSizeOnly(buffer_size=int(numbers[0]))
    if policy == "either":
        return iscp.IntervalOrBufferSize(interval=int(numbers[0]) / 1000, buffer_size=int(numbers[1]))
    return iscp.NoFlush()


def points(text):
    for point in split(text):
        elapsed, payload = point.split(":")
        yield iscp.DataPoint(elapsed_time=int(elapsed), payload=bytes.fromhex(payload))


def filter_text(filters):
    return ",".join(f"{f.source_node_id}|{d.type}:{d.name}" for f in filters for d in f.data_filters)


def metadata_fields(metadata):
    kinds = {
        iscp.BaseTime: "base_time",
        iscp.UpstreamOpen: "upstream_open",
        iscp.UpstreamAbnormalClose: "upstream_abnormal_close",
        iscp.UpstreamResume: "upstream_resume",
        iscp.UpstreamNormalClose: "upstream_normal_close",
        iscp.DownstreamOpen: "downstream_open",
        iscp.DownstreamAbnormalClose: "downstream_abnormal_close",
        iscp.DownstreamResume: "downstream_resume",
        iscp.DownstreamNormalClose: "downstream_normal_close",
    }
    fields = {"kind": kinds[type(metadata)]}
    if isinstance(metadata, iscp.BaseTime):
        return fields | {
            "session_id": metadata.session_id,
            "name": metadata.name,
            "priority": metadata.priority,
            "elapsed_ns": metadata.elapsed_time,
            "base_time_ns": metadata.base_time.unix_nano(),
        }
    names = {"total_data_points": "total_points"}
    for key, value in vars(metadata).items():
        if key == "downstream_filters":
            fields["filters"] = filter_text(value)
        elif key == "qos":
            fields["qos"] = value.value.lower()
        else:
            fields[names.get(key, key)] = value
    return fields


class Peer:
    def __init__(self):
        self.streams = {}
        self.tasks = set()
        self.last_call = None

    def spawn(self, task):
        task = asyncio.create_task(task)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def connect(self, f):
        scheme, rest = f["url"].split("://")
        address, _, path = rest.partition("/")
        if f["encoding"] != "protobuf" or f["compression"] != "none":
            raise ValueError("the client has neither")
        if scheme == "quic":
            connector = iscp.QuicConnector(insecure=True)
        else:
            connector = iscp.WebSocketConnector(enable_tls=scheme == "wss", path=path)
        self.conn = await iscp.Conn.connect(
            address=address,
            connector=connector,
            node_id=f["node_id"],
            ping_interval=int(f.get("ping_interval_ms", 10000)) // 1000,
            token_source=lambda: f.get("token", ""),
        )

    async def up(self, f):
        def acknowledged(_, ack):
            for result in ack.results:
                code = 0 if result.result_code == iscp.ResultCode.SUCCEEDED else result.result_code
                emit("ack", up=f["as"], sequence_number=result.sequence_number, code=code)

        up = await self.conn.open_upstream(
            f["session_id"],
            qos=QOS[f["qos"]],
            persist=f.get("persist") == "true",
            data_ids=[data_id(text) for text in split(f.get("data_ids"))],
            flush_policy=flush_policy(f["flush"]),
            # The client sends as milliseconds what it calls seconds.
            ack_interval=int(f.get("ack_interval_ms", 100)),
            expiry_interval=int(f.get("expiry_interval_ms", 10000)) // 1000,
            receive_ack_callback=acknowledged,
        )
        self.streams[f["as"]] = up
        return {"stream_id": up.id}

    async def down(self, f):
        filters = []
        for text in split(f["filters"]):
            node, pattern = text.split("|")
            kind, name = pattern.split(":", 1)
            filters.append(iscp.DownstreamFilter(node, [iscp.DataFilter(name=name, type=kind)]))
        down = await self.conn.open_downstream(
            filters,
            qos=QOS[f["qos"]],
            data_ids=[data_id(text) for text in split(f.get("data_ids"))],
            expiry_interval=int(f.get("expiry_interval_ms", 10000)) // 1000,
            omit_empty_chunk=f.get("omit_empty_chunk") == "true",
        )
        self.streams[f["as"]] = down
        self.spawn(self.print_chunks(f["as"], down))
        self.spawn(self.print_metadata(f["as"], down))
        return {"stream_id": down.id}

    async def print_chunks(self, name, down):
        async for chunk in down.chunks():
            groups = []
            for group in chunk.data_point_groups:
                text = ",".join(f"{p.elapsed_time}:{p.payload.hex()}" for p in group.data_points)
                groups.append(f"{group.data_id.type}:{group.data_id.name}|{text}")
            info = chunk.upstream_info
            emit(
                "chunk",
                down=name,
                source_node_id=info.source_node_id,
                session_id=info.session_id,
                stream_id=info.stream_id,
                sequence_number=chunk.sequence_number,
                groups=";".join(groups),
            )

    async def print_metadata(self, name, down):
        async for received in down.metadatas():
            source = received.source_node_id
            emit("metadata", down=name, source_node_id=source, **metadata_fields(received.metadata))

    async def write(self, f):
        id = iscp.DataID(name=f["name"], type=f["type"])
        await self.streams[f["as"]].write_data_points(id, *points(f["points"]))

    async def flush(self, f):
        await self.streams[f["as"]].flush()

    async def close_up(self, f):
        await self.streams[f["as"]].close(f["close_session"] == "true")

    async def close_down(self, f):
        await self.streams[f["as"]].close()

    async def base_time(self, f):
        base_time = iscp.BaseTime(
            session_id=f["session_id"],
            name=f["name"],
            priority=int(f["priority"]),
            elapsed_time=int(f["elapsed_ns"]),
            base_time=iscp.DateTime.from_unix_nano(int(f["base_time_ns"])),
        )
        await self.conn.send_base_time(base_time, persist=f["persist"] == "true")

    async def serve(self, f):
        self.spawn(self.print_calls(f["answer"] == "true"))
        self.spawn(self.print_replies())

    async def print_calls(self, answer):
        async for call in self.conn.calls():
            self.last_call = call
            emit("call", call_id=call.call_id, **call_fields(call))
            if answer:
                await self.send_reply(call, call.name, "reply", b"re:" + call.payload)

    async def print_replies(self):
        async for reply in self.conn.reply_calls():
            emit("reply", request_call_id=reply.request_call_id, **call_fields(reply))

    async def send_reply(self, call, name, kind, payload):
        await self.conn.send_reply_call(
            iscp.UpstreamReplyCall(
                request_call_id=call.call_id,
                destination_node_id=call.source_node_id,
                name=name,
                type=kind,
                payload=payload,
            )
        )

    async def call(self, f):
        return {"call_id": await self.conn.send_call(upstream_call(f))}

    async def call_wait(self, f):
        return call_fields(await self.conn.send_call_and_wait_reply_call(upstream_call(f)))

    async def reply(self, f):
        await self.send_reply(self.last_call, f["name"], f["type"], bytes.fromhex(f["payload"]))

    async def close(self, _):
        await self.conn.close()


def upstream_call(f):
    return iscp.UpstreamCall(
        destination_node_id=f["to"], name=f["name"], type=f["type"], payload=bytes.fromhex(f["payload"])
    )


def call_fields(call):
    return {
        "source_node_id": call.source_node_id,
        "name": call.name,
        "type": call.type,
        "payload": call.payload.hex(),
    }


async def main():
    peer = Peer()
    # Lines may be long.
    reader = asyncio.StreamReader(limit=1 << 27)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command, *words = line.decode().split()
        fields = dict(word.split("=", 1) for word in words)
        try:
            answer = await asyncio.wait_for(getattr(peer, command)(fields), LIMIT)
            emit("ok", **(answer or {}))
        except Exception as error:
            traceback.print_exc()
            emit("error", text=f"{type(error).__name__} {error}")


asyncio.run(main())
