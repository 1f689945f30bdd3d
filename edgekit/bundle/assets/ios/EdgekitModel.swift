// What the models of this package have in common: their variants, the devices they were measured on, and errors.

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// What goes wrong with a model of this package.
public enum EdgekitError: Error, Equatable, Sendable {
    /// A tensor of another number of values than the model takes or gives.
    case wrongCount(tensor: String, expected: Int, found: Int)
    /// A picture without pixels, larger than 16384 on a side, or not to be read.
    case unusablePicture(reason: String)
    /// A model's file is missing or is not the one that this package was made with.
    case damagedFile(path: String)
    /// Core ML gave no such output, or one of another type.
    case unexpectedOutput(feature: String)
    /// The manifest or its signature is not what it should be.
    case untrusted(reason: String)
    /// This platform lacks what it takes.
    case unavailable(what: String)
}

/// The processors that Core ML may use.
public enum EdgekitComputeUnits: String, Sendable {
    case all
    case cpu
    case cpuAndGPU
    case cpuAndNeuralEngine
}

/// One file of a model, by its path among this package's resources.
public struct EdgekitFile: Equatable, Sendable {
    public let path: String
    public let bytes: Int
    public let sha256: String

    public init(path: String, bytes: Int, sha256: String) {
        self.path = path
        self.bytes = bytes
        self.sha256 = sha256
    }
}

/// One converted file of a model. `inputs` and `outputs` are the names that Core ML knows the tensors by.
public struct EdgekitVariant: Equatable, Sendable {
    public let id: String
    public let precision: String
    public let computeUnits: EdgekitComputeUnits
    /// Whether who made the bundle chose `computeUnits`; if not, Core ML is left to choose.
    public let chosen: Bool
    /// The `.mlpackage` directory among the resources.
    public let package: String
    public let files: [EdgekitFile]
    public let inputs: [String]
    public let outputs: [String]

    public init(
        id: String, precision: String, computeUnits: EdgekitComputeUnits, chosen: Bool, package: String,
        files: [EdgekitFile], inputs: [String], outputs: [String]
    ) {
        self.id = id
        self.precision = precision
        self.computeUnits = computeUnits
        self.chosen = chosen
        self.package = package
        self.files = files
        self.inputs = inputs
        self.outputs = outputs
    }
}

/// A device that a model was measured on, and the variant that it runs best.
public struct EdgekitDevice: Equatable, Sendable {
    public let name: String
    public let variant: String

    public init(name: String, variant: String) {
        self.name = name
        self.variant = variant
    }

    /// What this machine's hardware calls itself, such as "iPhone15,2".
    public static var hardwareModel: String {
        var information = utsname()
        guard uname(&information) == 0 else { return "" }
        return withUnsafeBytes(of: &information.machine) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// The variant for the device: the measured one, or the first where the device was not measured.
    static func choose(from variants: [EdgekitVariant], table: [EdgekitDevice], device: String) -> EdgekitVariant {
        let row = table.first { $0.name == device }
        return variants.first { $0.id == row?.variant } ?? variants[0]
    }
}

/// A label with its score.
public struct EdgekitPrediction: Equatable, Sendable {
    public let index: Int
    public let label: String
    public let score: Float

    /// The highest scores first; of equal ones the lower index. What is not a number comes last.
    static func top(_ count: Int, of scores: some Collection<Float>, labels: [String]) -> [EdgekitPrediction] {
        let rows = zip(scores, labels).enumerated().map { EdgekitPrediction(index: $0, label: $1.1, score: $1.0) }
        let sorted = rows.sorted { a, b in
            if a.score.isNaN || b.score.isNaN { return a.score.isNaN == b.score.isNaN ? a.index < b.index : b.score.isNaN }
            return a.score == b.score ? a.index < b.index : a.score > b.score
        }
        return Array(sorted.prefix(max(count, 0)))
    }
}

extension Array {
    /// The array itself if it has as many elements as the shape.
    func checked(_ tensor: String, _ shape: [Int]) throws -> Self {
        let expected = shape.reduce(1, *)
        guard count == expected else {
            throw EdgekitError.wrongCount(tensor: tensor, expected: expected, found: count)
        }
        return self
    }
}
