// The part of VideoToolbox that generated packages use, to type-check them where it is missing; nothing of it runs.
// Signatures: developer.apple.com/documentation/videotoolbox
import CoreGraphics
import CoreVideo

public typealias OSStatus = Int32

@discardableResult
public func VTCreateCGImageFromCVPixelBuffer(
    _ pixelBuffer: CVPixelBuffer, options: CFDictionary?, imageOut: UnsafeMutablePointer<CGImage?>
) -> OSStatus { fatalError() }
