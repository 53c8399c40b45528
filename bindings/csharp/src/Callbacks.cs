using System;
using System.Diagnostics;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;

namespace Iscp
{
    // What the library calls. The delegates are static, so the collector never takes them while the library has them; the
    // object that a call is for travels as a GCHandle, which is freed once: by the call of a one-shot callback, by the
    // release function of a long-lived one.
    internal static class Callbacks
    {
        internal static readonly iscp_release_cb Release = OnRelease;
        internal static readonly iscp_done_cb Done = (error, user) => Complete(IntPtr.Zero, error, user);
        internal static readonly iscp_connect_cb Connected = Complete;
        internal static readonly iscp_upstream_open_cb UpstreamOpened = Complete;
        internal static readonly iscp_downstream_open_cb DownstreamOpened = Complete;
        internal static readonly iscp_reply_cb Replied = (reply, error, user) => Complete(Native.iscp_call_ref(reply), error, user);
        internal static readonly iscp_token_cb Token = OnToken;
        internal static readonly iscp_event_cb Event = OnEvent;
        internal static readonly iscp_ack_cb Ack = OnAck;
        internal static readonly iscp_stream_event_cb StreamEvent = OnStreamEvent;
        internal static readonly iscp_upstream_closed_cb UpstreamClosed = OnUpstreamClosed;
        internal static readonly iscp_closed_cb DownstreamClosed = OnDownstreamClosed;

        // How long the end of the program waits for the threads of the library. A connection takes at most its
        // close_timeout_ms and two seconds.
        private const int ExitTimeoutMs = 15000;

        private static int live;
        private static volatile bool ended;

        // No thread of the library may call into a domain that is gone. And at the end of the process Mono waits for every
        // thread that ever ran managed code, so these must have ended by then.
        static Callbacks()
        {
            AppDomain.CurrentDomain.DomainUnload += (sender, arguments) => ShutDown();
            AppDomain.CurrentDomain.ProcessExit += (sender, arguments) => ShutDown();
        }

        private static void ShutDown()
        {
            ended = true;
            var watch = Stopwatch.StartNew();
            long left;
            // Again while another thread still connects with callbacks that it has set before.
            while ((left = ExitTimeoutMs - watch.ElapsedMilliseconds) > 0)
            {
                IntPtr error;
                Native.iscp_shutdown((int)left, out error);
                Native.iscp_error_free(error);
                if (Live == 0) return;
                Thread.Sleep(10);
            }
        }

        internal static int Live { get { return Volatile.Read(ref live); } }

        internal static IntPtr Keep(object target)
        {
            Interlocked.Increment(ref live);
            if (ended)
            {
                Interlocked.Decrement(ref live);
                throw new InvalidOperationException("the program is ending: the library cannot call it any more");
            }
            return GCHandle.ToIntPtr(GCHandle.Alloc(target));
        }

        internal static object Free(IntPtr userData)
        {
            var handle = GCHandle.FromIntPtr(userData);
            var target = handle.Target;
            handle.Free();
            Interlocked.Decrement(ref live);
            return target;
        }

        private static T Target<T>(IntPtr userData)
        {
            return (T)GCHandle.FromIntPtr(userData).Target;
        }

        private static void OnRelease(IntPtr userData)
        {
            LibraryThread.Enter();
            Free(userData);
        }

        private static void Complete(IntPtr pointer, IntPtr error, IntPtr userData)
        {
            LibraryThread.Enter();
            ((IOperation)Free(userData)).Complete(pointer, error);
        }

        private static void OnToken(IntPtr request, IntPtr userData)
        {
            LibraryThread.Enter();
            var source = Target<Func<Task<string>>>(userData);
            // On the thread pool: the source may take long, and others of this connection have to be called.
            Task.Run(async () =>
            {
                IntPtr error;
                try
                {
                    var token = Native.Text(await source().ConfigureAwait(false), "token");
                    if (Native.iscp_token_request_resolve(request, token, out error) == 0) return;
                    Native.iscp_error_free(error);
                    throw new ArgumentException("the token is not valid text");
                }
                catch (Exception failure)
                {
                    var reason = (failure.GetType().Name + ": " + failure.Message).Replace('\0', ' ');
                    Native.iscp_token_request_reject(request, Native.Text(reason, "reason"), out error);
                    Native.iscp_error_free(error);
                }
            });
        }

