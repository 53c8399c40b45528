// Sends ten points: mono Send.exe ws://127.0.0.1:8080
using System;
using System.Globalization;
using System.Text;
using System.Threading.Tasks;
using Iscp;

internal static class Send
{
    private static void Main(string[] arguments)
    {
        Run(arguments[0]).GetAwaiter().GetResult();
        Console.WriteLine("the server confirmed every point");
    }

    private static async Task Run(string url)
    {
        var options = new ConnectionOptions { Url = url, NodeId = "csharp-sensor" };
        using (var connection = await Connection.ConnectAsync(options))
        {
            using (var upstream = await connection.OpenUpstreamAsync(new UpstreamOptions { SessionId = "csharp-example", QoS = QoS.Reliable }))
            {
                var id = upstream.DataId("room/temperature", "string");
                for (int i = 0; i < 10; i++) // ten points a second on the session's clock
                {
                    var value = (20 + i / 10.0).ToString("F1", CultureInfo.InvariantCulture);
                    upstream.Write(id, i * 100000000L, Encoding.UTF8.GetBytes(value));
                }
                await upstream.CloseAsync(); // waits until the server confirmed everything
            }
            await connection.CloseAsync();
        }
    }
}
