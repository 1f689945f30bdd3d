// The part of CoreGraphics that generated packages use, to type-check them where it is missing; nothing of it runs.
// Signatures: developer.apple.com/documentation/coregraphics
@_exported import Foundation

public class CFString {}
public class CFDictionary {}

public class CGImage {
    public var width: Int { fatalError() }
    public var height: Int { fatalError() }
}

public class CGColorSpace {
    public class var sRGB: CFString { fatalError() }
    public init?(name: CFString) { fatalError() }
}

public enum CGImageAlphaInfo: UInt32, Sendable {
    case none, premultipliedLast, premultipliedFirst, last, first, noneSkipLast, noneSkipFirst, alphaOnly
}

public class CGContext {
    public init?(
        data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int,
        space: CGColorSpace, bitmapInfo: UInt32
    ) { fatalError() }
    public func draw(_ image: CGImage, in rect: CGRect, byTiling: Bool = false) { fatalError() }
}
