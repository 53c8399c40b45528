// Prints what the node swift-sensor sends: swift run Receive ws://127.0.0.1:8080
import Iscp

let connection = try await Connection.connect(to: CommandLine.arguments[1], nodeID: "swift-viewer")
let downstream = try await connection.openDownstream(from: "swift-sensor", filters: ["#:room/#"], qos: .reliable)
print("listening")
var seen = 0
for try await chunk in downstream {
    for point in chunk.points {
        print("\(point.name) \(Double(point.elapsedNanoseconds) / 1e9) s: \(String(decoding: point.payload, as: UTF8.self))")
    }
    seen += chunk.points.count
    if seen >= 10 { break }
}
try await connection.close()
