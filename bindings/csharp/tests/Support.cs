using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using System.Reflection;
using System.Threading;

// What the tests share: a broker, other programs, assertions, and the runner. Mono brings no test framework.
[AttributeUsage(AttributeTargets.Method)]
internal sealed class TestAttribute : Attribute { }

internal static class Support
{
    internal static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    internal static int RunAll(Type tests, string only)
    {
        int ran = 0, failed = 0;
        foreach (var method in tests.GetMethods(BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.Public))
        {
            if (method.GetCustomAttribute<TestAttribute>() == null || (only != null && method.Name != only)) continue;
            ran++;
            var failure = RunOne((Action)Delegate.CreateDelegate(typeof(Action), method), method.Name);
            if (failure == null) continue;
            failed++;
            Console.WriteLine("FAILED {0}: {1}", method.Name, failure);
        }
        Console.WriteLine("{0} C# tests run, {1} failed", ran, failed);
        return failed == 0 && ran > 0 ? 0 : 1;
    }

    // A test that does not end says so and ends the process: its threads cannot be stopped.
    private static Exception RunOne(Action test, string name)
    {
        Exception failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                test();
            }
            catch (Exception thrown)
            {
                failure = thrown;
            }
        });
        thread.Start();
        if (thread.Join(TimeSpan.FromTicks(2 * Limit.Ticks))) return failure;
        Console.WriteLine("FAILED {0}: does not end", name);
        Console.Out.Flush();
        Process.GetCurrentProcess().Kill();
        return null;
    }

    internal static string Setting(string name)
    {
        var value = Environment.GetEnvironmentVariable(name);
        if (string.IsNullOrEmpty(value)) throw new InvalidOperationException(name + " is not set");
        return value;
    }

    internal static Process Start(string program, string arguments)
    {
        return Process.Start(new ProcessStartInfo(program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        });
    }

    // The status of a program that must end, and what it wrote.
    internal static string Finish(Process process)
    {
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEndAsync();
        if (!process.WaitForExit((int)Limit.TotalMilliseconds))
        {
            process.Kill();
            throw new InvalidOperationException("a program does not end");
        }
        return output.Result + errors.Result + "status " + process.ExitCode;
    }

    internal static void Equal<T>(T want, T got)
    {
        if (!EqualityComparer<T>.Default.Equals(want, got))
        {
            throw new InvalidOperationException("want " + want + ", got " + got);
        }
    }

    internal static void True(bool condition, string what)
    {
        if (!condition) throw new InvalidOperationException(what);
    }

    internal static T Throws<T>(Action action) where T : Exception
    {
        try
        {
            action();
        }
        catch (T expected)
        {
            return expected;
        }
        catch (AggregateException several) when (several.InnerException is T)
        {
            return (T)several.InnerException;
        }
        throw new InvalidOperationException("no " + typeof(T).Name);
    }

    // Waits for something that happens on another thread.
    internal static void Until(string what, Func<bool> condition)
    {
        var watch = Stopwatch.StartNew();
        while (!condition())
        {
            if (watch.Elapsed > Limit) throw new InvalidOperationException(what + " did not happen");
            Thread.Sleep(5);
        }
    }
}

// A broker on a port of its own.
internal sealed class Broker : IDisposable
{
    private readonly Process process;
    internal readonly string Url;

    internal Broker(string arguments = "")
    {
        process = Support.Start(Support.Setting("ISCP_PROGRAM"), "broker --ws 127.0.0.1:0 " + arguments);
        var line = process.StandardOutput.ReadLine();
        if (line == null || !line.StartsWith("listening ")) throw new InvalidOperationException("the broker said " + line);
        Url = line.Split(' ').Last();
    }

    public void Dispose()
    {
        process.Kill();
        process.WaitForExit();
        process.Dispose();
    }
}

// A proxy before a broker that injects faults.
internal sealed class Chaos : IDisposable
{
    private readonly Process process;
    internal readonly string Url;

    internal Chaos(Broker broker)
    {
        var to = broker.Url.Substring("ws://".Length);
        process = Process.Start(new ProcessStartInfo(Support.Setting("ISCP_PROGRAM"), "chaos --commands --to " + to)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        });
        Url = "ws://" + process.StandardOutput.ReadLine().Split(' ')[1];
    }

    internal void Do(string command)
    {
        process.StandardInput.WriteLine(command);
        process.StandardInput.Flush();
        // It tells of connections too.
        string line;
        do
        {
            line = process.StandardOutput.ReadLine();
            if (line == null) throw new InvalidOperationException("the proxy has ended");
        }
        while (line != "ok " + command);
    }

    public void Dispose()
    {
        process.Kill();
        process.WaitForExit();
        process.Dispose();
    }
}
