using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Iscp;

// The classes against the broker.
internal static class Tests
{
    private static int Main(string[] arguments)
    {
        if (arguments.Length == 3) return Exits.Run(arguments[1], arguments[2]);
        var only = arguments.FirstOrDefault();
        var status = 0;
        foreach (var tests in new[] { typeof(HeaderTests), typeof(Tests) }) status |= Support.RunAll(tests, only);
        return status;
    }

    private static Connection Connect(Broker broker, string node)
    {
        return Connection.Connect(new ConnectionOptions { Url = broker.Url, NodeId = node }, Support.Limit);
    }

    private static DownstreamOptions From(string node, string pattern = "#:#")
    {
        return new DownstreamOptions { QoS = QoS.Reliable }.AddFilter(node, pattern);
    }

    private static string Text(Point point)
    {
        return point.Type + ":" + point.Name + " " + point.ElapsedTimeNs + " " + BitConverter.ToString(point.Payload);
    }

    private static List<Point> Collect(Downstream downstream, int count)
    {
        var points = new List<Point>();
        while (points.Count < count) points.AddRange(downstream.Next(Support.Limit).Points);
        return points;
    }

    [Test]
    private static void WhatIsPublishedIsReceived()
    {
        using (var broker = new Broker())
        using (var receiver = Connect(broker, "receiver"))
        using (var sender = Connect(broker, "sender"))
        using (var downstream = receiver.OpenDownstream(From("sender", "number:a/#")))
        {
            sender.SendBaseTimeAsync("session", "edge_rtc", 1700000000123456789, 5, 20).Wait(Support.Limit);
            var upstream = sender.OpenUpstream(new UpstreamOptions { SessionId = "session", QoS = QoS.Reliable });
            var id = upstream.DataId("a/b", "number");
            var other = upstream.DataId("other", "number");
            var sent = new List<string>();
            for (int i = 0; i < 100; i++)
            {
                var payload = i == 50 ? new byte[0] : new[] { (byte)i };
                upstream.Write(id, i - 1, payload);
                upstream.Write(other, 0, payload);
                sent.Add(Text(new Point { Type = "number", Name = "a/b", ElapsedTimeNs = i - 1, Payload = payload }));
            }
            upstream.Flush();
            var stream = upstream.Id;
            upstream.Close(true, Support.Limit);
            Support.Equal(string.Join("\n", sent), string.Join("\n", Collect(downstream, 100).Select(Text)));

            var found = new Dictionary<MetadataKind, Metadata>();
            while (!found.ContainsKey(MetadataKind.UpstreamNormalClose))
            {
                var metadata = downstream.NextMetadata(Support.Limit);
                found[metadata.Kind] = metadata;
            }
            var time = found[MetadataKind.BaseTime];
            Support.Equal("session edge_rtc 20 5 1700000000123456789",
                string.Join(" ", time.SessionId, time.Name, time.Priority, time.ElapsedTimeNs, time.BaseTimeNs));
            Support.Equal(200UL, found[MetadataKind.UpstreamNormalClose].TotalPoints);
            Support.Equal(stream, found[MetadataKind.UpstreamNormalClose].StreamId);
            Support.Equal("sender", found[MetadataKind.UpstreamNormalClose].SourceNodeId);
            Support.Equal(true, stream != Guid.Empty);
        }
    }

    [Test]
    private static void ErrorsHaveStatusMessageAndResultCode()
    {
        using (var broker = new Broker("--token secret"))
        {
            var error = Support.Throws<IscpException>(
                () => Connection.Connect(new ConnectionOptions { Url = broker.Url, Token = "wrong" }, Support.Limit));
            Support.Equal(Status.Unauthorized, error.Status);
            Support.Equal("ISCP_ERR_UNAUTHORIZED", error.StatusName);
            Support.True(error.ResultCode >= 0 && error.Message != "" && !error.Retriable, error.ToString());
        }
    }

