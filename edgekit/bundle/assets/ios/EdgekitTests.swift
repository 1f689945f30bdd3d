import Foundation
import XCTest

@testable import @MODULE@

#if canImport(CryptoKit)
import CryptoKit
#endif

/// How far from the golden outputs a variant may be. `maxAbs` is in units of the largest absolute value expected.
struct EdgekitBounds {
    let variant: String
    let samples: Int
    let maxAbs: Float
    let cosine: Float

    func check(_ found: [Float], _ wanted: [Float], _ what: String) {
        XCTAssertEqual(found.count, wanted.count, what)
        let figures = Self.figures(found, wanted)
        // Not `>`: what is not a number has to fail.
        XCTAssertTrue(figures.maxAbs <= maxAbs, "\(variant): \(what) is off by \(figures.maxAbs) of its largest value")
        XCTAssertTrue(figures.cosine >= cosine, "\(variant): \(what) has the cosine \(figures.cosine)")
    }

    func check(_ found: [Int32], _ wanted: [Int32], _ what: String) {
        XCTAssertEqual(found, wanted, "\(variant): \(what)")
    }

    static func figures(_ found: [Float], _ wanted: [Float]) -> (maxAbs: Float, cosine: Float) {
        let peak = wanted.map(abs).max() ?? 0
        let largest = zip(found, wanted).map { abs($0 - $1) }.reduce(Float(0)) { $1.isNaN || $0.isNaN ? .nan : max($0, $1) }
        func product(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
        let norms = (product(found, found) * product(wanted, wanted)).squareRoot()
        if largest == 0 { return (0, 1) }
        return (peak == 0 ? .infinity : largest / peak, norms == 0 ? 0 : Float(product(found, wanted) / norms))
    }
}

/// Files of Golden: numbers, little endian, the samples one after the other.
enum EdgekitGolden {
    static func bytes(_ name: String) throws -> [UInt8] {
        let folder = try XCTUnwrap(Bundle.module.resourceURL).appendingPathComponent("Golden", isDirectory: true)
        return [UInt8](try Data(contentsOf: folder.appendingPathComponent(name)))
    }

    static func floats(_ name: String, _ sample: Int, _ shape: [Int]) throws -> [Float] {
        try words(name, sample, shape).map(Float.init(bitPattern:))
    }

    static func int32s(_ name: String, _ sample: Int, _ shape: [Int]) throws -> [Int32] {
        try words(name, sample, shape).map(Int32.init(bitPattern:))
    }

    /// The bundle's manifest, where its sources are at hand; they are not on a device.
    static func manifest(_ here: String = #filePath) throws -> Data {
        var url = URL(fileURLWithPath: here)
        for _ in 0..<3 { url.deleteLastPathComponent() }
        url.appendPathComponent("manifest.json")
        guard let data = try? Data(contentsOf: url) else { throw XCTSkip("no manifest.json beside Package.swift") }
        return data
    }

    private static func words(_ name: String, _ sample: Int, _ shape: [Int]) throws -> [UInt32] {
        let (all, count) = (try bytes(name), shape.reduce(4, *))
        guard all.count >= (sample + 1) * count else { throw EdgekitError.damagedFile(path: name) }
        let part = all[sample * count..<(sample + 1) * count]
        return stride(from: part.startIndex, to: part.endIndex, by: 4).map { start in
            part[start..<start + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }
    }
}

final class EdgekitTests: XCTestCase {
    // The first three are of FIPS 180-4's examples and the empty message; the lengths are those where padding turns.
    func testSha256IsTheStandards() {
        let known = [
            "": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq":
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            String(repeating: "a", count: 55): "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318",
            String(repeating: "a", count: 64): "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb",
        ]
        for (text, digest) in known {
            XCTAssertEqual(EdgekitHash.hexadecimal(EdgekitHash.portable(Data(text.utf8))), digest)
            XCTAssertEqual(EdgekitHash.sha256(Data(text.utf8)), digest)
        }
    }

    func testAFileThatIsNotTheBundlesIsRefused() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let content = Data("content".utf8)
        let file = EdgekitFile(path: "file", bytes: content.count, sha256: EdgekitHash.sha256(content))
        let variant = Self.variant("a", files: [file])
        for damage in [nil, Data("kontent".utf8), Data("content ".utf8), Data()] {
            if let damage { try damage.write(to: folder.appendingPathComponent("file")) }
            XCTAssertThrowsError(try variant.verify(in: folder)) {
                XCTAssertEqual($0 as? EdgekitError, .damagedFile(path: "file"))
            }
        }
        try content.write(to: folder.appendingPathComponent("file"))
        XCTAssertNoThrow(try variant.verify(in: folder))
    }

