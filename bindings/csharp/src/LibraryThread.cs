using System;
using System.Runtime.InteropServices;
using System.Threading;

namespace Iscp
{
    // What a thread of the library needs before it runs managed code.
    internal static class LibraryThread
    {
        private const int SigUnblock = 1;
        private const int SigXcpu = 24, SigPwr = 30, FirstRealTime = 34, LastRealTime = 64;
        private const int SigsetSize = 128;

        [ThreadStatic] private static bool entered;

        [DllImport("libc")] private static extern int pthread_sigmask(int how, byte[] set, IntPtr former);

        // To be called first by everything that the library calls.
        internal static void Enter()
        {
            if (entered) return;
            entered = true;
            // Unless MONO_THREADS_SUSPEND is coop, Mono stops a thread by a signal when it collects. The library's threads
            // block all signals, and Mono would wait for ever: so those which it uses are let through. A collection
            // that begins before this line may still hang.
            var set = new byte[SigsetSize];
            Add(set, SigXcpu);
            Add(set, SigPwr);
            for (int signal = FirstRealTime; signal <= LastRealTime; signal++) Add(set, signal);
            pthread_sigmask(SigUnblock, set, IntPtr.Zero);
            // Mono waits for all others before it tells the program that the process ends (Callbacks).
            Thread.CurrentThread.IsBackground = true;
        }

        private static void Add(byte[] set, int signal)
        {
            set[(signal - 1) / 8] |= (byte)(1 << (signal - 1) % 8);
        }
    }
}
