// swift-tools-version:5.7
import PackageDescription

let package = Package(
    name: "Iscp",
    platforms: [.macOS(.v10_15), .iOS(.v13)],
    products: [.library(name: "Iscp", targets: ["Iscp"])],
    targets: [
        .systemLibrary(name: "CIscp", pkgConfig: "iscp"),
        .target(name: "Iscp", dependencies: ["CIscp"]),
        .executableTarget(name: "Send", dependencies: ["Iscp"], path: "Examples/Send"),
        .executableTarget(name: "Receive", dependencies: ["Iscp"], path: "Examples/Receive"),
    ]
)
