// Are the model's files the ones that this package was made with? And is its manifest signed by a key that is trusted?

import Foundation

#if canImport(CryptoKit)
import CryptoKit
#endif

/// Where this package's resources are.
enum EdgekitResources {
    static var folder: URL { Bundle.module.resourceURL ?? Bundle.module.bundleURL }
}

/// SHA-256 in lower-case hexadecimal digits.
public enum EdgekitHash {
    public static func sha256(_ data: Data) -> String {
        #if canImport(CryptoKit)
        return hexadecimal(SHA256.hash(data: data))
        #else
        return hexadecimal(portable(data))
        #endif
    }

    static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// FIPS 180-4, for platforms without CryptoKit; the tests compare the two where both are there.
    static func portable(_ data: Data) -> [UInt8] {
        var state: [UInt32] = [
            0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
        ]
        var message = [UInt8](data)
        message.append(0x80)
        message.append(contentsOf: repeatElement(0, count: (120 - message.count % 64) % 64))
        let bits = UInt64(data.count) * 8
        message.append(contentsOf: (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * UInt64($0))) })
        message.withUnsafeBufferPointer { bytes in
            for start in stride(from: 0, to: bytes.count, by: 64) {
                absorb(UnsafeBufferPointer(rebasing: bytes[start..<start + 64]), into: &state)
            }
        }
        return state.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * UInt32($0))) } }
    }

    private static func absorb(_ block: UnsafeBufferPointer<UInt8>, into state: inout [UInt32]) {
        func rotated(_ word: UInt32, _ by: UInt32) -> UInt32 { word >> by | word << (32 - by) }
        var w = [UInt32](repeating: 0, count: 64)
        for i in 0..<16 { w[i] = block[4 * i..<4 * i + 4].reduce(0) { $0 << 8 | UInt32($1) } }
        for i in 16..<64 {
            let s0 = rotated(w[i - 15], 7) ^ rotated(w[i - 15], 18) ^ w[i - 15] >> 3
            let s1 = rotated(w[i - 2], 17) ^ rotated(w[i - 2], 19) ^ w[i - 2] >> 10
            w[i] = w[i - 16] &+ s0 &+ w[i - 7] &+ s1
        }
        var v = state
        for i in 0..<64 {
            let s1 = rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25)
            let chosen = (v[4] & v[5]) ^ (~v[4] & v[6])
            let first = v[7] &+ s1 &+ chosen &+ rounds[i] &+ w[i]
            let s0 = rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22)
            let majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2])
            v = [first &+ s0 &+ majority, v[0], v[1], v[2], v[3] &+ first, v[4], v[5], v[6]]
        }
        for i in 0..<8 { state[i] = state[i] &+ v[i] }
    }

    /// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
    private static let rounds: [UInt32] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ]
}

extension EdgekitVariant {
    /// Compares every file of the variant with the hash that it had when this package was made.
    ///
    /// - Throws: `EdgekitError.damagedFile`.
    public func verify() throws {
        try verify(in: EdgekitResources.folder)
    }

    func verify(in folder: URL) throws {
        for file in files {
            let url = folder.appendingPathComponent(file.path)
            guard
                let data = try? Data(contentsOf: url, options: .mappedIfSafe),
                data.count == file.bytes, EdgekitHash.sha256(data) == file.sha256
            else { throw EdgekitError.damagedFile(path: file.path) }
        }
    }

    /// Names the content of all files: the hash of their paths and hashes.
    public var sha256: String {
        EdgekitHash.sha256(Data(files.map { "\($0.sha256)  \($0.path)\n" }.joined().utf8))
    }
}

/// The manifest of the bundle that this package came in. `manifest.json` and `manifest.json.sig` lie beside
/// `Package.swift`; an app that wants to check them when it runs takes them into its own resources.
public enum EdgekitManifest {
    /// Checks that the owner of a key signed the manifest, and that the manifest lists the files of these variants.
    ///
    /// - Parameters:
    ///   - manifest: the bytes of `manifest.json`.
    ///   - signature: the bytes of `manifest.json.sig`.
    ///   - key: the 32 bytes of the Ed25519 key that is trusted. The one in `manifest.json.sig` proves nothing.
    /// - Throws: `EdgekitError.untrusted`; `EdgekitError.unavailable` on a platform without CryptoKit.
    public static func verify(
        _ manifest: Data, signature: Data, trusting key: Data, covers variants: [EdgekitVariant]
    ) throws {
        guard
            let seal = try? JSONDecoder().decode(Seal.self, from: signature),
            seal.schema == 1, seal.algorithm == "ed25519"
        else { throw EdgekitError.untrusted(reason: "the signature's file is damaged") }
        guard seal.publicKey == key else {
            throw EdgekitError.untrusted(reason: "another key signed: \(seal.keyID)")
        }
        #if canImport(CryptoKit)
        let signed = Data("@DOMAIN@".utf8) + manifest
        guard
            let verifier = try? Curve25519.Signing.PublicKey(rawRepresentation: key),
            verifier.isValidSignature(seal.signature, for: signed)
        else { throw EdgekitError.untrusted(reason: "this is not the manifest that was signed") }
        try check(manifest, covers: variants)
        #else
        throw EdgekitError.unavailable(what: "Ed25519, which needs CryptoKit")
        #endif
    }

    /// Checks that the manifest lists every file of the variants with its hash; says nothing about who made it.
    static func check(_ manifest: Data, covers variants: [EdgekitVariant]) throws {
        guard let listed = try? JSONDecoder().decode(Listed.self, from: manifest) else {
            throw EdgekitError.untrusted(reason: "the manifest is damaged")
        }
        let hashes = Dictionary(listed.files.map { ($0.path, $0.sha256) }, uniquingKeysWith: { first, _ in first })
        for file in variants.flatMap(\.files) where hashes["@SOURCES@/" + file.path] != file.sha256 {
            throw EdgekitError.untrusted(reason: "the manifest is of another bundle: \(file.path)")
        }
    }

    private struct Listed: Decodable {
        struct File: Decodable {
            let path: String
            let sha256: String
        }
        let files: [File]
    }

    private struct Seal: Decodable {
        let schema: Int
        let algorithm: String
        let keyID: String
        let publicKey: Data
        let signature: Data

        enum CodingKeys: String, CodingKey {
            case schema, algorithm, signature
            case keyID = "key_id"
            case publicKey = "public_key"
        }
    }
}
