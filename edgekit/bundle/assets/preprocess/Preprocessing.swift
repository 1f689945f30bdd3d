/// How a picture is resized.
public enum Interpolation: Sendable {
    case nearest, bilinear, box, bicubic
}

/// Everything that decides how a picture becomes one input.
///
/// The picture is resized so that it covers `baseWidth` x `baseHeight`, and its centre of `width` x `height` pixels is
/// kept. `channels` is 3 (RGB) or 1 (grey, luma of BT.601); `mean` and `std` have one value per channel, in units of
/// 0...1 pixel values. The input is channels x height x width, or height x width x channels with `channelsLast`.
public struct PreprocessingSteps: Sendable, Equatable {
    public let channels: Int
    public let height: Int
    public let width: Int
    public let channelsLast: Bool
    public let baseHeight: Int
    public let baseWidth: Int
    public let interpolation: Interpolation
    public let mean: [Float]
    public let std: [Float]

    public init(
        channels: Int, height: Int, width: Int, channelsLast: Bool, baseHeight: Int, baseWidth: Int,
        interpolation: Interpolation, mean: [Float], std: [Float]
    ) {
        self.channels = channels
        self.height = height
        self.width = width
        self.channelsLast = channelsLast
        self.baseHeight = baseHeight
        self.baseWidth = baseWidth
        self.interpolation = interpolation
        self.mean = mean
        self.std = std
    }
}

/// Why a picture could not become an input.
public enum PreprocessingError: Error, Equatable, CustomStringConvertible {
    /// The steps' channels, sides or statistics are out of range.
    case badSteps
    /// A side of the picture is not 1...16384 pixels.
    case badSize(width: Int, height: Int)
    /// The rows are shorter than the picture is wide.
    case badBytesPerRow(Int)
    /// There are fewer bytes than the picture has.
    case tooFewBytes(needed: Int, given: Int)

    public var description: String {
        switch self {
        case .badSteps:
            return "The preprocessing steps are out of range."
        case .badSize(let width, let height):
            return "A picture has sides of 1 to \(Preprocessing.maxSide) pixels, not \(width) x \(height)."
        case .badBytesPerRow(let bytes):
            return "Rows of \(bytes) bytes are shorter than the picture is wide."
        case .tooFewBytes(let needed, let given):
            return "The picture takes \(needed) bytes, \(given) were given."
        }
    }
}

/// From a picture to a model's input, with the same bits as edgekit's Python (Pillow's resampling of 8-bit pictures,
/// then float32), C and Kotlin.
public enum Preprocessing {
    /// The longest side of a picture or of an input, in pixels.
    public static let maxSide = 16384

    /// One picture as the input's values, in the order that the steps say.
    ///
    /// - Parameters:
    ///   - rgba: red, green, blue and a fourth byte that is ignored, rows `bytesPerRow` bytes apart from the top down.
    ///     The picture is upright: turn it by its EXIF tag first. Colours are taken as they are, so they must not be
    ///     multiplied by alpha: draw into a context whose alpha is skipped (`noneSkipLast`).
    /// - Throws: `PreprocessingError`.
    public static func run(
        _ steps: PreprocessingSteps, rgba: UnsafeBufferPointer<UInt8>, width: Int, height: Int, bytesPerRow: Int
    ) throws -> [Float] {
        try check(steps)
        guard 1...maxSide ~= width, 1...maxSide ~= height else {
            throw PreprocessingError.badSize(width: width, height: height)
        }
        guard bytesPerRow >= 4 * width, bytesPerRow <= Int.max / height else {
            throw PreprocessingError.badBytesPerRow(bytesPerRow)
        }
        let needed = bytesPerRow * (height - 1) + 4 * width
        guard rgba.count >= needed else {
            throw PreprocessingError.tooFewBytes(needed: needed, given: rgba.count)
        }
        var resizer = Resizer(steps, rgba: rgba, width: width, height: height, bytesPerRow: bytesPerRow)
        return resizer.run()
    }

    /// The same for bytes in an array.
    public static func run(
        _ steps: PreprocessingSteps, rgba: [UInt8], width: Int, height: Int, bytesPerRow: Int
    ) throws -> [Float] {
        try rgba.withUnsafeBufferPointer {
            try run(steps, rgba: $0, width: width, height: height, bytesPerRow: bytesPerRow)
        }
    }

    private static func check(_ steps: PreprocessingSteps) throws {
        let sides = [steps.height, steps.width, steps.baseHeight, steps.baseWidth]
        guard steps.channels == 1 || steps.channels == 3, sides.allSatisfy({ 1...maxSide ~= $0 }),
            steps.mean.count == steps.channels, steps.std.count == steps.channels
        else { throw PreprocessingError.badSteps }
    }
}

