import CIscp

/// What happened to a connection.
public struct ConnectionEvent: Sendable {
    public enum Kind: Int32, Sendable {
        case connected = 1, disconnected, reconnecting, reconnected, closed
    }

    public let kind: Kind
    /// Number of the attempt to reconnect, from 1.
    public let attempt: UInt32
    /// How long until that attempt.
    public let delayMilliseconds: UInt32
    /// Why.
    public let error: IscpError?
}

/// QoS of a stream.
public enum QoS: String, Sendable {
    case unreliable, reliable, partial
}

/// A connection to a server. It is closed in the background when it and its streams are gone; `close` waits for it.
public final class Connection: @unchecked Sendable {
    let pointer: OpaquePointer

    private init(_ pointer: OpaquePointer) {
        self.pointer = pointer
    }

    deinit {
        iscp_conn_free(pointer)
    }

    /// Connects to a server. `options` are those of docs/options.md, such as `["tls_ca_file": "ca.pem"]`.
    ///
    /// `tokenSource` gives an access token before every attempt to connect, in a task of its own. `onEvent` is called on a
    /// thread of the library, in order, and should return soon.
    public static func connect(
        to url: String,
        nodeID: String? = nil,
        token: String? = nil,
        options: [String: String] = [:],
        tokenSource: (@Sendable () async throws -> String)? = nil,
        onEvent: (@Sendable (ConnectionEvent) -> Void)? = nil
    ) async throws -> Connection {
        let collected: OpaquePointer = iscp_conn_options_new()
        defer { iscp_conn_options_free(collected) }
        var all = options
        all["url"] = url
        all["node_id"] = nodeID ?? all["node_id"]
        all["token"] = token ?? all["token"]
        for (key, value) in all {
            try checkText(key, value)
            try check { iscp_conn_options_set(collected, key, value, $0) }
        }
        // The library releases the handlers, also when a setter fails.
        if let source = tokenSource {
            let userData = Handler<@Sendable () async throws -> String>.retain(source)
            try check { iscp_conn_options_set_token_callback(collected, tokenTrampoline, userData, onRelease, $0) }
        }
        if let handler = onEvent {
            let userData = Handler<@Sendable (ConnectionEvent) -> Void>.retain(handler)
            try check { iscp_conn_options_set_event_callback(collected, eventTrampoline, userData, onRelease, $0) }
        }
        return try await Pending<Connection>.run { userData, error in
            iscp_connect(collected, { conn, error, userData in
                Pending<Connection>.finish(userData, error) { Connection(conn!) }
            }, userData, error)
        }
    }

    /// Opens a stream of points from this node.
    ///
    /// `onAck` is told the sequence number, the result code (0 when the server took it) and the server's text for every
    /// chunk, on a thread of the library.
    public func openUpstream(
        sessionID: String = "",
        qos: QoS = .unreliable,
        options: [String: String] = [:],
        onAck: (@Sendable (UInt32, Int32, String) -> Void)? = nil
    ) async throws -> Upstream {
        let collected: OpaquePointer = iscp_upstream_options_new()
        defer { iscp_upstream_options_free(collected) }
        let all = options.merging(["session_id": sessionID, "qos": qos.rawValue]) { _, given in given }
        for (key, value) in all {
            try checkText(key, value)
            try check { iscp_upstream_options_set(collected, key, value, $0) }
        }
        if let handler = onAck {
            let userData = Handler<@Sendable (UInt32, Int32, String) -> Void>.retain(handler)
            try check { iscp_upstream_options_set_ack_callback(collected, ackTrampoline, userData, onRelease, $0) }
        }
        return try await Pending<Upstream>.run { userData, error in
            iscp_upstream_open(pointer, collected, { upstream, error, userData in
                Pending<Upstream>.finish(userData, error) { Upstream(upstream!) }
            }, userData, error)
        }
    }

    /// Opens a stream of points of a node. The filters are patterns "type:name", with "+" for one level and "#" for the rest.
    public func openDownstream(
        from sourceNodeID: String,
        filters: [String] = ["#:#"],
        qos: QoS = .unreliable,
        options: [String: String] = [:]
    ) async throws -> Downstream {
        let collected: OpaquePointer = iscp_downstream_options_new()
        defer { iscp_downstream_options_free(collected) }
        for (key, value) in options.merging(["qos": qos.rawValue], uniquingKeysWith: { _, given in given }) {
            try checkText(key, value)
            try check { iscp_downstream_options_set(collected, key, value, $0) }
        }
        for filter in filters {
            try checkText(sourceNodeID, filter)
            try check { iscp_downstream_options_add_filter(collected, sourceNodeID, filter, $0) }
        }
        return try await Pending<Downstream>.run { userData, error in
            iscp_downstream_open(pointer, collected, { downstream, error, userData in
                Pending<Downstream>.finish(userData, error) { Downstream(downstream!) }
            }, userData, error)
        }
    }

    /// Ties the elapsed times of a session to a clock; readers receive it as metadata.
    public func sendBaseTime(
        sessionID: String, name: String, baseTimeNanoseconds: Int64, elapsedNanoseconds: Int64 = 0, priority: UInt32 = 0,
        persist: Bool = false
    ) async throws {
        try checkText(sessionID, name)
        try await Pending<Void>.run { userData, error in
            iscp_conn_send_base_time(
                pointer, sessionID, name, priority, elapsedNanoseconds, baseTimeNanoseconds, persist, onDone, userData, error)
        }
    }

    /// Flushes and closes all streams, then the connection.
    public func close() async throws {
        try await Pending<Void>.run { userData, error in iscp_conn_close(pointer, onDone, userData, error) }
    }
}

private let eventTrampoline: iscp_event_cb = { event, userData in
    // Later kinds are about streams.
    guard let kind = ConnectionEvent.Kind(rawValue: iscp_event_kind(event)) else { return }
    Handler<@Sendable (ConnectionEvent) -> Void>.of(userData)(
        ConnectionEvent(
            kind: kind, attempt: iscp_event_attempt(event), delayMilliseconds: iscp_event_delay_ms(event),
            error: iscp_event_error(event).map(IscpError.init(borrowed:))))
}

private let ackTrampoline: iscp_ack_cb = { sequenceNumber, resultCode, resultString, userData in
    Handler<@Sendable (UInt32, Int32, String) -> Void>.of(userData)(
        sequenceNumber, resultCode, String(cString: resultString!))
}

/// A question for a token on its way to the task that answers it.
private struct TokenRequest: @unchecked Sendable {
    let pointer: OpaquePointer
}

private let tokenTrampoline: iscp_token_cb = { request, userData in
    let source = Handler<@Sendable () async throws -> String>.of(userData)
    let question = TokenRequest(pointer: request!)
    Task {
        do {
            let token = try await source()
            try checkText(token)
            try check { iscp_token_request_resolve(question.pointer, token, $0) }
        } catch {
            _ = iscp_token_request_reject(question.pointer, "\(error)", nil)
        }
    }
}
