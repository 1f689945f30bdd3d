// swift-tools-version: 5.9
import PackageDescription

// The folders of resources must not be called Resources: iOS then refuses to sign the bundle that they get into.
let package = Package(
    name: "@MODULE@",
    platforms: [.iOS("@IOS@"), .macCatalyst("@IOS@"), .macOS("@MACOS@")],
    products: [.library(name: "@MODULE@", targets: ["@MODULE@"])],
    targets: [
        .target(name: "@MODULE@", resources: [.copy("Models")]),
        .testTarget(name: "@MODULE@Tests", dependencies: ["@MODULE@"], resources: [.copy("Golden")]),
    ]
)
