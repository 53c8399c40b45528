// Prints what the node csharp-sensor sends: mono Receive.exe ws://127.0.0.1:8080
using System;
using System.Globalization;
using System.Text;
using Iscp;

internal static class Receive
{
    private static void Main(string[] arguments)
    {
        var options = new ConnectionOptions { Url = arguments[0], NodeId = "csharp-viewer" };
        using (var connection = Connection.Connect(options))
        using (var downstream = connection.OpenDownstream(new DownstreamOptions { QoS = QoS.Reliable }.AddFilter("csharp-sensor", "#:room/#")))
        {
            Console.WriteLine("listening");
            int seen = 0;
            foreach (var chunk in downstream.Chunks())
            {
                foreach (var point in chunk.Points)
                {
                    var time = (point.ElapsedTimeNs / 1e9).ToString("F1", CultureInfo.InvariantCulture);
                    Console.WriteLine("{0} {1} s: {2}", point.Name, time, Encoding.UTF8.GetString(point.Payload));
                    seen++;
                }
                if (seen >= 10) break;
            }
            downstream.Close();
            connection.Close();
        }
    }
}
