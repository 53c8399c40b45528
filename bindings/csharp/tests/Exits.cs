using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using System.Threading;
using System.Threading.Tasks;
using Iscp;

// Programs that end while they are connected; a test starts each.
internal static class Exits
{
    internal static readonly Dictionary<string, Action<string>> All = new Dictionary<string, Action<string>>
    {
        { "returning from Main", url => Open(url) },
        { "Environment.Exit", url => { Open(url); Environment.Exit(0); } },
        { "a thread that waits", url =>
            {
                var stream = Open(url).Item1.OpenDownstream(new DownstreamOptions().AddFilter("nobody"));
                new Thread(() => stream.Chunks().Count()) { IsBackground = true }.Start();
            }
        },
        { "tasks on their way", url =>
            {
                var stream = Open(url).Item2;
                for (int i = 0; i < 100; i++)
                {
                    stream.Write(stream.DataId("a", "t"), i, new byte[10]);
                    stream.FlushAsync();
                }
            }
        },
        { "callbacks on their way", url =>
            {
                var stream = Open(url).Item2;
                var id = stream.DataId("a", "t");
                for (int i = 0; i < 2000; i++) stream.Write(id, i, new byte[10]);
            }
        },
        { "a callback that runs", url =>
            {
                var running = new ManualResetEventSlim();
                var options = new UpstreamOptions { OnAck = _ => { running.Set(); Thread.Sleep(300); } };
                options.Extra["flush_policy"] = "immediate";
                var stream = Open(url).Item1.OpenUpstream(options);
                stream.Write(stream.DataId("a", "t"), 0, new byte[10]);
                running.Wait();
            }
        },
        { "a thread that connects again and again", url =>
            {
                Open(url);
                new Thread(() =>
                {
                    while (true)
                    {
                        try
                        {
                            Open(url);
                        }
                        catch (IscpException) { }
                        catch (InvalidOperationException) { }
                    }
                }) { IsBackground = true }.Start();
            }
        },
        { "a token source that does not answer", url =>
            {
                var asked = new ManualResetEventSlim();
                Connection.ConnectAsync(new ConnectionOptions
                {
                    Url = url, TokenSource = () => { asked.Set(); return new TaskCompletionSource<string>().Task; },
                });
                asked.Wait();
            }
        },
        { "an application domain that is unloaded", url =>
            {
                var domain = AppDomain.CreateDomain("plugin", null, AppDomain.CurrentDomain.SetupInformation);
                var plugin = (Plugin)domain.CreateInstanceAndUnwrap(Assembly.GetExecutingAssembly().FullName, typeof(Plugin).FullName);
                plugin.Start(url);
                AppDomain.Unload(domain);
                Thread.Sleep(200); // a time in which the library would call what is gone
            }
        },
    };

    internal static int Run(string name, string url)
    {
        All[name](url);
        return 0;
    }

    internal static Tuple<Connection, Upstream> Open(string url)
    {
        var connection = Connection.Connect(new ConnectionOptions
        {
            Url = url, OnEvent = _ => { }, TokenSource = () => Task.FromResult(""),
        });
        var options = new UpstreamOptions { QoS = QoS.Reliable, OnAck = _ => { } };
        options.Extra["flush_policy"] = "immediate";
        options.Extra["ack_interval_ms"] = "0";
        return Tuple.Create(connection, connection.OpenUpstream(options));
    }

    public sealed class Plugin : MarshalByRefObject
    {
        public void Start(string url)
        {
            var stream = Open(url).Item2;
            var id = stream.DataId("a", "t");
            for (int i = 0; i < 500; i++) stream.Write(id, i, new byte[10]);
        }
    }
}
