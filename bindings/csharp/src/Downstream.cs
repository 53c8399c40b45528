using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;

namespace Iscp
{
    /// <summary>What is received, and how.</summary>
    public sealed class DownstreamOptions
    {
        private readonly List<KeyValuePair<string, string>> filters = new List<KeyValuePair<string, string>>();

        public QoS QoS { get; set; }
        /// <summary>
        /// Told what became of the stream after the connection was lost, on a thread of the library. It should return soon;
        /// blocking methods fail inside it with Status.InCallback.
        /// </summary>
        public Action<StreamEvent> OnEvent { get; set; }
        /// <summary>Told why the stream ended, null when this program closed it: once and last, as OnEvent is told.</summary>
        public Action<IscpException> OnClosed { get; set; }
        /// <summary>Options by their name in docs/options.md, such as "chunk_order".</summary>
        public IDictionary<string, string> Extra { get; private set; } = new Dictionary<string, string>();

        internal IEnumerable<KeyValuePair<string, string>> Filters { get { return filters; } }

        /// <summary>Adds points of a node. The pattern is "type:name", with "+" for one level and "#" for the rest.</summary>
        public DownstreamOptions AddFilter(string sourceNodeId, string pattern = "#:#")
        {
            filters.Add(new KeyValuePair<string, string>(sourceNodeId, pattern));
            return this;
        }
    }

    /// <summary>A data point and its data id.</summary>
    public struct Point
    {
        public string Name;
        public string Type;
        public long ElapsedTimeNs;
        public byte[] Payload;
        /// <summary>Filters of the downstream that the data id matches, in the order of AddFilter from 0; none where the server does not say.</summary>
        public IList<uint> Filters;
    }

    /// <summary>Points of one upstream that travelled together.</summary>
    public sealed class Chunk
    {
        public string SourceNodeId { get; private set; }
        public string SessionId { get; private set; }
        public Guid UpstreamId { get; private set; }
        public uint SequenceNumber { get; private set; }
        public IList<Point> Points { get; private set; }

        // Copies a chunk and frees it.
        internal Chunk(ChunkHandle handle)
        {
            using (handle)
            {
                SourceNodeId = Native.Text(Native.iscp_chunk_source_node_id(handle));
                SessionId = Native.Text(Native.iscp_chunk_session_id(handle));
                UpstreamId = Native.iscp_chunk_upstream_id(handle).ToGuid();
                SequenceNumber = Native.iscp_chunk_sequence_number(handle);
                var points = new List<Point>();
                var groups = Native.iscp_chunk_group_count(handle).ToUInt64();
                for (ulong group = 0; group < groups; group++)
                {
                    IntPtr name, type, array;
                    UIntPtr count;
                    IscpException.Check(Native.iscp_chunk_group(handle, (UIntPtr)group, out name, out type, out array, out count));
                    IntPtr filters;
                    UIntPtr filterCount;
                    IscpException.Check(Native.iscp_chunk_group_filters(handle, (UIntPtr)group, out filters, out filterCount));
                    var common = new Point { Name = Native.Text(name), Type = Native.Text(type), Filters = Native.Numbers(filters, filterCount) };
                    Read(points, common, array, checked((int)count.ToUInt64()));
                }
                Points = points.AsReadOnly();
            }
        }

        private static void Read(List<Point> points, Point common, IntPtr array, int count)
        {
            var size = Marshal.SizeOf(typeof(NativeDataPoint));
            for (int i = 0; i < count; i++)
            {
                var point = (NativeDataPoint)Marshal.PtrToStructure(array + i * size, typeof(NativeDataPoint));
                common.ElapsedTimeNs = point.elapsed_time_ns;
                common.Payload = Native.Bytes(point.payload, point.payload_len);
                points.Add(common);
            }
        }
    }

    public enum MetadataKind
    {
        BaseTime = 1,
        UpstreamOpen = 2,
        UpstreamAbnormalClose = 3,
        UpstreamResume = 4,
        UpstreamNormalClose = 5,
        DownstreamOpen = 6,
        DownstreamAbnormalClose = 7,
        DownstreamResume = 8,
        DownstreamNormalClose = 9,
    }

    /// <summary>What happened beside the data. What its kind does not have is 0 or empty.</summary>
    public sealed class Metadata
    {
        public MetadataKind Kind { get; private set; }
        public string SourceNodeId { get; private set; }
        public string SessionId { get; private set; }
        public Guid StreamId { get; private set; }
        public string Name { get; private set; }
        public uint Priority { get; private set; }
        public long ElapsedTimeNs { get; private set; }
        public long BaseTimeNs { get; private set; }
        public ulong TotalPoints { get; private set; }
        public uint FinalSequenceNumber { get; private set; }

        // Copies metadata and frees it.
        internal Metadata(MetadataHandle handle)
        {
            using (handle)
            {
                Kind = (MetadataKind)Native.iscp_metadata_kind(handle);
                SourceNodeId = Native.Text(Native.iscp_metadata_source_node_id(handle));
                SessionId = Native.Text(Native.iscp_metadata_session_id(handle));
                StreamId = Native.iscp_metadata_stream_id(handle).ToGuid();
                Name = Native.Text(Native.iscp_metadata_name(handle));
                Priority = Native.iscp_metadata_priority(handle);
                ElapsedTimeNs = Native.iscp_metadata_elapsed_time_ns(handle);
                BaseTimeNs = Native.iscp_metadata_base_time_ns(handle);
                TotalPoints = Native.iscp_metadata_total_points(handle);
                FinalSequenceNumber = Native.iscp_metadata_final_sequence_number(handle);
            }
        }
    }