    func testThePicturesSizesMustFit() {
        XCTAssertNoThrow(try EdgekitPicture(rgba: Array(repeating: 0, count: 20), width: 2, height: 2, bytesPerRow: 12))
        let wrong = [(2, 2, 12, 19), (2, 2, 7, 64), (0, 2, 8, 64), (2, 0, 8, 64), (16385, 1, 65540, 65540), (1, 9, .max, 64)]
        for (width, height, bytesPerRow, count) in wrong {
            let bytes = [UInt8](repeating: 0, count: count)
            XCTAssertThrowsError(
                try EdgekitPicture(rgba: bytes, width: width, height: height, bytesPerRow: bytesPerRow))
        }
    }

    func testTheDeviceDecides() {
        let variants = [Self.variant("first"), Self.variant("second")]
        let table = [EdgekitDevice(name: "measured", variant: "second")]
        XCTAssertEqual(EdgekitDevice.choose(from: variants, table: table, device: "measured").id, "second")
        XCTAssertEqual(EdgekitDevice.choose(from: variants, table: table, device: "Measured").id, "first")
        XCTAssertFalse(EdgekitDevice.hardwareModel.isEmpty)
    }

    func testTheBestLabelsComeFirst() {
        let best = EdgekitPrediction.top(3, of: [0.5, .nan, 0.75, 0.75], labels: ["a", "b", "c", "d"])
        XCTAssertEqual(best.map(\.label), ["c", "d", "a"])
        XCTAssertEqual(best.map(\.index), [2, 3, 0])
        XCTAssertEqual(EdgekitPrediction.top(-1, of: [1], labels: ["a"]), [])
    }

    func testFiguresTellOutputsApart() {
        XCTAssertEqual(EdgekitBounds.figures([1, -2], [1, -2]).maxAbs, 0)
        XCTAssertEqual(EdgekitBounds.figures([1, -1], [1, -2]).maxAbs, 0.5)
        XCTAssertTrue(EdgekitBounds.figures([.nan, -2], [1, -2]).maxAbs.isNaN)
        XCTAssertLessThan(EdgekitBounds.figures([-2, 1], [1, -2]).cosine, 0)
    }

    func testAManifestOfAnotherBundleIsRefused() throws {
        let variant = Self.variant("a", files: [EdgekitFile(path: "Models/x", bytes: 1, sha256: "00")])
        func manifest(_ sha256: String) -> Data {
            Data(#"{"schema": 1, "files": [{"path": "@SOURCES@/Models/x", "bytes": 1, "sha256": "\#(sha256)"}]}"#.utf8)
        }
        XCTAssertNoThrow(try EdgekitManifest.check(manifest("00"), covers: [variant]))
        XCTAssertThrowsError(try EdgekitManifest.check(manifest("01"), covers: [variant]))
        XCTAssertThrowsError(try EdgekitManifest.check(Data("{}".utf8), covers: [variant]))
    }

    func testOnlyTheTrustedKeysSignatureCounts() throws {
        let manifest = Data(#"{"files": []}"#.utf8)
        #if canImport(CryptoKit)
        let key = Curve25519.Signing.PrivateKey()
        let (trusted, made) = (key.publicKey.rawRepresentation, try key.signature(for: Data("@DOMAIN@".utf8) + manifest))
        #else
        let (trusted, made) = (Data(repeating: 1, count: 32), Data(repeating: 2, count: 64))
        #endif
        let seal = """
            {"schema": 1, "algorithm": "ed25519", "key_id": "0011223344556677",
             "public_key": "\(trusted.base64EncodedString())", "signature": "\(made.base64EncodedString())"}
            """
        func verify(_ manifest: Data, _ signature: String, _ key: Data) throws {
            try EdgekitManifest.verify(manifest, signature: Data(signature.utf8), trusting: key, covers: [])
        }
        #if canImport(CryptoKit)
        XCTAssertNoThrow(try verify(manifest, seal, trusted))
        XCTAssertThrowsError(try verify(manifest + Data(" ".utf8), seal, trusted))
        #else
        XCTAssertThrowsError(try verify(manifest, seal, trusted)) {
            XCTAssertEqual($0 as? EdgekitError, .unavailable(what: "Ed25519, which needs CryptoKit"))
        }
        #endif
        XCTAssertThrowsError(try verify(manifest, seal, Data(repeating: 3, count: 32))) {
            XCTAssertEqual($0 as? EdgekitError, .untrusted(reason: "another key signed: 0011223344556677"))
        }
        XCTAssertThrowsError(try verify(manifest, "{}", trusted)) {
            XCTAssertEqual($0 as? EdgekitError, .untrusted(reason: "the signature's file is damaged"))
        }
    }

    private static func variant(_ id: String, files: [EdgekitFile] = []) -> EdgekitVariant {
        EdgekitVariant(
            id: id, precision: "fp32", computeUnits: .all, chosen: false, package: "", files: files, inputs: [],
            outputs: [])
    }
}
