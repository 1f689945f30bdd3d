package @PACKAGE@.runtime

import java.io.File
import java.nio.ByteBuffer
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** ExecuTorch (XNNPACK and portable kernels), which maps the file by its path. */
internal class ExecuTorchEngine(file: File, private val variant: Variant, threads: Int) : Engine {
    private val module: Module = Module.load(file.absolutePath, Module.LOAD_MODE_MMAP, threads)

    override fun run(inputs: List<ByteBuffer>, outputs: List<ByteBuffer>) {
        val values = Array(inputs.size) { EValue.from(tensor(variant.inputs[it], inputs[it])) }
        val results = module.forward(*values)
        if (results.size != outputs.size) {
            throw WrongModelException("${variant.path} gives ${results.size} outputs, not ${outputs.size}")
        }
        results.forEachIndexed { index, value -> copy(value.toTensor(), variant.outputs[index], outputs[index]) }
    }

    override fun close() = module.destroy()

    private fun tensor(spec: TensorSpec, buffer: ByteBuffer): Tensor {
        buffer.clear()
        val shape = spec.longShape()
        return when (spec.type) {
            ElementType.FLOAT32 -> Tensor.fromBlob(buffer.asFloatBuffer(), shape)
            ElementType.INT8 -> Tensor.fromBlob(buffer, shape)
            ElementType.UINT8 -> Tensor.fromBlobUnsigned(buffer, shape)
            ElementType.INT32 -> Tensor.fromBlob(buffer.asIntBuffer(), shape)
            ElementType.INT64 -> Tensor.fromBlob(buffer.asLongBuffer(), shape)
        }
    }

    private fun copy(result: Tensor, spec: TensorSpec, buffer: ByteBuffer) {
        if (result.numel() != spec.count.toLong()) {
            throw WrongModelException("${variant.path}: ${spec.name} has ${result.numel()} values, not ${spec.count}")
        }
        buffer.clear()
        when (spec.type) {
            ElementType.FLOAT32 -> buffer.asFloatBuffer().put(result.dataAsFloatArray)
            ElementType.INT8 -> buffer.put(result.dataAsByteArray)
            ElementType.UINT8 -> buffer.put(result.dataAsUnsignedByteArray)
            ElementType.INT32 -> buffer.asIntBuffer().put(result.dataAsIntArray)
            ElementType.INT64 -> buffer.asLongBuffer().put(result.dataAsLongArray)
        }
    }
}
