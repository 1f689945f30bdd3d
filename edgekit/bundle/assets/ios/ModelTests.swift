import XCTest

@testable import @MODULE@

final class @TYPE@Tests: XCTestCase {
    /// How many golden samples a variant has, and how far from them its outputs may be.
    private static let bounds: [EdgekitBounds] = [
@BOUNDS@
    ]

    private func input(_ variant: String, _ sample: Int) throws -> @TYPE@.Input {
        try @TYPE@.Input(
@GOLDEN_INPUTS@)
    }

    private func expected(_ variant: String, _ sample: Int) throws -> @TYPE@.Output {
        try @TYPE@.Output(
@GOLDEN_OUTPUTS@)
    }

    func testFilesAreTheOnesOfTheBundle() throws {
        for variant in @TYPE@.variants { try variant.verify() }
    }

    func testTheManifestListsTheFiles() throws {
        try EdgekitManifest.check(try EdgekitGolden.manifest(), covers: @TYPE@.variants)
    }

    func testEveryVariantHasGoldenSamplesOfItsShapes() throws {
        XCTAssertEqual(@TYPE@.variants.map(\.id), Self.bounds.map(\.variant))
        for bounds in Self.bounds {
            for sample in 0..<bounds.samples {
                XCTAssertNoThrow(try input(bounds.variant, sample))
                XCTAssertNoThrow(try expected(bounds.variant, sample))
            }
        }
    }

    func testAnotherNumberOfValuesIsRefused() throws {
        XCTAssertThrowsError(try @TYPE@.Input(@TOO_SHORT@)) {
            XCTAssertEqual($0 as? EdgekitError, .wrongCount(tensor: @FIRST_NAME@, expected: @FIRST_COUNT@, found: 0))
        }
    }

    func testDevicesRunWhatWasMeasuredAndOthersTheFirstVariant() {
        for device in @TYPE@.devices {
            XCTAssertEqual(@TYPE@.variant(for: device.name).id, device.variant)
        }
        XCTAssertEqual(@TYPE@.variant(for: "a device that nobody made"), @TYPE@.variants[0])
    }
@MORE@
    #if canImport(CoreML)
    func testGoldenInputsGiveTheGoldenOutputs() async throws {
        for bounds in Self.bounds {
            let variant = try XCTUnwrap(@TYPE@.variants.first { $0.id == bounds.variant })
            let session = try await @TYPE@.Session(variant)
            for sample in 0..<bounds.samples {
                let output = try await session.predict(try input(variant.id, sample))
                let wanted = try expected(variant.id, sample)
@COMPARISONS@
            }
        }
    }
    #endif
}
