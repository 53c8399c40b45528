using System;

namespace Iscp
{
    /// <summary>The statuses that programs ask for; the others are in iscp.h.</summary>
    public enum Status
    {
        Ok = 0,
        InvalidArgument = -1,
        UnknownOption = -5,
        InvalidOption = -6,
        TooLarge = -7,
        InCallback = -8,
        WouldBlock = -100,
        Timeout = -101,
        Closed = -102,
        Overflow = -104,
        Resolve = -200,
        ConnectFailed = -201,
        ConnectionLost = -203,
        Tls = -205,
        Refused = -400,
        Unauthorized = -401,
        Disconnected = -402,
        TokenFailed = -403,
    }

    /// <summary>What the library or the server has to complain about.</summary>
    public sealed class IscpException : Exception
    {
        public Status Status { get; private set; }
        /// <summary>Name of the status, such as ISCP_ERR_TIMEOUT.</summary>
        public string StatusName { get; private set; }
        /// <summary>Result code of the server, or -1 when it did not refuse anything.</summary>
        public int ResultCode { get; private set; }
        public string ResultString { get; private set; }
        /// <summary>Whether the same call may succeed later.</summary>
        public bool Retriable { get; private set; }
        /// <summary>Whether the connection or stream has ended.</summary>
        public bool Fatal { get; private set; }

        private IscpException(int status, string message) : base(message)
        {
            Status = (Status)status;
            StatusName = Native.Text(Native.iscp_status_name(status));
            ResultCode = -1;
            ResultString = "";
        }

        // Copies an error that the library keeps.
        internal static IscpException Of(IntPtr error)
        {
            return new IscpException(Native.iscp_error_code(error), Native.Text(Native.iscp_error_message(error)))
            {
                ResultCode = Native.iscp_error_result_code(error),
                ResultString = Native.Text(Native.iscp_error_result_string(error)),
                Retriable = Native.iscp_error_is_retriable(error),
                Fatal = Native.iscp_error_is_fatal(error),
            };
        }

        internal static void Check(int status)
        {
            if (status != 0) throw new IscpException(status, Native.Text(Native.iscp_status_text(status)));
        }

        // Throws unless the status is that of success, and frees the detail.
        internal static void Check(int status, IntPtr error)
        {
            if (status == 0) return;
            if (error == IntPtr.Zero) Check(status);
            try
            {
                throw Of(error);
            }
            finally
            {
                Native.iscp_error_free(error);
            }
        }
    }
}
