import CIscp

/// A data id of one upstream.
public struct DataID: Sendable {
    let number: iscp_data_id_t
}

/// A stream of points from this node. It is closed in the background when it is gone; `close` waits for it.
public final class Upstream: @unchecked Sendable {
    private let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) {
        self.pointer = pointer
    }

    deinit {
        iscp_upstream_free(pointer)
    }

    /// Makes a data id known to the stream, so that points can be written to it.
    public func dataID(name: String, type: String) throws -> DataID {
        try checkText(name, type)
        var number: iscp_data_id_t = 0
        try check { iscp_upstream_data_id(pointer, name, type, &number, $0) }
        return DataID(number: number)
    }

    /// Writes a point. It is sent when the flush policy says so. When the buffer is full, it waits or throws as the option
    /// "buffer_policy" says; choose "would_block" where a thread must not wait.
    public func write(_ id: DataID, elapsedNanoseconds: Int64, payload: [UInt8]) throws {
        try payload.withUnsafeBufferPointer { bytes in
            try check(iscp_upstream_write(pointer, id.number, elapsedNanoseconds, bytes.baseAddress, bytes.count))
        }
    }

    /// Writes a point and waits until the server acknowledged it.
    public func writeAcknowledged(_ id: DataID, elapsedNanoseconds: Int64, payload: [UInt8]) async throws {
        try await Pending<Void>.run { userData, error in
            payload.withUnsafeBufferPointer { bytes in
                iscp_upstream_write_acknowledged(
                    pointer, id.number, elapsedNanoseconds, bytes.baseAddress, bytes.count, onDone, userData, error)
            }
        }
    }

    /// Sends everything written before, and waits until the server answered for it unless told otherwise.
    public func flush(acknowledged: Bool = true) async throws {
        let level = acknowledged ? ISCP_FLUSH_ACKNOWLEDGED : ISCP_FLUSH_SENT
        try await Pending<Void>.run { userData, error in
            iscp_upstream_flush(pointer, level, -1, onDone, userData, error)
        }
    }

    /// Sends everything, waits until the server confirmed it, and closes the stream.
    public func close(session: Bool = false) async throws {
        try await Pending<Void>.run { userData, error in
            iscp_upstream_close(pointer, session, onDone, userData, error)
        }
    }
}