    [Test]
    private static void BadInput()
    {
        using (var broker = new Broker())
        using (var connection = Connect(broker, "sender"))
        {
            var options = new UpstreamOptions();
            options.Extra["no_such_option"] = "1";
            var error = Support.Throws<IscpException>(() => connection.OpenUpstream(options));
            Support.True(error.Status == Status.UnknownOption && error.Message.Contains("no_such_option"), error.Message);
            Support.Throws<ArgumentException>(() => connection.OpenUpstream(new UpstreamOptions { SessionId = "a\0b" }));
            Support.Throws<IscpException>(() => connection.OpenUpstream(new UpstreamOptions { QoS = (QoS)9 }));
            var upstream = connection.OpenUpstream();
            Support.Throws<ArgumentNullException>(() => upstream.Write(upstream.DataId("a", "t"), 0, null));
            Support.Throws<ArgumentOutOfRangeException>(() => upstream.Flush(FlushLevel.Sent, TimeSpan.FromSeconds(-1)));
            upstream.Dispose();
            upstream.Dispose();
            Support.Throws<ObjectDisposedException>(() => upstream.DataId("a", "t"));
            var pinned = Callbacks.Live;
            Support.Throws<ObjectDisposedException>(() => upstream.FlushAsync().Wait());
            Support.Equal(pinned, Callbacks.Live);
        }
    }

    [Test]
    private static void TasksAndCancellation()
    {
        using (var broker = new Broker())
        {
            Asynchronous(broker.Url).Wait(Support.Limit);
        }
        Support.Until("the release of every handle", () => Callbacks.Live == 0);
    }

    private static async Task Asynchronous(string url)
    {
        using (var receiver = await Connection.ConnectAsync(new ConnectionOptions { Url = url, NodeId = "receiver" }))
        using (var sender = await Connection.ConnectAsync(new ConnectionOptions { Url = url, NodeId = "sender" }))
        using (var downstream = await receiver.OpenDownstreamAsync(From("sender")))
        using (var upstream = await sender.OpenUpstreamAsync(new UpstreamOptions { QoS = QoS.Reliable }))
        {
            var next = downstream.NextAsync();
            upstream.Write(upstream.DataId("a", "t"), 7, new byte[] { 1 });
            await upstream.FlushAsync();
            Support.Equal("t:a 7 01", Text((await next).Points.Single()));
            await upstream.WriteAcknowledgedAsync(upstream.DataId("b", "t"), 8, new byte[0]);
            Support.Equal("t:b 8 ", Text((await downstream.NextAsync()).Points.Single()));

            var cancellation = new CancellationTokenSource();
            var waiting = downstream.NextAsync(cancellation.Token);
            cancellation.Cancel();
            Support.Throws<TaskCanceledException>(() => waiting.Wait());

            await upstream.CloseAsync();
            await downstream.CloseAsync();
            await receiver.CloseAsync();
            var error = Support.Throws<IscpException>(() => downstream.NextAsync().Wait());
            Support.Equal(Status.Closed, error.Status);
            await sender.CloseAsync();
        }
    }

    // What is opened after the application lost interest must not stay open.
    [Test]
    private static void AnAbandonedConnectionIsClosedAgain()
    {
        using (var broker = new Broker())
        {
            var cancellation = new CancellationTokenSource();
            var answer = new TaskCompletionSource<string>();
            var asked = new ManualResetEventSlim();
            var closed = new ManualResetEventSlim();
            var task = Connection.ConnectAsync(new ConnectionOptions
            {
                Url = broker.Url,
                TokenSource = () => { asked.Set(); return answer.Task; },
                OnEvent = one => { if (one.Kind == ConnectionEventKind.Closed) closed.Set(); },
            }, cancellation.Token);
            Support.True(asked.Wait(Support.Limit), "nobody asked for a token");
            cancellation.Cancel();
            Support.Throws<TaskCanceledException>(() => task.Wait());
            answer.SetResult("");
            Support.True(closed.Wait(Support.Limit), "the connection was not closed");
        }
        Support.Until("the release of every handle", () => Callbacks.Live == 0);
    }

