using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;

namespace Iscp
{
    /// <summary>QoS of a stream.</summary>
    public enum QoS
    {
        /// <summary>Points may be lost.</summary>
        Unreliable = 0,
        /// <summary>The server confirms every point; one that could not be delivered is reported.</summary>
        Reliable = 1,
        /// <summary>The reliable channel, but nothing is sent again after a loss of the connection.</summary>
        Partial = 2,
    }

    /// <summary>Where and how to connect.</summary>
    public sealed class ConnectionOptions
    {
        /// <summary>ws, wss, quic or webtransport://host:port/path.</summary>
        public string Url { get; set; }
        public string NodeId { get; set; }
        /// <summary>An access token that never changes.</summary>
        public string Token { get; set; }
        /// <summary>Gives an access token before every attempt to connect, on the thread pool.</summary>
        public Func<Task<string>> TokenSource { get; set; }
        /// <summary>
        /// Told what happens to the connection, on a thread of the library, in order. It should return soon; blocking
        /// methods fail inside it with Status.InCallback.
        /// </summary>
        public Action<ConnectionEvent> OnEvent { get; set; }
        /// <summary>Options by their name in docs/options.md, such as "tls_ca_file".</summary>
        public IDictionary<string, string> Extra { get; private set; } = new Dictionary<string, string>();
    }

    public enum ConnectionEventKind
    {
        Connected = 1,
        Disconnected = 2,
        Reconnecting = 3,
        Reconnected = 4,
        Closed = 5,
    }

    /// <summary>What happened to a connection.</summary>
    public sealed class ConnectionEvent
    {
        public ConnectionEventKind Kind { get; internal set; }
        /// <summary>Number of the attempt to reconnect, from 1.</summary>
        public uint Attempt { get; internal set; }
        /// <summary>How long until that attempt.</summary>
        public TimeSpan Delay { get; internal set; }
        /// <summary>Why, or null.</summary>
        public IscpException Error { get; internal set; }
    }

    public enum ConnectionState
    {
        Connected = 1,
        Closed = 2,
        Reconnecting = 3,
    }

    /// <summary>
    /// A connection to a server. Close waits for the server; Dispose closes in the background, its streams included. One that is
    /// forgotten is closed once its streams were let go too. All members may be used from several threads.
    /// </summary>
    public sealed class Connection : IDisposable
    {
        internal readonly ConnHandle Handle;

        private Connection(ConnHandle handle)
        {
            Handle = handle;
        }

        /// <summary>Version of the library that is running.</summary>
        public static string LibraryVersion { get { return Native.Text(Native.iscp_version()); } }

        /// <summary>Connects. A null time-out waits as long as the options allow.</summary>
        public static Connection Connect(ConnectionOptions options, TimeSpan? timeout = null)
        {
            using (var collected = Collect(options))
            {
                ConnHandle handle;
                IntPtr error;
                IscpException.Check(Native.iscp_connect_wait(collected, Native.Milliseconds(timeout), out handle, out error), error);
                return new Connection(handle);
            }
        }

        public static Task<Connection> ConnectAsync(ConnectionOptions options, CancellationToken cancellation = default(CancellationToken))
        {
            using (var collected = Collect(options))
            {
                return Operation<Connection>.Run(cancellation, pointer => new Connection(LibraryHandle.Wrap<ConnHandle>(pointer)),
                    (IntPtr user, out IntPtr error) => Native.iscp_connect(collected, Callbacks.Connected, user, out error));
            }
        }

        private static ConnOptionsHandle Collect(ConnectionOptions options)
        {
            var collected = Native.iscp_conn_options_new();
            try
            {
                Set(collected, "url", options.Url ?? "");
                if (options.NodeId != null) Set(collected, "node_id", options.NodeId);
                if (options.Token != null) Set(collected, "token", options.Token);
                foreach (var option in options.Extra) Set(collected, option.Key, option.Value);
                IntPtr error;
                // The library releases what it is given, also when a setter fails.
                if (options.TokenSource != null)
                {
                    IscpException.Check(Native.iscp_conn_options_set_token_callback(
                        collected, Callbacks.Token, Callbacks.Keep(options.TokenSource), Callbacks.Release, out error), error);
                }
                if (options.OnEvent != null)
                {
                    IscpException.Check(Native.iscp_conn_options_set_event_callback(
                        collected, Callbacks.Event, Callbacks.Keep(options.OnEvent), Callbacks.Release, out error), error);
                }
                return collected;
            }
            catch
            {
                collected.Dispose();
                throw;
            }
        }

        private static void Set(ConnOptionsHandle options, string key, string value)
        {
            IntPtr error;
            IscpException.Check(Native.iscp_conn_options_set(options, Native.Text(key, "key"), Native.Text(value, key), out error), error);
        }

        public ConnectionState State
        {
            get { return Handle.IsClosed ? ConnectionState.Closed : (ConnectionState)Native.iscp_conn_state(Handle); }
        }

        public Upstream OpenUpstream(UpstreamOptions options = null, TimeSpan? timeout = null)
        {
            using (var collected = Upstream.Collect(options ?? new UpstreamOptions()))
            {
                UpstreamHandle handle;
                IntPtr error;
                IscpException.Check(Native.iscp_upstream_open_wait(Handle, collected, Native.Milliseconds(timeout), out handle, out error), error);
                return new Upstream(handle);
            }
        }

