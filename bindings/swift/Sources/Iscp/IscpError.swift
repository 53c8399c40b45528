import CIscp

/// What the library or the server has to complain about.
public struct IscpError: Error, CustomStringConvertible, Sendable {
    /// Status of the library, such as `ISCP_ERR_TIMEOUT`.
    public let code: Int32
    /// Names the culprit: the option, the address, the stream.
    public let message: String
    /// Result code of the server, or -1 when it did not refuse anything.
    public let resultCode: Int32
    /// What the server said besides.
    public let resultString: String
    /// The same call may succeed later.
    public let isRetriable: Bool
    /// The connection or stream has ended.
    public let isFatal: Bool

    public var description: String { "\(message) (\(String(cString: iscp_status_name(code))))" }

    /// A status without detail.
    init(status: Int32) {
        code = status
        message = String(cString: iscp_status_text(status))
        resultCode = -1
        resultString = ""
        isRetriable = false
        isFatal = false
    }

    /// Copies an error that the library keeps.
    init(borrowed error: OpaquePointer) {
        code = iscp_error_code(error)
        message = String(cString: iscp_error_message(error))
        resultCode = iscp_error_result_code(error)
        resultString = String(cString: iscp_error_result_string(error))
        isRetriable = iscp_error_is_retriable(error)
        isFatal = iscp_error_is_fatal(error)
    }
}

/// Calls a function whose last parameter is `out_error`, and throws what it stores there.
func check(_ call: (UnsafeMutablePointer<OpaquePointer?>) -> iscp_status_t) throws {
    var detail: OpaquePointer?
    let status = call(&detail)
    guard status != ISCP_OK else { return }
    guard let error = detail else { throw IscpError(status: status) }
    defer { iscp_error_free(error) }
    throw IscpError(borrowed: error)
}

/// Throws the error of a function without detail.
func check(_ status: iscp_status_t) throws {
    if status != ISCP_OK { throw IscpError(status: status) }
}

/// Text for the library, which takes a NUL for the end.
func checkText(_ texts: String...) throws {
    if texts.contains(where: { $0.utf8.contains(0) }) { throw IscpError(status: ISCP_ERR_INVALID_ARGUMENT) }
}