        private static void OnEvent(IntPtr happened, IntPtr userData)
        {
            LibraryThread.Enter();
            var kind = (ConnectionEventKind)Native.iscp_event_kind(happened);
            if (kind > ConnectionEventKind.Closed) return; // about a stream
            var error = Native.iscp_event_error(happened);
            Guard(() => Target<Action<ConnectionEvent>>(userData)(new ConnectionEvent
            {
                Kind = kind,
                Attempt = Native.iscp_event_attempt(happened),
                Delay = TimeSpan.FromMilliseconds(Native.iscp_event_delay_ms(happened)),
                Error = Reason(error),
            }));
        }

        private static void OnAck(uint sequenceNumber, int resultCode, IntPtr resultString, IntPtr userData)
        {
            LibraryThread.Enter();
            Guard(() => Target<Action<Ack>>(userData)(new Ack
            {
                SequenceNumber = sequenceNumber,
                ResultCode = resultCode,
                ResultString = Native.Text(resultString),
            }));
        }

        private static void OnStreamEvent(int happened, IntPtr streamId, IntPtr formerStreamId, IntPtr userData)
        {
            LibraryThread.Enter();
            Guard(() => Target<Action<StreamEvent>>(userData)(new StreamEvent
            {
                Kind = (StreamEventKind)happened,
                StreamId = NativeUuid.Read(streamId),
                FormerStreamId = NativeUuid.Read(formerStreamId),
            }));
        }

        private static void OnUpstreamClosed(
            IntPtr error, ulong undeliveredPoints, IntPtr undeliveredChunks, UIntPtr undeliveredChunkCount, IntPtr userData)
        {
            LibraryThread.Enter();
            Guard(() => Target<Action<UpstreamEnd>>(userData)(new UpstreamEnd
            {
                Error = Reason(error),
                UndeliveredPoints = undeliveredPoints,
                UndeliveredChunks = Native.Numbers(undeliveredChunks, undeliveredChunkCount),
            }));
        }

        private static void OnDownstreamClosed(IntPtr error, IntPtr userData)
        {
            LibraryThread.Enter();
            Guard(() => Target<Action<IscpException>>(userData)(Reason(error)));
        }

        private static IscpException Reason(IntPtr error)
        {
            return error == IntPtr.Zero ? null : IscpException.Of(error);
        }

        // An exception must not unwind through the library. It ends the process as one on any other thread does.
        private static void Guard(Action handler)
        {
            try
            {
                handler();
            }
            catch (Exception failure)
            {
                var captured = ExceptionDispatchInfo.Capture(failure);
                ThreadPool.QueueUserWorkItem(_ => captured.Throw());
            }
        }
    }

    internal interface IOperation
    {
        void Complete(IntPtr pointer, IntPtr error);
    }

    // An operation of the library as a task. What it makes after the task was cancelled is freed again.
    internal sealed class Operation<T> : IOperation
    {
        internal delegate int Start(IntPtr userData, out IntPtr error);

        private readonly TaskCompletionSource<T> source =
            new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly Func<IntPtr, T> make;
        private CancellationTokenRegistration registration;

        private Operation(Func<IntPtr, T> make)
        {
            this.make = make;
        }

        internal static Task<T> Run(CancellationToken cancellation, Func<IntPtr, T> make, Start start)
        {
            cancellation.ThrowIfCancellationRequested();
            var operation = new Operation<T>(make);
            operation.registration = cancellation.Register(() => operation.source.TrySetCanceled(cancellation));
            var userData = Callbacks.Keep(operation);
            IntPtr error = IntPtr.Zero;
            int status;
            try
            {
                status = start(userData, out error);
            }
            catch
            {
                // Disposed handles are found out before the library is called.
                Callbacks.Free(userData);
                operation.registration.Dispose();
                throw;
            }
            if (status != 0)
            {
                Callbacks.Free(userData);
                operation.registration.Dispose();
                IscpException.Check(status, error);
            }
            return operation.source.Task;
        }

        void IOperation.Complete(IntPtr pointer, IntPtr error)
        {
            if (error != IntPtr.Zero)
            {
                source.TrySetException(IscpException.Of(error));
            }
            else
            {
                Deliver(pointer);
            }
            registration.Dispose();
        }

        private void Deliver(IntPtr pointer)
        {
            T made;
            try
            {
                made = make(pointer);
            }
            catch (Exception failure)
            {
                // It must not unwind through the library.
                source.TrySetException(failure);
                return;
            }
            if (source.TrySetResult(made)) return;
            var disposable = made as IDisposable;
            if (disposable != null) disposable.Dispose();
        }
    }
}
