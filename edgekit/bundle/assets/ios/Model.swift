// Made by edgekit; README.md says from what.

/// The model @TITLE@.
public enum @TYPE@ {
    /// What the model takes.
    public struct Input: Equatable, Sendable {
@INPUT@
    }

    /// What the model gives.
    public struct Output: Equatable, Sendable {
@OUTPUT@
    }
@CONSTANTS@
    /// The first is for devices that are not among `devices`.
    public static let variants: [EdgekitVariant] = [
@VARIANTS@
    ]

    /// Where measurements chose the variant.
    public static let devices: [EdgekitDevice] = [@DEVICES@]

    /// The variant that runs best on a device, by what was measured there.
    public static func variant(for device: String = EdgekitDevice.hardwareModel) -> EdgekitVariant {
        EdgekitDevice.choose(from: variants, table: devices, device: device)
    }
}
@PICTURE@
#if canImport(CoreML)
extension @TYPE@ {
    /// A variant that is loaded; one prediction at a time.
    public actor Session {
        public nonisolated let variant: EdgekitVariant
        private let program: EdgekitProgram

        /// Verifies and compiles the model when it is used for the first time, which may take seconds; then loads it.
        ///
        /// - Throws: `EdgekitError.damagedFile`, or what Core ML throws.
        public init(_ variant: EdgekitVariant = @TYPE@.variant()) async throws {
            self.variant = variant
            program = try EdgekitProgram(variant, compiled: try await variant.compiled())
        }

        /// - Throws: `EdgekitError.unexpectedOutput`, or what Core ML throws.
        public func predict(_ input: Input) throws -> Output {
            let made = try program.outputs(for: [
@FEEDS@
            ])
            return try Output(
@READS@)
        }
    }
}
#endif