    [Test]
    private static void CallbacksAreReleasedOnce()
    {
        using (var broker = new Broker("--token secret"))
        {
            var events = new ConcurrentQueue<ConnectionEventKind>();
            var acks = new ConcurrentQueue<Ack>();
            Status inside = Status.Ok;
            var connection = Connection.Connect(new ConnectionOptions
            {
                Url = broker.Url,
                TokenSource = () => Task.FromResult("secret"),
                OnEvent = one => events.Enqueue(one.Kind),
            }, Support.Limit);
            var upstream = connection.OpenUpstream(new UpstreamOptions
            {
                QoS = QoS.Reliable,
                OnAck = ack =>
                {
                    inside = Support.Throws<IscpException>(() => connection.Close()).Status;
                    acks.Enqueue(ack);
                },
            });
            Support.True(Callbacks.Live > 0, "nothing is held");
            upstream.Write(upstream.DataId("a", "t"), 0, new byte[0]);
            upstream.Close(false, Support.Limit);
            Support.Until("the acknowledgement", () => acks.Count == 1);
            upstream.Dispose();
            connection.Close(Support.Limit);
            connection.Dispose();
            Support.Until("the release of every handle", () => Callbacks.Live == 0);
            Support.Equal("Connected Closed", string.Join(" ", events));
            Support.Equal("1 0", string.Join(" ", acks.Select(ack => ack.SequenceNumber + " " + ack.ResultCode)));
            Support.Equal(Status.InCallback, inside);
        }
    }

    [Test]
    private static void PointsWrittenTogetherStayTogetherAndTellTheirFilters()
    {
        using (var broker = new Broker())
        using (var receiver = Connect(broker, "receiver"))
        using (var sender = Connect(broker, "sender"))
        {
            var from = From("sender", "number:#").AddFilter("sender", "#:a").AddFilter("sender", "text:none");
            from.Extra["chunk_order"] = "strict";
            var options = new UpstreamOptions { QoS = QoS.Reliable };
            options.Extra["flush_policy"] = "immediate";
            using (var downstream = receiver.OpenDownstream(from))
            using (var upstream = sender.OpenUpstream(options))
            {
                var a = upstream.DataId("a", "number");
                var b = upstream.DataId("b", "number");
                upstream.WriteTogether(new[]
                {
                    new UpstreamPoint { DataId = a, ElapsedTimeNs = -1, Payload = new byte[] { 1 } },
                    new UpstreamPoint { DataId = b, ElapsedTimeNs = 2, Payload = new byte[0] },
                    new UpstreamPoint { DataId = a, ElapsedTimeNs = 3, Payload = new byte[] { 3, 4 } },
                });
                upstream.WriteTogether(new UpstreamPoint[0]);
                Support.Throws<ArgumentNullException>(() => upstream.WriteTogether(new[] { new UpstreamPoint { DataId = a } }));
                Support.Equal(Status.InvalidArgument, Support.Throws<IscpException>(
                    () => upstream.WriteTogether(new[] { new UpstreamPoint { Payload = new byte[0] } })).Status);
                var points = downstream.Next(Support.Limit).Points.OrderBy(point => point.ElapsedTimeNs);
                Support.Equal("number:a -1 01, number:b 2 , number:a 3 03-04", string.Join(", ", points.Select(Text)));
                Support.Equal("0+1 0 0+1", string.Join(" ", points.Select(point => string.Join("+", point.Filters.OrderBy(one => one)))));
            }
        }
    }

    [Test]
    private static void StreamsTellHowTheyComeBackAndEnd()
    {
        using (var broker = new Broker())
        using (var chaos = new Chaos(broker))
        {
            var told = new ConcurrentQueue<string>();
            var options = new ConnectionOptions { Url = chaos.Url, NodeId = "node" };
            options.Extra["close_timeout_ms"] = "100";
            options.Extra["reconnect_min_interval_ms"] = "10";
            options.Extra["reconnect_max_interval_ms"] = "50";
            var connection = Connection.Connect(options, Support.Limit);
            var upstream = connection.OpenUpstream(new UpstreamOptions
            {
                QoS = QoS.Reliable,
                OnEvent = one => told.Enqueue("up " + one.Kind + one.StreamId + one.FormerStreamId),
                OnClosed = end => told.Enqueue("up " + (end.Error != null) + end.UndeliveredPoints + end.UndeliveredChunks.Count),
            });
            var from = From("node");
            from.OnEvent = one => told.Enqueue("down " + one.Kind + one.StreamId + one.FormerStreamId);
            from.OnClosed = error => told.Enqueue("down " + (error == null));
            var downstream = connection.OpenDownstream(from);
            chaos.Do("cut");
            Support.Until("the streams coming back", () => told.Count == 2);
            downstream.Close(Support.Limit);
            chaos.Do("refuse");
            chaos.Do("cut");
            Support.Until("the loss", () => connection.State == ConnectionState.Reconnecting);
            upstream.Write(upstream.DataId("a", "t"), 0, new byte[1]);
            Support.Throws<IscpException>(() => connection.Close(Support.Limit));
            Support.Until("the ends", () => told.Count == 4);
            var back = new[] { "up Resumed" + upstream.Id + upstream.Id, "down Resumed" + downstream.Id + downstream.Id };
            Support.Equal(string.Join(",", back.OrderBy(one => one)), string.Join(",", told.Take(2).OrderBy(one => one)));
            Support.Equal("down True,up True10", string.Join(",", told.Skip(2)));
            upstream.Dispose();
            downstream.Dispose();
            connection.Dispose();
            Support.Until("the release of every handle", () => Callbacks.Live == 0);
        }
    }

