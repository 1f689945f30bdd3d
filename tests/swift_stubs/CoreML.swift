// The part of Core ML that generated packages use, to type-check them where it is missing; nothing of it runs.
// Signatures: developer.apple.com/documentation/coreml. Classes are not Sendable, as there.
import Foundation

public enum MLComputeUnits: Int, Sendable {
    case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine
}

public class MLModelConfiguration: NSObject {
    public var computeUnits: MLComputeUnits = .all
    public override init() { fatalError() }
}

public class MLPredictionOptions: NSObject {
    public override init() { fatalError() }
}

public enum MLMultiArrayDataType: Int, Sendable {
    case float64, float32, float16, int32
    public static var float: MLMultiArrayDataType { .float32 }
    public static var double: MLMultiArrayDataType { .float64 }
}

public class MLMultiArray: NSObject {
    public init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws { fatalError() }
    public convenience init<ShapedArray: MLShapedArrayProtocol>(_ shapedArray: ShapedArray) { fatalError() }
    public var dataType: MLMultiArrayDataType { fatalError() }
}

public protocol MLShapedArrayScalar {}
extension Float: MLShapedArrayScalar {}
extension Double: MLShapedArrayScalar {}
extension Int32: MLShapedArrayScalar {}

public protocol MLShapedArrayProtocol<Scalar> {
    associatedtype Scalar: MLShapedArrayScalar
}

extension MLShapedArrayProtocol {
    public init<S: Sequence>(scalars: S, shape: [Int]) where S.Element == Scalar { fatalError() }
    public init(_ multiArray: MLMultiArray) { fatalError() }
    public init(converting multiArray: MLMultiArray) { fatalError() }
    public var scalars: [Scalar] {
        get { fatalError() }
        set { fatalError() }
    }
}

public struct MLShapedArray<Scalar: MLShapedArrayScalar>: MLShapedArrayProtocol {}

public class MLFeatureValue: NSObject {
    public convenience init(multiArray value: MLMultiArray) { fatalError() }
    public var multiArrayValue: MLMultiArray? { fatalError() }
}

public protocol MLFeatureProvider {
    var featureNames: Set<String> { get }
    func featureValue(for featureName: String) -> MLFeatureValue?
}

public class MLDictionaryFeatureProvider: NSObject, MLFeatureProvider {
    public init(dictionary: [String: Any]) throws { fatalError() }
    public var featureNames: Set<String> { fatalError() }
    public func featureValue(for featureName: String) -> MLFeatureValue? { fatalError() }
}

public class MLModel: NSObject {
    public convenience init(contentsOf url: URL, configuration: MLModelConfiguration) throws { fatalError() }
    @available(*, deprecated)
    public class func compileModel(at modelURL: URL) throws -> URL { fatalError() }
    public class func compileModel(at url: URL) async throws -> URL { fatalError() }
    public func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider { fatalError() }
    public func prediction(
        from input: any MLFeatureProvider, options: MLPredictionOptions = MLPredictionOptions()
    ) async throws -> any MLFeatureProvider { fatalError() }
}
