package @PACKAGE@.runtime

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** The type of a tensor's stored elements. */
enum class ElementType(val bytes: Int) {
    FLOAT32(4),
    INT8(1),
    UINT8(1),
    INT32(4),
    INT64(8)
}

/** What stored integers stand for: real = scale * (stored - zeroPoint). */
class Quantisation(val scale: Float, val zeroPoint: Int)

/** One input or output of a model file; the batch is part of the shape. */
class TensorSpec(val name: String, val type: ElementType, val quantisation: Quantisation?, val shape: List<Int>) {
    /** The number of elements. */
    val count: Int = shape.fold(1) { product, side -> product * side }

    /** The shape as the runtimes take it. */
    fun longShape(): LongArray = LongArray(shape.size) { shape[it].toLong() }
}

/** Values to and from the buffers that a runtime reads and writes. Real values of quantised tensors are converted. */
object Tensors {
    /** A direct buffer in native order for the whole tensor. */
    fun allocate(spec: TensorSpec): ByteBuffer =
        ByteBuffer.allocateDirect(spec.count * spec.type.bytes).order(ByteOrder.nativeOrder())

    fun put(values: FloatArray, spec: TensorSpec, buffer: ByteBuffer) {
        checkCount(values.size, spec)
        buffer.clear()
        val quantisation = spec.quantisation
        if (quantisation == null) {
            buffer.asFloatBuffer().put(values)
        } else {
            for (value in values) buffer.put(quantised(value, quantisation, spec.type).toByte())
        }
        buffer.rewind()
    }

    fun put(values: ByteArray, spec: TensorSpec, buffer: ByteBuffer) {
        checkCount(values.size, spec)
        buffer.clear()
        buffer.put(values)
        buffer.rewind()
    }

    fun put(values: IntArray, spec: TensorSpec, buffer: ByteBuffer) {
        checkCount(values.size, spec)
        buffer.clear()
        buffer.asIntBuffer().put(values)
    }

    fun put(values: LongArray, spec: TensorSpec, buffer: ByteBuffer) {
        checkCount(values.size, spec)
        buffer.clear()
        buffer.asLongBuffer().put(values)
    }

    fun floats(spec: TensorSpec, buffer: ByteBuffer): FloatArray {
        buffer.clear()
        val values = FloatArray(spec.count)
        val quantisation = spec.quantisation
        if (quantisation == null) {
            buffer.asFloatBuffer().get(values)
            return values
        }
        for (index in values.indices) {
            val signed = buffer.get(index).toInt()
            val stored = if (spec.type == ElementType.UINT8) signed and 255 else signed
            values[index] = (stored - quantisation.zeroPoint).toFloat() * quantisation.scale
        }
        return values
    }

    fun bytes(spec: TensorSpec, buffer: ByteBuffer): ByteArray {
        buffer.clear()
        val values = ByteArray(spec.count)
        buffer.get(values)
        return values
    }

    fun ints(spec: TensorSpec, buffer: ByteBuffer): IntArray {
        buffer.clear()
        val values = IntArray(spec.count)
        buffer.asIntBuffer().get(values)
        return values
    }

    fun longs(spec: TensorSpec, buffer: ByteBuffer): LongArray {
        buffer.clear()
        val values = LongArray(spec.count)
        buffer.asLongBuffer().get(values)
        return values
    }

    /** Halves away from zero, saturating, as LiteRT's QUANTIZE; not-a-number becomes the zero point. */
    private fun quantised(value: Float, quantisation: Quantisation, type: ElementType): Int {
        val ratio = (value / quantisation.scale).toDouble()
        val rounded = (ratio + Math.copySign(0.5, ratio)).toLong().coerceIn(-LARGE, LARGE) + quantisation.zeroPoint
        val range = if (type == ElementType.UINT8) 0L..255L else -128L..127L
        return rounded.coerceIn(range).toInt()
    }

    private fun checkCount(count: Int, spec: TensorSpec) {
        require(count == spec.count) { "${spec.name}: $count values, but the shape ${spec.shape} has ${spec.count}" }
    }

    private const val LARGE = 1000000000L
}
