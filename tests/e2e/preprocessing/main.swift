// Reads a batch of cases (tests/e2e/test_bundle_preprocessing.py writes it), writes every tensor's bytes.
import Foundation

struct Reader {
    let bytes: [UInt8]
    var position = 0

    mutating func word() -> UInt32 {
        defer { position += 4 }
        return bytes[position..<position + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}

var cases = Reader(bytes: [UInt8](try Data(contentsOf: URL(fileURLWithPath: CommandLine.arguments[1]))))
var results = Data()

while cases.position < cases.bytes.count {
    let header = (0..<11).map { _ in Int(cases.word()) }
    let mean = (0..<header[0]).map { _ in Float(bitPattern: cases.word()) }
    let std = (0..<header[0]).map { _ in Float(bitPattern: cases.word()) }
    let interpolations: [Interpolation] = [.nearest, .bilinear, .box, .bicubic]
    let steps = PreprocessingSteps(
        channels: header[0], height: header[1], width: header[2], channelsLast: header[3] == 1, baseHeight: header[4],
        baseWidth: header[5], interpolation: interpolations[header[6]], mean: mean, std: std)
    let (width, height) = (header[8], header[9])
    let bytesPerRow = width * 4 + header[10]
    var rgba = [UInt8](repeating: 77, count: bytesPerRow * (height - 1) + width * 4)
    for y in 0..<height {
        for x in 0..<width {
            for c in 0..<3 { rgba[y * bytesPerRow + x * 4 + c] = cases.bytes[cases.position + (y * width + x) * 3 + c] }
        }
    }
    cases.position += width * height * 3
    let made = try Preprocessing.run(steps, rgba: rgba, width: width, height: height, bytesPerRow: bytesPerRow)
    made.withUnsafeBytes { results.append(contentsOf: $0) }
}
try results.write(to: URL(fileURLWithPath: CommandLine.arguments[2]))

/// What can't be done is refused by name.
func refused(
    _ expected: PreprocessingError, channels: Int = 1, width: Int = 3, height: Int = 3, bytesPerRow: Int = 12,
    bytes: Int = 36
) {
    let steps = PreprocessingSteps(
        channels: channels, height: 2, width: 2, channelsLast: false, baseHeight: 2, baseWidth: 2, interpolation: .box,
        mean: [0], std: [1])
    do {
        let rgba = [UInt8](repeating: 0, count: bytes)
        _ = try Preprocessing.run(steps, rgba: rgba, width: width, height: height, bytesPerRow: bytesPerRow)
    } catch let error as PreprocessingError where error == expected {
        return
    } catch {
        fatalError("\(expected), not \(error)")
    }
    fatalError("not refused: \(expected)")
}

refused(.badSteps, channels: 2)
refused(.badSteps, channels: 3)
refused(.badSize(width: 0, height: 3), width: 0)
refused(.badSize(width: 16385, height: 1), width: 16385, height: 1)
refused(.badBytesPerRow(11), bytesPerRow: 11)
refused(.badBytesPerRow(.max), bytesPerRow: .max)
refused(.tooFewBytes(needed: 36, given: 35), bytes: 35)
