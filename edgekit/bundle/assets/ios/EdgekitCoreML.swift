// Core ML: compiling, loading and running a variant.

#if canImport(CoreML)
import CoreML
import Foundation

/// Numbers with the shape of a tensor, as Core ML takes and gives them.
enum EdgekitTensor {
    case float([Float], [Int])
    case int32([Int32], [Int])

    var multiArray: MLMultiArray {
        switch self {
        case .float(let values, let shape): return MLMultiArray(MLShapedArray<Float>(scalars: values, shape: shape))
        case .int32(let values, let shape): return MLMultiArray(MLShapedArray<Int32>(scalars: values, shape: shape))
        }
    }
}

/// A variant that is loaded. It belongs to one actor: an `MLModel` is to be used by one task at a time.
struct EdgekitProgram {
    let variant: EdgekitVariant
    private let model: MLModel

    init(_ variant: EdgekitVariant, compiled: URL) throws {
        let configuration = MLModelConfiguration()
        switch variant.computeUnits {
        case .all: configuration.computeUnits = .all
        case .cpu: configuration.computeUnits = .cpuOnly
        case .cpuAndGPU: configuration.computeUnits = .cpuAndGPU
        case .cpuAndNeuralEngine: configuration.computeUnits = .cpuAndNeuralEngine
        }
        self.variant = variant
        model = try MLModel(contentsOf: compiled, configuration: configuration)
    }

    func outputs(for inputs: [EdgekitTensor]) throws -> EdgekitOutputs {
        let features = zip(variant.inputs, inputs).map { ($0, MLFeatureValue(multiArray: $1.multiArray)) }
        let provider = try MLDictionaryFeatureProvider(dictionary: Dictionary(uniqueKeysWithValues: features))
        return EdgekitOutputs(names: variant.outputs, provider: try model.prediction(from: provider))
    }
}

/// What a prediction gave, by the place of the output.
struct EdgekitOutputs {
    let names: [String]
    let provider: MLFeatureProvider

    func floats(_ place: Int) throws -> [Float] {
        let array = try multiArray(place)
        switch array.dataType {
        case .float32: return MLShapedArray<Float>(array).scalars
        // Outputs of models with 16-bit arithmetic are float16, which Swift lacks on Macs with Intel processors.
        case .float16: return MLShapedArray<Float>(converting: array).scalars
        default: throw EdgekitError.unexpectedOutput(feature: names[place])
        }
    }

    func int32s(_ place: Int) throws -> [Int32] {
        let array = try multiArray(place)
        guard array.dataType == .int32 else { throw EdgekitError.unexpectedOutput(feature: names[place]) }
        return MLShapedArray<Int32>(array).scalars
    }

    private func multiArray(_ place: Int) throws -> MLMultiArray {
        guard let array = provider.featureValue(for: names[place])?.multiArrayValue else {
            throw EdgekitError.unexpectedOutput(feature: names[place])
        }
        return array
    }
}

extension EdgekitVariant {
    /// The model compiled for this device, from the caches or made now.
    ///
    /// The package has the `.mlpackage` as it is (`.copy` in Package.swift): Xcode would compile it while it builds,
    /// `swift build` would not, and the two would leave different files to look for. So it is compiled where it runs,
    /// once for each content and version of the operating system. Its files are verified before that.
    func compiled() async throws -> URL {
        let system = ProcessInfo.processInfo.operatingSystemVersion
        let version = "\(system.majorVersion).\(system.minorVersion).\(system.patchVersion)"
        let caches = try FileManager.default.url(
            for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
        let folder = caches.appendingPathComponent("edgekit", isDirectory: true)
        let kept = folder.appendingPathComponent("\(sha256)-\(version).mlmodelc", isDirectory: true)
        if FileManager.default.fileExists(atPath: kept.path) { return kept }
        try verify()
        let source = EdgekitResources.folder.appendingPathComponent(package, isDirectory: true)
        let made = try await MLModel.compileModel(at: source)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        do {
            try FileManager.default.moveItem(at: made, to: kept)
        } catch where FileManager.default.fileExists(atPath: kept.path) {
            // Another task was faster: its file is the same.
            try? FileManager.default.removeItem(at: made)
        }
        return kept
    }
}
#endif