    [Test]
    private static void CallbacksAreReleasedWhenConnectingFails()
    {
        using (var broker = new Broker())
        {
            Func<Task<string>> locked = () => { throw new InvalidOperationException("the vault is locked"); };
            Func<Task<string>> invalid = () => Task.FromResult("a\0b");
            foreach (var source in new[] { locked, invalid })
            {
                var error = Support.Throws<IscpException>(() => Connection.Connect(new ConnectionOptions
                {
                    Url = broker.Url, OnEvent = _ => { }, TokenSource = source,
                }));
                Support.Equal(Status.TokenFailed, error.Status);
                Support.True(source != locked || error.Message.Contains("the vault is locked"), error.Message);
            }
            foreach (var url in new[] { "nonsense", "ws://127.0.0.1:1" })
            {
                Support.Throws<IscpException>(() => Connection.ConnectAsync(new ConnectionOptions { Url = url, OnEvent = _ => { } }).Wait());
            }
        }
        Support.Until("the release of every handle", () => Callbacks.Live == 0);
    }

    [Test]
    private static void ForgottenObjectsAreFreed()
    {
        using (var broker = new Broker())
        {
            // On a thread of its own, whose stack keeps no reference.
            var thread = new Thread(() => Forget(broker));
            thread.Start();
            thread.Join();
            Support.Until("the release of every handle", () =>
            {
                GC.Collect();
                return Callbacks.Live == 0;
            });
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Forget(Broker broker)
    {
        var connection = Connection.Connect(new ConnectionOptions { Url = broker.Url, OnEvent = _ => { } });
        for (int i = 0; i < 5; i++)
        {
            connection.OpenUpstream(new UpstreamOptions { OnAck = _ => { } });
            connection.OpenDownstream(From("nobody"));
        }
        Support.True(Callbacks.Live >= 6, "nothing is held");
    }

    // The collector stops every thread that runs managed code, those of the library included, which block all signals.
    [Test]
    private static void TheCollectorRunsWhileTheLibraryCalls()
    {
        using (var broker = new Broker())
        using (var connection = Connect(broker, "sender"))
        {
            int acks = 0;
            var options = new UpstreamOptions { QoS = QoS.Reliable, OnAck = ack => { Interlocked.Increment(ref acks); new byte[1000].Initialize(); } };
            options.Extra["flush_policy"] = "immediate";
            options.Extra["ack_interval_ms"] = "0";
            using (var upstream = connection.OpenUpstream(options))
            {
                var id = upstream.DataId("a", "t");
                for (int i = 0; i < 2000; i++)
                {
                    upstream.Write(id, i, new byte[100]);
                    if (i % 20 == 0) GC.Collect(i % 3);
                }
                upstream.Close(false, Support.Limit);
            }
            connection.Close(Support.Limit);
            Support.True(acks > 0, "no callback");
        }
        Support.Until("the release of every handle", () => Callbacks.Live == 0);
    }

    [Test]
    private static void ThreadsShareAStream()
    {
        using (var broker = new Broker())
        using (var receiver = Connect(broker, "receiver"))
        using (var sender = Connect(broker, "sender"))
        using (var downstream = receiver.OpenDownstream(From("sender")))
        using (var upstream = sender.OpenUpstream(new UpstreamOptions { QoS = QoS.Reliable }))
        {
            Parallel.For(0, 8, new ParallelOptions { MaxDegreeOfParallelism = 8 }, name =>
            {
                var id = upstream.DataId(name.ToString(), "t");
                for (int i = 0; i < 200; i++) upstream.Write(id, i, new[] { (byte)name });
            });
            upstream.Close();
            var streams = Collect(downstream, 8 * 200).GroupBy(point => point.Name).ToList();
            Support.Equal(8, streams.Count);
            foreach (var points in streams)
            {
                Support.Equal(string.Join(" ", Enumerable.Range(0, 200)), string.Join(" ", points.Select(point => point.ElapsedTimeNs)));
            }
        }
    }

    [Test]
    private static void ClosingAndDisposingWakeThoseWhoWait()
    {
        using (var broker = new Broker())
        {
            foreach (var dispose in new[] { false, true })
            {
                var connection = Connect(broker, "receiver");
                var downstream = connection.OpenDownstream(From("nobody"));
                var chunks = Task.Factory.StartNew(() => downstream.Chunks().Count(), TaskCreationOptions.LongRunning);
                var calls = Task.Factory.StartNew(() => connection.NextCall(), TaskCreationOptions.LongRunning);
                if (dispose) downstream.Dispose(); else downstream.Close(Support.Limit);
                Support.True(chunks.Wait(Support.Limit), "the reader waits on");
                Support.Equal(0, chunks.Result);
                if (dispose) connection.Dispose(); else connection.Close(Support.Limit);
                try
                {
                    Support.True(calls.Wait(Support.Limit), "the server of calls waits on");
                }
                catch (AggregateException ended)
                {
                    var error = ended.InnerException as IscpException;
                    Support.True(error != null ? error.Status == Status.Closed : ended.InnerException is ObjectDisposedException, ended.ToString());
                }
            }
        }
    }

    [Test]
    private static void Calls()
    {
        using (var broker = new Broker())
        using (var server = Connect(broker, "server"))
        using (var caller = Connect(broker, "caller"))
        {
            var serving = Task.Run(() =>
            {
                using (var call = server.NextCall(Support.Limit))
                {
                    call.ReplyAsync("reply", call.Type, call.Payload.Reverse().ToArray()).Wait(Support.Limit);
                }
            });
            using (var reply = caller.CallAsync("server", "reverse", "text", Encoding.UTF8.GetBytes("abc"), Support.Limit).Result)
            {
                Support.Equal("server reply text cba", string.Join(" ", reply.SourceNodeId, reply.Name, reply.Type, Encoding.UTF8.GetString(reply.Payload)));
            }
            Support.True(serving.Wait(Support.Limit), "the server did not end");
            var error = Support.Throws<IscpException>(() => caller.CallAsync("nobody", "reverse", "text", new byte[0]).Wait());
            Support.Equal(Status.Refused, error.Status);
        }
    }

    [Test]
    private static void TheProcessEndsCleanlyWhileConnected()
    {
        using (var broker = new Broker())
        {
            foreach (var name in Exits.All.Keys)
            {
                var process = Support.Start(Support.Setting("MONO"), "\"" + Assembly.GetExecutingAssembly().Location + "\" exit \"" + name + "\" " + broker.Url);
                Support.Equal(name + ": status 0", name + ": " + Support.Finish(process));
            }
        }
    }

    [Test]
    private static void Examples()
    {
        var directory = AppDomain.CurrentDomain.BaseDirectory;
        using (var broker = new Broker())
        {
            var receiving = Support.Start(Support.Setting("MONO"), "\"" + directory + "/Receive.exe\" " + broker.Url);
            Support.Equal("listening", receiving.StandardOutput.ReadLine());
            var sending = Support.Start(Support.Setting("MONO"), "\"" + directory + "/Send.exe\" " + broker.Url);
            Support.Equal("the server confirmed every point\nstatus 0", Support.Finish(sending));
            var want = string.Concat(Enumerable.Range(0, 10).Select(i => "room/temperature 0." + i + " s: 20." + i + "\n"));
            Support.Equal(want + "status 0", Support.Finish(receiving));
        }
    }
}
