package @PACKAGE@

import @PACKAGE@.runtime.ElementType
import @PACKAGE@.runtime.TensorSpec
import androidx.test.platform.app.InstrumentationRegistry
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.Assert.assertTrue

/** Arrays that came with the bundle: raw little-endian elements, one sample after the other. */
internal object Golden {
    private val assets = InstrumentationRegistry.getInstrumentation().context.assets

    fun bytes(name: String): ByteArray = assets.open("edgekit_golden/$name").use { it.readBytes() }

    fun floats(name: String): FloatArray {
        val buffer = ByteBuffer.wrap(bytes(name)).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        return FloatArray(buffer.remaining()).also { buffer.get(it) }
    }

    /** One sample of an array, as a runtime takes it. Android's processors are little-endian. */
    fun sample(array: ByteArray, spec: TensorSpec, index: Int): ByteBuffer {
        val size = spec.count * spec.type.bytes
        val buffer = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder())
        buffer.put(array, index * size, size)
        buffer.rewind()
        return buffer
    }

    /** The real values of a tensor. */
    fun reals(spec: TensorSpec, buffer: ByteBuffer): DoubleArray {
        val scale = spec.quantisation?.scale?.toDouble() ?: 1.0
        val zero = spec.quantisation?.zeroPoint ?: 0
        return DoubleArray(spec.count) {
            when (spec.type) {
                ElementType.FLOAT32 -> buffer.getFloat(4 * it).toDouble()
                ElementType.INT8 -> scale * (buffer.get(it).toInt() - zero)
                ElementType.UINT8 -> scale * ((buffer.get(it).toInt() and 255) - zero)
                ElementType.INT32 -> buffer.getInt(4 * it).toDouble()
                ElementType.INT64 -> buffer.getLong(8 * it).toDouble()
            }
        }
    }

    /** Holds all samples of an output to the tolerance; [maxAbs] is relative to the reference's largest value. */
    fun hold(name: String, actual: List<DoubleArray>, reference: List<DoubleArray>, maxAbs: Double, cosine: Double) {
        var peak = 0.0
        var worst = 0.0
        var dot = 0.0
        var actualNorm = 0.0
        var referenceNorm = 0.0
        for (sample in reference.indices) {
            for (index in reference[sample].indices) {
                val a = actual[sample][index]
                val r = reference[sample][index]
                assertTrue("$name: element $index of sample $sample is $a", !a.isNaN() && !a.isInfinite())
                peak = Math.max(peak, Math.abs(r))
                worst = Math.max(worst, Math.abs(a - r))
                dot += a * r
                actualNorm += a * a
                referenceNorm += r * r
            }
        }
        assertTrue("$name is off by $worst, more than $maxAbs of $peak", worst <= maxAbs * peak)
        val norms = Math.sqrt(actualNorm) * Math.sqrt(referenceNorm)
        val found = if (norms != 0.0) dot / norms else if (actualNorm == referenceNorm) 1.0 else 0.0
        assertTrue("$name has the cosine $found, less than $cosine", found >= cosine)
    }

    fun assertSameBits(name: String, expected: FloatArray, actual: FloatArray) {
        assertTrue("$name has ${actual.size} values, not ${expected.size}", expected.size == actual.size)
        for (index in expected.indices) {
            val same = expected[index].toRawBits() == actual[index].toRawBits()
            assertTrue("$name: element $index is ${actual[index]}, not ${expected[index]}", same)
        }
    }
}
