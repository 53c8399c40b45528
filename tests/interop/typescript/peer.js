// The official TypeScript client as a peer of the interoperability tests: carries out the commands of docs/interop.md
// that come on standard input, one a line, and prints what it receives, one event a line.
'use strict'

const readline = require('node:readline')
const iscp = require('@aptpod/iscp-ts')

// How long a request may take, in milliseconds.
const LIMIT = 20000

const QOS = { unreliable: iscp.QOS.UNRELIABLE, reliable: iscp.QOS.RELIABLE, partial: iscp.QOS.PARTIAL }
const qosName = (qos) => Object.keys(QOS).find((name) => QOS[name] === qos)

const escape = (text) =>
  String(text).replace(/[\0- %]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0'))

const emit = (event, fields = {}) => {
  const words = Object.entries(fields).map(([key, value]) => ` ${key}=${escape(value)}`)
  process.stdout.write(event + words.join('') + '\n')
}

// The client prints of its own accord too.
console.log = console.error

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const unhex = (text) => new Uint8Array(Buffer.from(text, 'hex'))
const split = (text) => (text ? text.split(',') : [])
const cut = (text, separator) => {
  const at = text.indexOf(separator)
  return [text.slice(0, at), text.slice(at + 1)]
}
const dataId = (text) => {
  const [type, name] = cut(text, ':')
  return new iscp.DataId({ name, type })
}

const flushPolicy = (text) => {
  const [policy, first, second] = text.split(':')
  switch (policy) {
    case 'immediate':
      return iscp.FlushPolicy.immediately()
    case 'interval':
      return iscp.FlushPolicy.intervalOnly(Number(first) / 1000)
    case 'size':
      return iscp.FlushPolicy.bufferSizeOnly(Number(first))
    case 'either':
      return iscp.FlushPolicy.intervalOrBufferSize(Number(first) / 1000, Number(second))
    default:
      return iscp.FlushPolicy.noFlush()
  }
}

const KINDS = [
  [iscp.BaseTime, 'base_time'],
  [iscp.UpstreamOpen, 'upstream_open'],
  [iscp.UpstreamAbnormalClose, 'upstream_abnormal_close'],
  [iscp.UpstreamResume, 'upstream_resume'],
  [iscp.UpstreamNormalClose, 'upstream_normal_close'],
  [iscp.DownstreamOpen, 'downstream_open'],
  [iscp.DownstreamAbnormalClose, 'downstream_abnormal_close'],
  [iscp.DownstreamResume, 'downstream_resume'],
  [iscp.DownstreamNormalClose, 'downstream_normal_close'],
]

const FIELDS = {
  streamId: 'stream_id',
  sessionId: 'session_id',
  totalDataPoints: 'total_points',
  finalSequenceNumber: 'final_sequence_number',
  name: 'name',
  priority: 'priority',
  elapsedTime: 'elapsed_ns',
  baseTime: 'base_time_ns',
}

const metadataFields = (metadata) => {
  const [, kind] = KINDS.find(([type]) => metadata instanceof type)
  const fields = { kind }
  for (const [key, value] of Object.entries(metadata)) {
    if (key === 'qos') {
      fields.qos = qosName(value)
    } else if (key === 'downstreamFilters') {
      const all = value.flatMap((f) => f.dataFilters.map((d) => `${f.sourceNodeId}|${d.type}:${d.name}`))
      fields.filters = all.join(',')
    } else {
      fields[FIELDS[key]] = value
    }
  }
  return fields
}

const callFields = (call) => ({
  source_node_id: call.sourceNodeId,
  name: call.name,
  type: call.type,
  payload: hex(call.payload),
})

const upstreamCall = (f) =>
  new iscp.UpstreamCall({ destinationNodeId: f.to, name: f.name, type: f.type, payload: unhex(f.payload) })

const streams = new Map()
let conn
let lastCall

const reply = (call, name, type, payload) =>
  conn.sendReplyCall(
    new iscp.UpstreamReplyCall({
      requestCallId: call.callId,
      destinationNodeId: call.sourceNodeId,
      name,
      type,
      payload,
    }),
  )

const commands = {
  async connect(f) {
    const [scheme, rest] = f.url.split('://')
    const [address, path] = rest.includes('/') ? cut(rest, '/') : [rest, '']
    conn = await iscp.Conn.connect({
      address,
      connector: new iscp.WebSocketConnector({ enableTLS: scheme === 'wss', path }),
      encoding: f.encoding === 'json' ? iscp.ENCODING_NAME.JSON : iscp.ENCODING_NAME.PROTOBUF,
      nodeId: f.node_id,
      pingInterval: Number(f.ping_interval_ms ?? 10000) / 1000,
      tokenSource: async () => f.token ?? '',
    })
    conn.addEventListener(iscp.Conn.EVENT.RECONNECTED, () => emit('reconnected'))
  },

  async up(f) {
    const up = await conn.openUpstream({
      sessionId: f.session_id,
      qos: QOS[f.qos],
      persist: f.persist === 'true',
      dataIds: split(f.data_ids).map(dataId),
      flushPolicy: flushPolicy(f.flush),
      // The client sends as milliseconds what it calls seconds.
      ackInterval: Number(f.ack_interval_ms ?? 100),
      expiryInterval: Number(f.expiry_interval_ms ?? 10000) / 1000,
    })
    up.addEventListener(iscp.Upstream.EVENT.AFTER_RECEIVE_ACK, ({ chunkAck }) => {
      for (const result of chunkAck.results) {
        emit('ack', { up: f.as, sequence_number: result.sequenceNumber, code: result.resultCode })
      }
    })
    streams.set(f.as, up)
    return { stream_id: up.id }
  },

  async down(f) {
    const filters = split(f.filters).map((text) => {
      const [sourceNodeId, pattern] = cut(text, '|')
      const [type, name] = cut(pattern, ':')
      return new iscp.DownstreamFilter({ sourceNodeId, dataFilters: [new iscp.DataFilter({ name, type })] })
    })
    const down = await conn.openDownstream({
      filters,
      qos: QOS[f.qos],
      dataIds: split(f.data_ids).map(dataId),
      expiryInterval: Number(f.expiry_interval_ms ?? 10000) / 1000,
      omitEmptyChunk: f.omit_empty_chunk === 'true',
    })
    down.addEventListener(iscp.Downstream.EVENT.CHUNK, (chunk) => {
      const groups = chunk.dataPointGroups.map((group) => {
        const points = group.dataPoints.map((point) => `${point.elapsedTime}:${hex(point.payload)}`)
        return `${group.dataId.type}:${group.dataId.name}|${points.join(',')}`
      })
      const { sourceNodeId, sessionId, streamId } = chunk.upstreamInfo
      emit('chunk', {
        down: f.as,
        source_node_id: sourceNodeId,
        session_id: sessionId,
        stream_id: streamId,
        sequence_number: chunk.sequenceNumber,
        groups: groups.join(';'),
      })
    })
    down.addEventListener(iscp.Downstream.EVENT.METADATA, (received) => {
      emit('metadata', { down: f.as, source_node_id: received.sourceNodeId, ...metadataFields(received.metadata) })
    })
    streams.set(f.as, down)
    return { stream_id: down.id }
  },

  async write(f) {
    const points = split(f.points).map((text) => {
      const [elapsed, payload] = text.split(':')
      return new iscp.DataPoint({ elapsedTime: BigInt(elapsed), payload: unhex(payload) })
    })
    await streams.get(f.as).writeDataPoints(new iscp.DataId({ name: f.name, type: f.type }), points)
  },

  async flush(f) {
    await streams.get(f.as).flush()
  },

  async close_up(f) {
    await streams.get(f.as).close({ overwriteCloseSession: f.close_session === 'true' })
  },

  async close_down(f) {
    await streams.get(f.as).close()
  },

  async base_time(f) {
    const baseTime = new iscp.BaseTime({
      sessionId: f.session_id,
      name: f.name,
      priority: Number(f.priority),
      elapsedTime: BigInt(f.elapsed_ns),
      baseTime: BigInt(f.base_time_ns),
    })
    await conn.sendBaseTime(baseTime, { persist: f.persist === 'true' })
  },

  async serve(f) {
    conn.addEventListener(iscp.Conn.EVENT.CALL, (call) => {
      lastCall = call
      emit('call', { call_id: call.callId, ...callFields(call) })
      if (f.answer === 'true') {
        const payload = new Uint8Array([...Buffer.from('re:'), ...call.payload])
        reply(call, call.name, 'reply', payload).catch((error) => console.error(error))
      }
    })
    conn.addEventListener(iscp.Conn.EVENT.REPLY_CALL, (call) => {
      // So the client spells it.
      emit('reply', { request_call_id: call.requestCalId, ...callFields(call) })
    })
  },

  async call(f) {
    return { call_id: await conn.sendCall(upstreamCall(f)) }
  },

  async call_wait(f) {
    return callFields(await conn.sendCallAndWaitReplyCall(upstreamCall(f)))
  },

  async reply(f) {
    await reply(lastCall, f.name, f.type, unhex(f.payload))
  },

  async close() {
    await conn.close()
  },
}

const limited = (promise) => {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${LIMIT} ms`)), LIMIT)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

const main = async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [command, ...words] = line.split(' ')
    const fields = Object.fromEntries(words.map((word) => cut(word, '=')))
    try {
      emit('ok', (await limited(commands[command](fields))) ?? {})
    } catch (error) {
      console.error(error)
      emit('error', { text: `${error?.constructor?.name} ${error?.message}` })
    }
  }
  process.exit(0)
}

main()
