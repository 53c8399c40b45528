import CIscp
import Dispatch

/// A data point and its data id.
public struct Point: Sendable {
    public let name: String
    public let type: String
    public let elapsedNanoseconds: Int64
    public let payload: [UInt8]
}

/// Points of one upstream that travelled together.
public struct Chunk: Sendable {
    public let sourceNodeID: String
    public let sessionID: String
    public let sequenceNumber: UInt32
    public let points: [Point]

    /// Copies a chunk; the caller frees it.
    init(copying chunk: OpaquePointer) {
        sourceNodeID = String(cString: iscp_chunk_source_node_id(chunk))
        sessionID = String(cString: iscp_chunk_session_id(chunk))
        sequenceNumber = iscp_chunk_sequence_number(chunk)
        var points: [Point] = []
        for group in 0..<iscp_chunk_group_count(chunk) {
            var name: UnsafePointer<CChar>?
            var type: UnsafePointer<CChar>?
            var array: UnsafePointer<iscp_data_point_t>?
            var count = 0
            guard iscp_chunk_group(chunk, group, &name, &type, &array, &count) == ISCP_OK else { continue }
            let nameText = String(cString: name!)
            let typeText = String(cString: type!)
            for point in UnsafeBufferPointer(start: array, count: count) {
                let payload = Array(UnsafeBufferPointer(start: point.payload, count: point.payload_len))
                points.append(
                    Point(name: nameText, type: typeText, elapsedNanoseconds: point.elapsed_time_ns, payload: payload))
            }
        }
        self.points = points
    }
}

/// A stream of the points of other nodes: `for try await chunk in downstream`. It ends when this program closes the stream,
/// and throws when the stream ends otherwise. It is closed in the background when it is gone.
public final class Downstream: AsyncSequence, @unchecked Sendable {
    public typealias Element = Chunk

    private let pointer: OpaquePointer
    // Waiting takes a thread, which must not be one of Swift's own.
    private let queue = DispatchQueue(label: "iscp.downstream")

    init(_ pointer: OpaquePointer) {
        self.pointer = pointer
    }

    deinit {
        iscp_downstream_free(pointer)
    }

    public struct AsyncIterator: AsyncIteratorProtocol {
        let downstream: Downstream

        public mutating func next() async throws -> Chunk? {
            try await downstream.next()
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(downstream: self)
    }

    /// Takes the next chunk; nil after this program closed the stream.
    public func next() async throws -> Chunk? {
        while true {
            // In pieces, so that a task that was cancelled ends.
            try Task.checkCancellation()
            do {
                return try await wait(milliseconds: 100)
            } catch let error as IscpError where error.code == ISCP_ERR_TIMEOUT {
                continue
            } catch let error as IscpError where error.code == ISCP_ERR_CLOSED {
                return nil
            }
        }
    }

    private func wait(milliseconds: Int32) async throws -> Chunk {
        try await withCheckedThrowingContinuation { continuation in
            queue.async {
                do {
                    var chunk: OpaquePointer?
                    try check { iscp_downstream_next_chunk_wait(self.pointer, milliseconds, &chunk, $0) }
                    defer { iscp_chunk_free(chunk) }
                    continuation.resume(returning: Chunk(copying: chunk!))
                } catch {
                    continuation.resume(throwing: error)
                }
            }
        }
    }

    /// Acknowledges what was taken and closes the stream.
    public func close() async throws {
        try await Pending<Void>.run { userData, error in
            iscp_downstream_close(pointer, onDone, userData, error)
        }
    }
}
