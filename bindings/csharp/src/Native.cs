using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;

namespace Iscp
{
    // The functions and structures of iscp.h that the classes use. A test compares them with the header.
    //
    // Handles are SafeHandles: the runtime counts the calls that use one, and frees it when it was disposed or
    // forgotten and the last call has returned.
    internal abstract class LibraryHandle : SafeHandle
    {
        protected LibraryHandle() : base(IntPtr.Zero, true) { }

        public override bool IsInvalid { get { return handle == IntPtr.Zero; } }

        internal static T Wrap<T>(IntPtr pointer) where T : LibraryHandle, new()
        {
            var wrapped = new T();
            wrapped.SetHandle(pointer);
            return wrapped;
        }
    }

    internal sealed class ConnHandle : LibraryHandle
    {
        protected override bool ReleaseHandle() { Native.iscp_conn_free(handle); return true; }
    }

    internal sealed class UpstreamHandle : LibraryHandle
    {
        protected override bool ReleaseHandle() { Native.iscp_upstream_free(handle); return true; }
    }

    internal sealed class DownstreamHandle : LibraryHandle
    {
        protected override bool ReleaseHandle() { Native.iscp_downstream_free(handle); return true; }
    }

    internal sealed class CallHandle : LibraryHandle
    {
        protected override bool ReleaseHandle() { Native.iscp_call_free(handle); return true; }
    }

    internal sealed class ChunkHandle : LibraryHandle
    {
        protected override bool ReleaseHandle() { Native.iscp_chunk_free(handle); return true; }
    }

    internal sealed class MetadataHandle : LibraryHandle
    {
        protected override bool ReleaseHandle() { Native.iscp_metadata_free(handle); return true; }
    }

    internal sealed class ConnOptionsHandle : LibraryHandle
    {
        protected override bool ReleaseHandle() { Native.iscp_conn_options_free(handle); return true; }
    }

    internal sealed class UpstreamOptionsHandle : LibraryHandle
    {
        protected override bool ReleaseHandle() { Native.iscp_upstream_options_free(handle); return true; }
    }