    /// <summary>
    /// A stream of points and metadata of other nodes. Close waits for the server, Dispose closes in the background; both wake
    /// those who wait for a chunk. All members may be used from several threads.
    /// </summary>
    public sealed class Downstream : IDisposable
    {
        // Waits that can be cancelled are made of such pieces.
        private static readonly TimeSpan Slice = TimeSpan.FromMilliseconds(100);

        private readonly DownstreamHandle handle;

        /// <summary>Id that the server gave the stream.</summary>
        public Guid Id { get; private set; }

        internal Downstream(DownstreamHandle handle)
        {
            this.handle = handle;
            Id = Native.iscp_downstream_id(handle).ToGuid();
        }

        internal static DownstreamOptionsHandle Collect(DownstreamOptions options)
        {
            var collected = Native.iscp_downstream_options_new();
            try
            {
                Set(collected, "qos", options.QoS.ToString().ToLowerInvariant());
                foreach (var option in options.Extra) Set(collected, option.Key, option.Value);
                IntPtr error;
                foreach (var filter in options.Filters)
                {
                    IscpException.Check(Native.iscp_downstream_options_add_filter(
                        collected, Native.Text(filter.Key, "sourceNodeId"), Native.Text(filter.Value, "pattern"), out error), error);
                }
                if (options.OnEvent != null)
                {
                    IscpException.Check(Native.iscp_downstream_options_set_event_callback(
                        collected, Callbacks.StreamEvent, Callbacks.Keep(options.OnEvent), Callbacks.Release, out error), error);
                }
                if (options.OnClosed != null)
                {
                    IscpException.Check(Native.iscp_downstream_options_set_closed_callback(
                        collected, Callbacks.DownstreamClosed, Callbacks.Keep(options.OnClosed), Callbacks.Release, out error), error);
                }
                return collected;
            }
            catch
            {
                collected.Dispose();
                throw;
            }
        }

        private static void Set(DownstreamOptionsHandle options, string key, string value)
        {
            IntPtr error;
            IscpException.Check(Native.iscp_downstream_options_set(options, Native.Text(key, "key"), Native.Text(value, key), out error), error);
        }

        /// <summary>
        /// Takes the next chunk. A null time-out waits until there is one; with zero it fails with Status.WouldBlock when there is
        /// none. After the end of the stream it fails with the reason, or with Status.Closed.
        /// </summary>
        public Chunk Next(TimeSpan? timeout = null)
        {
            ChunkHandle chunk;
            IntPtr error;
            IscpException.Check(Native.iscp_downstream_next_chunk_wait(handle, Native.Milliseconds(timeout), out chunk, out error), error);
            return new Chunk(chunk);
        }

        /// <summary>Takes the next chunk. A thread of the pool waits for it if there is none.</summary>
        public Task<Chunk> NextAsync(CancellationToken cancellation = default(CancellationToken))
        {
            return Task.Run(() =>
            {
                while (true)
                {
                    cancellation.ThrowIfCancellationRequested();
                    try
                    {
                        return Next(Slice);
                    }
                    catch (IscpException error) when (error.Status == Status.Timeout)
                    {
                    }
                }
            }, cancellation);
        }

        /// <summary>Chunks as they come, until this program closes the stream; fails when it ends otherwise.</summary>
        public IEnumerable<Chunk> Chunks()
        {
            while (true)
            {
                Chunk chunk;
                try
                {
                    chunk = Next();
                }
                catch (IscpException error) when (error.Status == Status.Closed)
                {
                    yield break;
                }
                catch (ObjectDisposedException)
                {
                    yield break;
                }
                yield return chunk;
            }
        }

        /// <summary>Takes the next metadata, as Next does for chunks.</summary>
        public Metadata NextMetadata(TimeSpan? timeout = null)
        {
            MetadataHandle metadata;
            IntPtr error;
            IscpException.Check(Native.iscp_downstream_next_metadata_wait(handle, Native.Milliseconds(timeout), out metadata, out error), error);
            return new Metadata(metadata);
        }

        /// <summary>Acknowledges what was taken and closes the stream. What was received can still be taken.</summary>
        public void Close(TimeSpan? timeout = null)
        {
            IntPtr error;
            IscpException.Check(Native.iscp_downstream_close_wait(handle, Native.Milliseconds(timeout), out error), error);
        }

        public Task CloseAsync(CancellationToken cancellation = default(CancellationToken))
        {
            return Operation<bool>.Run(cancellation, _ => true,
                (IntPtr user, out IntPtr error) => Native.iscp_downstream_close(handle, Callbacks.Done, user, out error));
        }

        public void Dispose()
        {
            if (handle.IsClosed) return;
            // Without this a thread that waits for a chunk would wait for ever, and keep the handle.
            IntPtr error;
            Native.iscp_downstream_close(handle, null, IntPtr.Zero, out error);
            Native.iscp_error_free(error);
            handle.Dispose();
        }
    }
}