private let precisionBits: Int32 = 22  // of weights
private let half: Int32 = 1 << (precisionBits - 1)
private let one: Int32 = 1 << precisionBits

private func rounded(_ sum: Int32) -> UInt8 {
    UInt8(truncatingIfNeeded: min(max(sum >> precisionBits, 0), 255))
}

/// One direction of the picture: which source pixels make up each position of the input, one after the other.
private struct Axis {
    let interpolation: Interpolation
    let size: Int
    let resized: Int
    let scale: Double
    let stretch: Double
    let support: Double
    /// At most so many source pixels make up a position.
    let taps: Int
    private var position = 0
    private var at: Double  // nearest: the source position, summed up as Pillow does

    init(_ interpolation: Interpolation, size: Int, resized: Int) {
        self.interpolation = interpolation
        self.size = size
        self.resized = resized
        scale = Double(size) / Double(resized)
        stretch = max(scale, 1.0)
        at = scale * 0.5
        let supports: [Interpolation: Double] = [.nearest: 0.0, .box: 0.5, .bilinear: 1.0, .bicubic: 2.0]
        support = supports[interpolation]! * stretch
        let single = interpolation == .nearest || size == resized
        let reach = Double(Int(support)) < support ? Int(support) + 1 : Int(support)
        taps = single ? 1 : min(2 * reach + 1, size)
    }

    mutating func skip(_ positions: Int) {
        position += positions
        if interpolation == .nearest {
            for _ in 0..<positions { at += scale }
        }
    }

    /// The source pixels of the next position; their weights are put into `weights` from `offset` on.
    mutating func next(_ weights: inout [Int32], offset: Int) -> Range<Int> {
        let current = position
        position += 1
        if interpolation == .nearest || size == resized {
            let low = size == resized ? current : min(Int(at), size - 1)
            at += scale
            weights[offset] = one
            return low..<low + 1
        }
        let center = (Double(current) + 0.5) * scale
        let low = max(Int(center - support + 0.5), 0)
        let high = min(Int(center + support + 0.5), size)
        let shrink = 1.0 / stretch
        var total = 0.0
        for pixel in low..<high {
            total += filter((Double(pixel) - center + 0.5) * shrink)
        }
        for pixel in low..<high {
            var weight = filter((Double(pixel) - center + 0.5) * shrink)
            if total != 0.0 { weight /= total }
            weight *= Double(one)
            weights[offset + pixel - low] = Int32(weight < 0.0 ? weight - 0.5 : weight + 0.5)
        }
        return low..<high
    }

    private func filter(_ offset: Double) -> Double {
        if interpolation == .box { return offset > -0.5 && offset <= 0.5 ? 1.0 : 0.0 }
        let x = offset < 0.0 ? -offset : offset
        if interpolation == .bilinear { return x < 1.0 ? 1.0 - x : 0.0 }
        if x < 1.0 { return (1.5 * x - 2.5) * x * x + 1.0 }
        return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5 : 0.0
    }
}

/// One picture on its way: two passes, each of which rounds to 8 bits, so that their order matters.
private struct Resizer {
    private let steps: PreprocessingSteps
    private let rgba: UnsafeBufferPointer<UInt8>
    private let bytesPerRow: Int
    private let channels: Int
    private var columns: Axis
    private var rows: Axis
    private let rowsFirst: Bool
    private var columnWeights: [Int32]
    private var columnPixels: [Range<Int>] = []
    private var rowWeights: [Int32]
    private let needed: Range<Int>  // the columns of the picture that are needed
    private var sums: [Int32]  // of the line that is being made
    private var normalised: [Float] = []
    private var values: [Float]

    init(_ steps: PreprocessingSteps, rgba: UnsafeBufferPointer<UInt8>, width: Int, height: Int, bytesPerRow: Int) {
        self.steps = steps
        self.rgba = rgba
        self.bytesPerRow = bytesPerRow
        channels = steps.channels
        let scale = max(Double(steps.baseHeight) / Double(height), Double(steps.baseWidth) / Double(width))
        let resizedWidth = max(Int(Double(width) * scale + 1e-6), steps.width)
        let resizedHeight = max(Int(Double(height) * scale + 1e-6), steps.height)
        columns = Axis(steps.interpolation, size: width, resized: resizedWidth)
        rows = Axis(steps.interpolation, size: height, resized: resizedHeight)
        rowsFirst = height - resizedHeight > max(0, 2 * (width - resizedWidth))
        columns.skip(Resizer.centred(resizedWidth, steps.width))
        rows.skip(Resizer.centred(resizedHeight, steps.height))
        columnWeights = [Int32](repeating: 0, count: columns.taps * steps.width)
        rowWeights = [Int32](repeating: 0, count: rows.taps)
        for x in 0..<steps.width {
            columnPixels.append(columns.next(&columnWeights, offset: x * columns.taps))
        }
        needed = columnPixels[0].lowerBound..<columnPixels[steps.width - 1].upperBound
        sums = [Int32](repeating: 0, count: max(needed.count, steps.width) * channels)
        values = [Float](repeating: 0, count: steps.height * steps.width * channels)
        for c in 0..<channels {
            for value in 0..<256 { normalised.append((Float(value) / 255 - steps.mean[c]) / steps.std[c]) }
        }
    }