    internal sealed class DownstreamOptionsHandle : LibraryHandle
    {
        protected override bool ReleaseHandle() { Native.iscp_downstream_options_free(handle); return true; }
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeDataPoint
    {
        public long elapsed_time_ns;
        public IntPtr payload;
        public UIntPtr payload_len;
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeUpstreamPoint
    {
        public uint data_id;
        public NativeDataPoint point;
    }

    // iscp_uuid_t: 16 bytes, in two pieces because an array cannot be returned.
    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeUuid
    {
        public ulong first;
        public ulong second;

        internal static Guid Read(IntPtr uuid)
        {
            return ((NativeUuid)Marshal.PtrToStructure(uuid, typeof(NativeUuid))).ToGuid();
        }

        public Guid ToGuid()
        {
            var b = new byte[16];
            BitConverter.GetBytes(first).CopyTo(b, 0);
            BitConverter.GetBytes(second).CopyTo(b, 8);
            return new Guid(
                b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3], (short)(b[4] << 8 | b[5]), (short)(b[6] << 8 | b[7]),
                b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
        }
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void iscp_release_cb(IntPtr userData);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void iscp_done_cb(IntPtr error, IntPtr userData);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void iscp_connect_cb(IntPtr conn, IntPtr error, IntPtr userData);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void iscp_upstream_open_cb(IntPtr upstream, IntPtr error, IntPtr userData);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void iscp_downstream_open_cb(IntPtr downstream, IntPtr error, IntPtr userData);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void iscp_reply_cb(IntPtr reply, IntPtr error, IntPtr userData);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void iscp_token_cb(IntPtr request, IntPtr userData);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void iscp_event_cb(IntPtr happened, IntPtr userData);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void iscp_ack_cb(uint sequenceNumber, int resultCode, IntPtr resultString, IntPtr userData);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void iscp_closed_cb(IntPtr error, IntPtr userData);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void iscp_upstream_closed_cb(IntPtr error, ulong undeliveredPoints, IntPtr undeliveredChunks, UIntPtr undeliveredChunkCount, IntPtr userData);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    internal delegate void iscp_stream_event_cb(int happened, IntPtr streamId, IntPtr formerStreamId, IntPtr userData);

    internal static class Native
    {
        // libiscp.so, or whatever the system makes of the name.
        private const string Lib = "iscp";

        [DllImport(Lib)] internal static extern IntPtr iscp_version();
        [DllImport(Lib)] internal static extern int iscp_shutdown(int timeoutMs, out IntPtr error);
        [DllImport(Lib)] internal static extern IntPtr iscp_status_name(int status);
        [DllImport(Lib)] internal static extern IntPtr iscp_status_text(int status);
        [DllImport(Lib)] internal static extern int iscp_error_code(IntPtr error);
        [DllImport(Lib)] internal static extern IntPtr iscp_error_message(IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_error_result_code(IntPtr error);
        [DllImport(Lib)] internal static extern IntPtr iscp_error_result_string(IntPtr error);
        [DllImport(Lib)] [return: MarshalAs(UnmanagedType.I1)] internal static extern bool iscp_error_is_retriable(IntPtr error);
        [DllImport(Lib)] [return: MarshalAs(UnmanagedType.I1)] internal static extern bool iscp_error_is_fatal(IntPtr error);
        [DllImport(Lib)] internal static extern void iscp_error_free(IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_token_request_resolve(IntPtr request, byte[] token, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_token_request_reject(IntPtr request, byte[] reason, out IntPtr error);

        [DllImport(Lib)] internal static extern int iscp_event_kind(IntPtr happened);
        [DllImport(Lib)] internal static extern IntPtr iscp_event_error(IntPtr happened);
        [DllImport(Lib)] internal static extern uint iscp_event_attempt(IntPtr happened);
        [DllImport(Lib)] internal static extern uint iscp_event_delay_ms(IntPtr happened);

        [DllImport(Lib)] internal static extern ConnOptionsHandle iscp_conn_options_new();
        [DllImport(Lib)] internal static extern void iscp_conn_options_free(IntPtr options);
        [DllImport(Lib)] internal static extern int iscp_conn_options_set(ConnOptionsHandle options, byte[] key, byte[] value, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_conn_options_set_token_callback(ConnOptionsHandle options, iscp_token_cb callback, IntPtr userData, iscp_release_cb release, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_conn_options_set_event_callback(ConnOptionsHandle options, iscp_event_cb callback, IntPtr userData, iscp_release_cb release, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_connect(ConnOptionsHandle options, iscp_connect_cb callback, IntPtr userData, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_connect_wait(ConnOptionsHandle options, int timeoutMs, out ConnHandle conn, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_conn_close(ConnHandle conn, iscp_done_cb callback, IntPtr userData, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_conn_close_wait(ConnHandle conn, int timeoutMs, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_conn_send_base_time(ConnHandle conn, byte[] sessionId, byte[] name, uint priority, long elapsedTimeNs, long baseTimeNs, [MarshalAs(UnmanagedType.I1)] bool persist, iscp_done_cb callback, IntPtr userData, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_conn_state(ConnHandle conn);
        [DllImport(Lib)] internal static extern void iscp_conn_free(IntPtr conn);

        [DllImport(Lib)] internal static extern IntPtr iscp_call_id(CallHandle call);
        [DllImport(Lib)] internal static extern IntPtr iscp_call_source_node_id(CallHandle call);
        [DllImport(Lib)] internal static extern IntPtr iscp_call_name(CallHandle call);
        [DllImport(Lib)] internal static extern IntPtr iscp_call_type(CallHandle call);
        [DllImport(Lib)] internal static extern int iscp_call_payload(CallHandle call, out IntPtr payload, out UIntPtr payloadLen);
        [DllImport(Lib)] internal static extern IntPtr iscp_call_ref(IntPtr call);
        [DllImport(Lib)] internal static extern void iscp_call_free(IntPtr call);
        [DllImport(Lib)] internal static extern int iscp_conn_call(ConnHandle conn, byte[] nodeId, byte[] name, byte[] type, byte[] payload, UIntPtr payloadLen, int timeoutMs, iscp_reply_cb callback, IntPtr userData, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_conn_send_reply(ConnHandle conn, CallHandle call, byte[] name, byte[] type, byte[] payload, UIntPtr payloadLen, iscp_done_cb callback, IntPtr userData, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_conn_next_call_wait(ConnHandle conn, int timeoutMs, out CallHandle call, out IntPtr error);

        [DllImport(Lib)] internal static extern UpstreamOptionsHandle iscp_upstream_options_new();
        [DllImport(Lib)] internal static extern void iscp_upstream_options_free(IntPtr options);
        [DllImport(Lib)] internal static extern int iscp_upstream_options_set(UpstreamOptionsHandle options, byte[] key, byte[] value, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_upstream_options_set_ack_callback(UpstreamOptionsHandle options, iscp_ack_cb callback, IntPtr userData, iscp_release_cb release, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_upstream_options_set_event_callback(UpstreamOptionsHandle options, iscp_stream_event_cb callback, IntPtr userData, iscp_release_cb release, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_upstream_options_set_closed_callback(UpstreamOptionsHandle options, iscp_upstream_closed_cb callback, IntPtr userData, iscp_release_cb release, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_upstream_open(ConnHandle conn, UpstreamOptionsHandle options, iscp_upstream_open_cb callback, IntPtr userData, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_upstream_open_wait(ConnHandle conn, UpstreamOptionsHandle options, int timeoutMs, out UpstreamHandle upstream, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_upstream_data_id(UpstreamHandle upstream, byte[] name, byte[] type, out uint dataId, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_upstream_write(UpstreamHandle upstream, uint dataId, long elapsedTimeNs, byte[] payload, UIntPtr payloadLen);
        [DllImport(Lib)] internal static extern int iscp_upstream_write_together(UpstreamHandle upstream, IntPtr points, UIntPtr pointCount);
        [DllImport(Lib)] internal static extern int iscp_upstream_write_acknowledged(UpstreamHandle upstream, uint dataId, long elapsedTimeNs, byte[] payload, UIntPtr payloadLen, iscp_done_cb callback, IntPtr userData, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_upstream_flush(UpstreamHandle upstream, int level, int timeoutMs, iscp_done_cb callback, IntPtr userData, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_upstream_flush_wait(UpstreamHandle upstream, int level, int timeoutMs, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_upstream_close(UpstreamHandle upstream, [MarshalAs(UnmanagedType.I1)] bool closeSession, iscp_done_cb callback, IntPtr userData, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_upstream_close_wait(UpstreamHandle upstream, [MarshalAs(UnmanagedType.I1)] bool closeSession, int timeoutMs, out IntPtr error);
        [DllImport(Lib)] internal static extern NativeUuid iscp_upstream_id(UpstreamHandle upstream);
        [DllImport(Lib)] internal static extern void iscp_upstream_free(IntPtr upstream);

        [DllImport(Lib)] internal static extern DownstreamOptionsHandle iscp_downstream_options_new();
        [DllImport(Lib)] internal static extern void iscp_downstream_options_free(IntPtr options);
        [DllImport(Lib)] internal static extern int iscp_downstream_options_set(DownstreamOptionsHandle options, byte[] key, byte[] value, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_downstream_options_add_filter(DownstreamOptionsHandle options, byte[] nodeId, byte[] pattern, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_downstream_options_set_event_callback(DownstreamOptionsHandle options, iscp_stream_event_cb callback, IntPtr userData, iscp_release_cb release, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_downstream_options_set_closed_callback(DownstreamOptionsHandle options, iscp_closed_cb callback, IntPtr userData, iscp_release_cb release, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_downstream_open(ConnHandle conn, DownstreamOptionsHandle options, iscp_downstream_open_cb callback, IntPtr userData, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_downstream_open_wait(ConnHandle conn, DownstreamOptionsHandle options, int timeoutMs, out DownstreamHandle downstream, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_downstream_next_chunk_wait(DownstreamHandle downstream, int timeoutMs, out ChunkHandle chunk, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_downstream_next_metadata_wait(DownstreamHandle downstream, int timeoutMs, out MetadataHandle metadata, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_downstream_close(DownstreamHandle downstream, iscp_done_cb callback, IntPtr userData, out IntPtr error);
        [DllImport(Lib)] internal static extern int iscp_downstream_close_wait(DownstreamHandle downstream, int timeoutMs, out IntPtr error);
        [DllImport(Lib)] internal static extern NativeUuid iscp_downstream_id(DownstreamHandle downstream);
        [DllImport(Lib)] internal static extern void iscp_downstream_free(IntPtr downstream);

        [DllImport(Lib)] internal static extern uint iscp_chunk_sequence_number(ChunkHandle chunk);
        [DllImport(Lib)] internal static extern IntPtr iscp_chunk_source_node_id(ChunkHandle chunk);
        [DllImport(Lib)] internal static extern IntPtr iscp_chunk_session_id(ChunkHandle chunk);
        [DllImport(Lib)] internal static extern NativeUuid iscp_chunk_upstream_id(ChunkHandle chunk);
        [DllImport(Lib)] internal static extern UIntPtr iscp_chunk_group_count(ChunkHandle chunk);
        [DllImport(Lib)] internal static extern int iscp_chunk_group(ChunkHandle chunk, UIntPtr group, out IntPtr name, out IntPtr type, out IntPtr points, out UIntPtr pointCount);
        [DllImport(Lib)] internal static extern int iscp_chunk_group_filters(ChunkHandle chunk, UIntPtr group, out IntPtr filters, out UIntPtr filterCount);
        [DllImport(Lib)] internal static extern void iscp_chunk_free(IntPtr chunk);

        [DllImport(Lib)] internal static extern int iscp_metadata_kind(MetadataHandle metadata);
        [DllImport(Lib)] internal static extern IntPtr iscp_metadata_source_node_id(MetadataHandle metadata);
        [DllImport(Lib)] internal static extern IntPtr iscp_metadata_session_id(MetadataHandle metadata);
        [DllImport(Lib)] internal static extern NativeUuid iscp_metadata_stream_id(MetadataHandle metadata);
        [DllImport(Lib)] internal static extern IntPtr iscp_metadata_name(MetadataHandle metadata);
        [DllImport(Lib)] internal static extern uint iscp_metadata_priority(MetadataHandle metadata);
        [DllImport(Lib)] internal static extern long iscp_metadata_elapsed_time_ns(MetadataHandle metadata);
        [DllImport(Lib)] internal static extern long iscp_metadata_base_time_ns(MetadataHandle metadata);
        [DllImport(Lib)] internal static extern ulong iscp_metadata_total_points(MetadataHandle metadata);
        [DllImport(Lib)] internal static extern uint iscp_metadata_final_sequence_number(MetadataHandle metadata);
        [DllImport(Lib)] internal static extern void iscp_metadata_free(IntPtr metadata);

        // Text for the library: UTF-8 with a NUL at its end and nowhere else.
        internal static byte[] Text(string text, string what)
        {
            if (text == null) throw new ArgumentNullException(what);
            if (text.IndexOf('\0') >= 0) throw new ArgumentException("it must not contain a NUL character", what);
            return Encoding.UTF8.GetBytes(text + '\0');
        }

        // Text of the library.
        internal static string Text(IntPtr text)
        {
            int length = 0;
            while (Marshal.ReadByte(text, length) != 0) length++;
            return Encoding.UTF8.GetString(Bytes(text, (UIntPtr)(uint)length));
        }

        internal static byte[] Bytes(IntPtr data, UIntPtr length)
        {
            var copied = new byte[checked((int)length.ToUInt64())];
            if (copied.Length > 0) Marshal.Copy(data, copied, 0, copied.Length);
            return copied;
        }

        internal static IList<uint> Numbers(IntPtr data, UIntPtr count)
        {
            var copied = new uint[checked((int)count.ToUInt64())];
            for (int i = 0; i < copied.Length; i++) copied[i] = (uint)Marshal.ReadInt32(data, 4 * i);
            return Array.AsReadOnly(copied);
        }

        internal static UIntPtr Length(byte[] payload)
        {
            if (payload == null) throw new ArgumentNullException("payload");
            return (UIntPtr)(uint)payload.Length;
        }

        // A time-out as the library takes it; null waits as long as the options allow.
        internal static int Milliseconds(TimeSpan? timeout)
        {
            if (timeout == null) return -1;
            if (timeout.Value < TimeSpan.Zero) throw new ArgumentOutOfRangeException("timeout", "it must not be negative");
            return (int)Math.Min(Math.Ceiling(timeout.Value.TotalMilliseconds), int.MaxValue);
        }
    }
}
