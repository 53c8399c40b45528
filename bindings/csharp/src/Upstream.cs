using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;

namespace Iscp
{
    /// <summary>How points are sent.</summary>
    public sealed class UpstreamOptions
    {
        public string SessionId { get; set; }
        public QoS QoS { get; set; }
        /// <summary>
        /// Told what the server said about every chunk, on a thread of the library, in order. It should return soon; blocking
        /// methods fail inside it with Status.InCallback.
        /// </summary>
        public Action<Ack> OnAck { get; set; }
        /// <summary>Told what became of the stream after the connection was lost, as OnAck is told.</summary>
        public Action<StreamEvent> OnEvent { get; set; }
        /// <summary>Told how the stream ended, once and last, as OnAck is told.</summary>
        public Action<UpstreamEnd> OnClosed { get; set; }
        /// <summary>Options by their name in docs/options.md, such as "flush_policy".</summary>
        public IDictionary<string, string> Extra { get; private set; } = new Dictionary<string, string>();
    }

    public enum StreamEventKind
    {
        /// <summary>The stream goes on where it was.</summary>
        Resumed = 1,
        /// <summary>The server had forgotten the stream, and another was opened in its place.</summary>
        Reopened = 2,
    }

    /// <summary>What happened to a stream whose connection was lost.</summary>
    public sealed class StreamEvent
    {
        public StreamEventKind Kind { get; internal set; }
        /// <summary>Id that the stream has now.</summary>
        public Guid StreamId { get; internal set; }
        /// <summary>Id that it had.</summary>
        public Guid FormerStreamId { get; internal set; }
    }

    /// <summary>How an upstream ended.</summary>
    public sealed class UpstreamEnd
    {
        /// <summary>Why, or null when this program closed it and the server confirmed everything.</summary>
        public IscpException Error { get; internal set; }
        public ulong UndeliveredPoints { get; internal set; }
        /// <summary>Numbers of the chunks that were sent and not confirmed.</summary>
        public IList<uint> UndeliveredChunks { get; internal set; }
    }

    /// <summary>A data point to be written, and what it belongs to.</summary>
    public struct UpstreamPoint
    {
        public uint DataId;
        public long ElapsedTimeNs;
        public byte[] Payload;
    }

    /// <summary>What the server said about a chunk.</summary>
    public sealed class Ack
    {
        public uint SequenceNumber { get; internal set; }
        /// <summary>0 when the server took it.</summary>
        public int ResultCode { get; internal set; }
        public string ResultString { get; internal set; }
    }

    /// <summary>What a flush waits for.</summary>
    public enum FlushLevel
    {
        /// <summary>Everything written before is on its way.</summary>
        Sent = 0,
        /// <summary>The server answered for everything written before.</summary>
        Acknowledged = 1,
    }

    /// <summary>
    /// A stream of points from this node. Close waits until the server confirmed everything; Dispose lets go at once, and what
    /// was written is still sent as long as the connection lives. All members may be used from several threads.
    /// </summary>
    public sealed class Upstream : IDisposable
    {
        private readonly UpstreamHandle handle;

        /// <summary>Id that the server gave the stream.</summary>
        public Guid Id { get; private set; }

        internal Upstream(UpstreamHandle handle)
        {
            this.handle = handle;
            Id = Native.iscp_upstream_id(handle).ToGuid();
        }

        internal static UpstreamOptionsHandle Collect(UpstreamOptions options)
        {
            var collected = Native.iscp_upstream_options_new();
            try
            {
                if (options.SessionId != null) Set(collected, "session_id", options.SessionId);
                Set(collected, "qos", options.QoS.ToString().ToLowerInvariant());
                foreach (var option in options.Extra) Set(collected, option.Key, option.Value);
                IntPtr error;
                if (options.OnAck != null)
                {
                    IscpException.Check(Native.iscp_upstream_options_set_ack_callback(
                        collected, Callbacks.Ack, Callbacks.Keep(options.OnAck), Callbacks.Release, out error), error);
                }
                if (options.OnEvent != null)
                {
                    IscpException.Check(Native.iscp_upstream_options_set_event_callback(
                        collected, Callbacks.StreamEvent, Callbacks.Keep(options.OnEvent), Callbacks.Release, out error), error);
                }
                if (options.OnClosed != null)
                {
                    IscpException.Check(Native.iscp_upstream_options_set_closed_callback(
                        collected, Callbacks.UpstreamClosed, Callbacks.Keep(options.OnClosed), Callbacks.Release, out error), error);
                }
                return collected;
            }
            catch
            {
                collected.Dispose();
                throw;
            }
        }

