// Sends ten points: swift run Send ws://127.0.0.1:8080
import Iscp

let connection = try await Connection.connect(to: CommandLine.arguments[1], nodeID: "swift-sensor")
let upstream = try await connection.openUpstream(sessionID: "swift-example", qos: .reliable)
let id = try upstream.dataID(name: "room/temperature", type: "string")
for i in 0..<10 {  // ten points a second on the session's clock
    try upstream.write(id, elapsedNanoseconds: Int64(i) * 100_000_000, payload: Array("\(20 + Double(i) / 10)".utf8))
}
try await upstream.close()  // waits until the server confirmed everything
try await connection.close()
print("the server confirmed every point")
