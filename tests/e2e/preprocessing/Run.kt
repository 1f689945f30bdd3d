// Reads a batch of cases (tests/e2e/test_bundle_preprocessing.py writes it), writes every tensor's bytes.
import edgekit.preprocessing.Interpolation
import edgekit.preprocessing.Preprocessing
import edgekit.preprocessing.PreprocessingSteps
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

fun main(arguments: Array<String>) {
    val cases = ByteBuffer.wrap(File(arguments[0]).readBytes()).order(ByteOrder.LITTLE_ENDIAN)
    File(arguments[1]).outputStream().buffered().use { results ->
        while (cases.hasRemaining()) {
            val header = IntArray(11) { cases.int }
            val mean = FloatArray(header[0]) { cases.float }
            val std = FloatArray(header[0]) { cases.float }
            val steps = PreprocessingSteps(
                header[0], header[1], header[2], header[3] == 1, header[4], header[5],
                Interpolation.values()[header[6]], mean, std
            )
            val argb = IntArray(header[8] * header[9]) { i ->
                val (red, green, blue) = List(3) { cases.get().toInt() and 255 }
                ((i and 255) shl 24) or (red shl 16) or (green shl 8) or blue // any alpha
            }
            val made = Preprocessing.run(steps, argb, header[8], header[9])
            val bytes = ByteBuffer.allocate(made.size * 4).order(ByteOrder.LITTLE_ENDIAN)
            made.forEach { bytes.putFloat(it) }
            results.write(bytes.array())
        }
    }
    refusals()
}

/** What can't be done is refused by name. */
fun refusals() {
    val good = PreprocessingSteps(1, 2, 2, false, 2, 2, Interpolation.BOX, floatArrayOf(0f), floatArrayOf(1f))
    refused("0 x 5") { Preprocessing.run(good, IntArray(9), 0, 5) }
    refused("16385 x 1") { Preprocessing.run(good, IntArray(16385), 16385, 1) }
    refused("3 x 3 pixels were announced, 8 were given") { Preprocessing.run(good, IntArray(8), 3, 3) }
    refused("not 2") { PreprocessingSteps(2, 2, 2, false, 2, 2, Interpolation.BOX, FloatArray(2), FloatArray(2)) }
    refused("A side of 0") { PreprocessingSteps(1, 2, 0, false, 2, 2, Interpolation.BOX, FloatArray(1), FloatArray(1)) }
    refused("not 1 and 3") { PreprocessingSteps(3, 2, 2, false, 2, 2, Interpolation.BOX, FloatArray(1), FloatArray(3)) }
}

fun refused(text: String, call: () -> Unit) {
    val message = try {
        call()
        null
    } catch (error: IllegalArgumentException) {
        error.message
    }
    check(message != null && text in message) { "$text: $message" }
}