        private static void Set(UpstreamOptionsHandle options, string key, string value)
        {
            IntPtr error;
            IscpException.Check(Native.iscp_upstream_options_set(options, Native.Text(key, "key"), Native.Text(value, key), out error), error);
        }

        /// <summary>Makes a data id known to the stream, so that points can be written to it.</summary>
        public uint DataId(string name, string type)
        {
            uint id;
            IntPtr error;
            IscpException.Check(Native.iscp_upstream_data_id(
                handle, Native.Text(name, "name"), Native.Text(type, "type"), out id, out error), error);
            return id;
        }

        /// <summary>
        /// Writes a point. It is sent when the flush policy says so. When the buffer is full, it waits or fails as the option
        /// "buffer_policy" says.
        /// </summary>
        public void Write(uint dataId, long elapsedTimeNs, byte[] payload)
        {
            IscpException.Check(Native.iscp_upstream_write(handle, dataId, elapsedTimeNs, payload, Native.Length(payload)));
        }

        /// <summary>Writes several points, each with its data id, in order: all of them into one chunk or, when it fails, none.</summary>
        public void WriteTogether(IList<UpstreamPoint> points)
        {
            var pinned = new List<GCHandle>(points.Count + 1);
            Func<object, IntPtr> pin = target =>
            {
                pinned.Add(GCHandle.Alloc(target, GCHandleType.Pinned));
                return pinned[pinned.Count - 1].AddrOfPinnedObject();
            };
            try
            {
                var array = new NativeUpstreamPoint[points.Count];
                for (int i = 0; i < array.Length; i++)
                {
                    array[i].data_id = points[i].DataId;
                    array[i].point.elapsed_time_ns = points[i].ElapsedTimeNs;
                    array[i].point.payload_len = Native.Length(points[i].Payload);
                    array[i].point.payload = pin(points[i].Payload);
                }
                IscpException.Check(Native.iscp_upstream_write_together(handle, pin(array), (UIntPtr)(uint)array.Length));
            }
            finally
            {
                foreach (var one in pinned) one.Free();
            }
        }

        /// <summary>Writes a point; the task ends when the server acknowledged it.</summary>
        public Task WriteAcknowledgedAsync(
            uint dataId, long elapsedTimeNs, byte[] payload, CancellationToken cancellation = default(CancellationToken))
        {
            return Operation<bool>.Run(cancellation, _ => true, (IntPtr user, out IntPtr error) => Native.iscp_upstream_write_acknowledged(
                handle, dataId, elapsedTimeNs, payload, Native.Length(payload), Callbacks.Done, user, out error));
        }

        /// <summary>Sends everything written before, whatever the flush policy.</summary>
        public void Flush(FlushLevel level = FlushLevel.Acknowledged, TimeSpan? timeout = null)
        {
            IntPtr error;
            IscpException.Check(Native.iscp_upstream_flush_wait(handle, (int)level, Native.Milliseconds(timeout), out error), error);
        }

        public Task FlushAsync(FlushLevel level = FlushLevel.Acknowledged, CancellationToken cancellation = default(CancellationToken))
        {
            return Operation<bool>.Run(cancellation, _ => true,
                (IntPtr user, out IntPtr error) => Native.iscp_upstream_flush(handle, (int)level, -1, Callbacks.Done, user, out error));
        }

        /// <summary>Sends everything, waits until the server confirmed it, and closes the stream.</summary>
        public void Close(bool closeSession = false, TimeSpan? timeout = null)
        {
            IntPtr error;
            IscpException.Check(Native.iscp_upstream_close_wait(handle, closeSession, Native.Milliseconds(timeout), out error), error);
        }

        public Task CloseAsync(bool closeSession = false, CancellationToken cancellation = default(CancellationToken))
        {
            return Operation<bool>.Run(cancellation, _ => true,
                (IntPtr user, out IntPtr error) => Native.iscp_upstream_close(handle, closeSession, Callbacks.Done, user, out error));
        }

        public void Dispose()
        {
            handle.Dispose();
        }
    }
}
