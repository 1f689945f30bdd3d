// Pictures on their way to a model's input.

#if canImport(CoreML) && canImport(VideoToolbox)
import CoreGraphics
import CoreVideo
import VideoToolbox
#endif

/// An upright picture of 8-bit red, green, blue and a fourth byte that is ignored, row by row from the top.
public struct EdgekitPicture: Equatable, Sendable {
    public static let maximumSide = 16384
    public let rgba: [UInt8]
    public let width: Int
    public let height: Int
    public let bytesPerRow: Int

    /// - Throws: `EdgekitError.unusablePicture` if the sizes do not fit each other, or a side is not 1 to 16384 pixels.
    public init(rgba: [UInt8], width: Int, height: Int, bytesPerRow: Int? = nil) throws {
        let sides = 1...Self.maximumSide
        guard sides.contains(width), sides.contains(height) else {
            throw EdgekitError.unusablePicture(reason: "\(width) x \(height) pixels")
        }
        let stride = bytesPerRow ?? width * 4
        let (before, overflows) = stride.multipliedReportingOverflow(by: height - 1)
        guard !overflows, stride >= width * 4, rgba.count - width * 4 >= before else {
            throw EdgekitError.unusablePicture(reason: "\(rgba.count) bytes for rows of \(stride)")
        }
        self.rgba = rgba
        self.width = width
        self.height = height
        self.bytesPerRow = stride
    }
}

#if canImport(CoreML) && canImport(VideoToolbox)
extension EdgekitPicture {
    /// A picture in sRGB. Turn it upright first: a `CGImage` knows nothing of the EXIF orientation. Transparent pixels
    /// come out over black.
    ///
    /// - Throws: `EdgekitError.unusablePicture`.
    public init(_ image: CGImage) throws {
        let (width, height) = (image.width, image.height)
        guard max(width, height) <= Self.maximumSide, min(width, height) > 0 else {
            throw EdgekitError.unusablePicture(reason: "\(width) x \(height) pixels")
        }
        var bytes = [UInt8](repeating: 0, count: width * height * 4)
        let drawn = bytes.withUnsafeMutableBytes { buffer -> Bool in
            guard
                let space = CGColorSpace(name: CGColorSpace.sRGB),
                let context = CGContext(
                    data: buffer.baseAddress, width: width, height: height, bitsPerComponent: 8,
                    bytesPerRow: width * 4, space: space, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            else { return false }
            context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
            return true
        }
        guard drawn else { throw EdgekitError.unusablePicture(reason: "no bitmap context for it") }
        try self.init(rgba: bytes, width: width, height: height)
    }

    /// A frame, such as the camera's. 32BGRA is taken as it is; any other format is converted by VideoToolbox first.
    ///
    /// - Throws: `EdgekitError.unusablePicture`.
    public init(_ frame: CVPixelBuffer) throws {
        guard CVPixelBufferGetPixelFormatType(frame) == kCVPixelFormatType_32BGRA else {
            var converted: CGImage?
            let status = VTCreateCGImageFromCVPixelBuffer(frame, options: nil, imageOut: &converted)
            guard let image = converted else {
                throw EdgekitError.unusablePicture(reason: "VideoToolbox can't convert it: \(status)")
            }
            try self.init(image)
            return
        }
        let (width, height) = (CVPixelBufferGetWidth(frame), CVPixelBufferGetHeight(frame))
        guard CVPixelBufferLockBaseAddress(frame, .readOnly) == kCVReturnSuccess else {
            throw EdgekitError.unusablePicture(reason: "its memory can't be locked")
        }
        defer { CVPixelBufferUnlockBaseAddress(frame, .readOnly) }
        guard let base = CVPixelBufferGetBaseAddress(frame) else {
            throw EdgekitError.unusablePicture(reason: "it has no memory")
        }
        let stride = CVPixelBufferGetBytesPerRow(frame)
        var bytes = [UInt8]()
        bytes.reserveCapacity(width * height * 4)
        for y in 0..<height {
            let row = UnsafeRawBufferPointer(start: base + y * stride, count: width * 4)
            for x in Swift.stride(from: 0, to: row.count, by: 4) {
                bytes.append(row[x + 2])
                bytes.append(row[x + 1])
                bytes.append(row[x])
                bytes.append(255)
            }
        }
        try self.init(rgba: bytes, width: width, height: height)
    }
}
#endif
