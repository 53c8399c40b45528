import CIscp

// The library keeps a retained reference to one of these boxes as user data. A one-shot callback takes it back; that of a
// long-lived callback is taken back by `release`, once, after its last call.

/// An operation that makes something, and the task that waits for it.
final class Pending<Made> {
    private let continuation: CheckedContinuation<Made, Error>

    private init(_ continuation: CheckedContinuation<Made, Error>) {
        self.continuation = continuation
    }

    /// Starts an operation and waits for its callback, which comes exactly once unless starting fails.
    static func run(
        _ start: (_ userData: UnsafeMutableRawPointer, _ error: UnsafeMutablePointer<OpaquePointer?>) -> iscp_status_t
    ) async throws -> Made {
        try await withCheckedThrowingContinuation { continuation in
            let userData = Unmanaged.passRetained(Pending(continuation)).toOpaque()
            do {
                try check { start(userData, $0) }
            } catch {
                Unmanaged<Pending>.fromOpaque(userData).release()
                continuation.resume(throwing: error)
            }
        }
    }

    /// For the callback: takes the box back and lets the task go on.
    static func finish(_ userData: UnsafeMutableRawPointer?, _ error: OpaquePointer?, _ made: () -> Made) {
        let pending = Unmanaged<Pending>.fromOpaque(userData!).takeRetainedValue()
        if let error = error {
            pending.continuation.resume(throwing: IscpError(borrowed: error))
        } else {
            pending.continuation.resume(returning: made())
        }
    }
}

let onDone: iscp_done_cb = { error, userData in
    Pending<Void>.finish(userData, error) {}
}

/// A long-lived handler.
final class Handler<Function> {
    let function: Function

    init(_ function: Function) {
        self.function = function
    }

    /// A reference for the library, which `onRelease` takes back.
    static func retain(_ function: Function) -> UnsafeMutableRawPointer {
        Unmanaged<AnyObject>.passRetained(Handler(function)).toOpaque()
    }

    static func of(_ userData: UnsafeMutableRawPointer?) -> Function {
        let object = Unmanaged<AnyObject>.fromOpaque(userData!).takeUnretainedValue()
        return unsafeDowncast(object, to: Handler.self).function
    }
}

let onRelease: iscp_release_cb = { userData in
    Unmanaged<AnyObject>.fromOpaque(userData!).release()
}