    mutating func run() -> [Float] {
        if rowsFirst { rowsThenColumns() } else { columnsThenRows() }
        return values
    }

    /// Every source line is resized once, and those are kept that the next line of the input may need.
    private mutating func columnsThenRows() {
        var unpacked = [UInt8](repeating: 0, count: needed.count * channels)
        var made = [UInt8](repeating: 0, count: steps.width * channels)
        var lines = [[UInt8]](repeating: made, count: rows.taps)
        var ready = 0
        for y in 0..<steps.height {
            let pixels = rows.next(&rowWeights, offset: 0)
            ready = max(ready, pixels.lowerBound)
            while ready < pixels.upperBound {
                unpack(ready, into: &unpacked)
                resizeColumns(unpacked, into: &lines[ready % rows.taps])
                ready += 1
            }
            beginSums(made.count)
            for (row, pixel) in pixels.enumerated() {
                add(lines[pixel % rows.taps], times: rowWeights[row])
            }
            endSums(&made)
            store(made, y)
        }
    }

    private mutating func rowsThenColumns() {
        var line = [UInt8](repeating: 0, count: needed.count * channels)
        var made = [UInt8](repeating: 0, count: steps.width * channels)
        for y in 0..<steps.height {
            let pixels = rows.next(&rowWeights, offset: 0)
            beginSums(line.count)
            for (row, pixel) in pixels.enumerated() {
                unpack(pixel, into: &line)
                add(line, times: rowWeights[row])
            }
            endSums(&line)
            resizeColumns(line, into: &made)
            store(made, y)
        }
    }

    private mutating func beginSums(_ count: Int) {
        for i in 0..<count { sums[i] = half }
    }

    private mutating func add(_ line: [UInt8], times weight: Int32) {
        for i in 0..<line.count { sums[i] &+= weight &* Int32(line[i]) }
    }

    private func endSums(_ line: inout [UInt8]) {
        for i in 0..<line.count { line[i] = rounded(sums[i]) }
    }

    /// The pixels of one source line that are needed, as bytes with their channels side by side.
    private func unpack(_ row: Int, into line: inout [UInt8]) {
        var from = row * bytesPerRow + needed.lowerBound * 4
        var to = 0
        while to < line.count {
            if channels == 3 {
                for c in 0..<3 { line[to + c] = rgba[from + c] }
            } else {
                let red = UInt32(rgba[from]), green = UInt32(rgba[from + 1]), blue = UInt32(rgba[from + 2])
                let grey = (19595 &* red &+ 38470 &* green &+ 7471 &* blue &+ 0x8000) >> 16
                line[to] = UInt8(truncatingIfNeeded: grey)
            }
            from += 4
            to += channels
        }
    }

    /// The needed pixels of one line in the input's width.
    private func resizeColumns(_ source: [UInt8], into line: inout [UInt8]) {
        for x in 0..<steps.width {
            let pixels = columnPixels[x]
            let weights = x * columns.taps
            for c in 0..<channels {
                var from = (pixels.lowerBound - needed.lowerBound) * channels + c
                var sum = half
                for i in 0..<pixels.count {
                    sum &+= columnWeights[weights + i] &* Int32(source[from])
                    from += channels
                }
                line[x * channels + c] = rounded(sum)
            }
        }
    }

    /// One line of the input, from bytes with their channels side by side.
    private mutating func store(_ line: [UInt8], _ y: Int) {
        let area = steps.height * steps.width
        for x in 0..<steps.width {
            let at = y * steps.width + x
            for c in 0..<channels {
                let value = normalised[c * 256 + Int(line[x * channels + c])]
                values[steps.channelsLast ? at * channels + c : c * area + at] = value
            }
        }
    }

    /// Half of the difference, halves to even.
    private static func centred(_ resized: Int, _ side: Int) -> Int {
        let half = (resized - side) / 2
        return half + ((resized - side) & half & 1)
    }
}