        public Task<Upstream> OpenUpstreamAsync(UpstreamOptions options = null, CancellationToken cancellation = default(CancellationToken))
        {
            using (var collected = Upstream.Collect(options ?? new UpstreamOptions()))
            {
                return Operation<Upstream>.Run(cancellation, pointer => new Upstream(LibraryHandle.Wrap<UpstreamHandle>(pointer)),
                    (IntPtr user, out IntPtr error) => Native.iscp_upstream_open(Handle, collected, Callbacks.UpstreamOpened, user, out error));
            }
        }

        public Downstream OpenDownstream(DownstreamOptions options, TimeSpan? timeout = null)
        {
            using (var collected = Downstream.Collect(options))
            {
                DownstreamHandle handle;
                IntPtr error;
                IscpException.Check(Native.iscp_downstream_open_wait(Handle, collected, Native.Milliseconds(timeout), out handle, out error), error);
                return new Downstream(handle);
            }
        }

        public Task<Downstream> OpenDownstreamAsync(DownstreamOptions options, CancellationToken cancellation = default(CancellationToken))
        {
            using (var collected = Downstream.Collect(options))
            {
                return Operation<Downstream>.Run(cancellation, pointer => new Downstream(LibraryHandle.Wrap<DownstreamHandle>(pointer)),
                    (IntPtr user, out IntPtr error) => Native.iscp_downstream_open(Handle, collected, Callbacks.DownstreamOpened, user, out error));
            }
        }

        /// <summary>Ties the elapsed times of a session to a clock; readers receive it as metadata.</summary>
        public Task SendBaseTimeAsync(
            string sessionId, string name, long baseTimeNs, long elapsedTimeNs = 0, uint priority = 0, bool persist = false,
            CancellationToken cancellation = default(CancellationToken))
        {
            return Operation<bool>.Run(cancellation, _ => true, (IntPtr user, out IntPtr error) => Native.iscp_conn_send_base_time(
                Handle, Native.Text(sessionId, "sessionId"), Native.Text(name, "name"), priority, elapsedTimeNs, baseTimeNs, persist,
                Callbacks.Done, user, out error));
        }

        /// <summary>Calls another node and waits for its reply.</summary>
        public Task<Call> CallAsync(
            string nodeId, string name, string type, byte[] payload, TimeSpan? timeout = null,
            CancellationToken cancellation = default(CancellationToken))
        {
            return Operation<Call>.Run(cancellation, pointer => new Call(this, LibraryHandle.Wrap<CallHandle>(pointer)),
                (IntPtr user, out IntPtr error) => Native.iscp_conn_call(
                    Handle, Native.Text(nodeId, "nodeId"), Native.Text(name, "name"), Native.Text(type, "type"), payload,
                    Native.Length(payload), Native.Milliseconds(timeout), Callbacks.Replied, user, out error));
        }

        /// <summary>Takes the next call of another node. A null time-out waits until there is one.</summary>
        public Call NextCall(TimeSpan? timeout = null)
        {
            CallHandle handle;
            IntPtr error;
            IscpException.Check(Native.iscp_conn_next_call_wait(Handle, Native.Milliseconds(timeout), out handle, out error), error);
            return new Call(this, handle);
        }

        /// <summary>Flushes and closes all streams, then the connection, and waits for it.</summary>
        public void Close(TimeSpan? timeout = null)
        {
            IntPtr error;
            IscpException.Check(Native.iscp_conn_close_wait(Handle, Native.Milliseconds(timeout), out error), error);
        }

        public Task CloseAsync(CancellationToken cancellation = default(CancellationToken))
        {
            return Operation<bool>.Run(cancellation, _ => true,
                (IntPtr user, out IntPtr error) => Native.iscp_conn_close(Handle, Callbacks.Done, user, out error));
        }

        public void Dispose()
        {
            if (Handle.IsClosed) return;
            // Without this a thread that waits for a call would wait for ever, and keep the handle.
            IntPtr error;
            Native.iscp_conn_close(Handle, null, IntPtr.Zero, out error);
            Native.iscp_error_free(error);
            Handle.Dispose();
        }
    }

    /// <summary>A call of another node, or the reply to one.</summary>
    public sealed class Call : IDisposable
    {
        private readonly Connection connection;
        private readonly CallHandle handle;

        public string Id { get; private set; }
        public string SourceNodeId { get; private set; }
        public string Name { get; private set; }
        public string Type { get; private set; }
        public byte[] Payload { get; private set; }

        internal Call(Connection connection, CallHandle handle)
        {
            this.connection = connection;
            this.handle = handle;
            Id = Native.Text(Native.iscp_call_id(handle));
            SourceNodeId = Native.Text(Native.iscp_call_source_node_id(handle));
            Name = Native.Text(Native.iscp_call_name(handle));
            Type = Native.Text(Native.iscp_call_type(handle));
            IntPtr payload;
            UIntPtr length;
            IscpException.Check(Native.iscp_call_payload(handle, out payload, out length));
            Payload = Native.Bytes(payload, length);
        }

        /// <summary>Replies to the sender and waits until the server took the reply.</summary>
        public Task ReplyAsync(string name, string type, byte[] payload, CancellationToken cancellation = default(CancellationToken))
        {
            return Operation<bool>.Run(cancellation, _ => true, (IntPtr user, out IntPtr error) => Native.iscp_conn_send_reply(
                connection.Handle, handle, Native.Text(name, "name"), Native.Text(type, "type"), payload, Native.Length(payload),
                Callbacks.Done, user, out error));
        }

        public void Dispose()
        {
            handle.Dispose();
        }
    }
}
