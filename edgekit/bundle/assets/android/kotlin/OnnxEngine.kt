package @PACKAGE@.runtime

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.nio.ByteBuffer

/** ONNX Runtime on its CPU provider, from the mapped file; inputs and outputs go by their order in the file. */
internal class OnnxEngine(model: ByteBuffer, private val variant: Variant, threads: Int) : Engine {
    private val environment: OrtEnvironment = OrtEnvironment.getEnvironment()
    private val session: OrtSession = open(model, threads)
    private val names: List<String> = session.inputNames.toList()

    init {
        if (names.size != variant.inputs.size || session.numOutputs != variant.outputs.size.toLong()) {
            session.close()
            throw WrongModelException("${variant.path} has the inputs $names and ${session.numOutputs} outputs")
        }
    }

    override fun run(inputs: List<ByteBuffer>, outputs: List<ByteBuffer>) {
        val tensors = LinkedHashMap<String, OnnxTensor>()
        try {
            variant.inputs.forEachIndexed { index, spec ->
                val buffer = inputs[index]
                buffer.clear()
                tensors[names[index]] = OnnxTensor.createTensor(environment, buffer, spec.longShape(), javaType(spec))
            }
            val results = session.run(tensors)
            try {
                variant.outputs.forEachIndexed { index, spec ->
                    copy(results.get(index) as OnnxTensor, spec, outputs[index])
                }
            } finally {
                results.close()
            }
        } finally {
            tensors.values.forEach { it.close() }
        }
    }

    override fun close() = session.close()

    private fun open(model: ByteBuffer, threads: Int): OrtSession {
        val options = OrtSession.SessionOptions()
        try {
            options.setIntraOpNumThreads(threads)
            options.setInterOpNumThreads(1)
            return environment.createSession(model, options)
        } finally {
            options.close()
        }
    }

    private fun copy(result: OnnxTensor, spec: TensorSpec, buffer: ByteBuffer) {
        val values = result.byteBuffer
        buffer.clear()
        if (values.remaining() != buffer.remaining()) {
            val sizes = "${values.remaining()} bytes, not ${buffer.remaining()}"
            throw WrongModelException("${variant.path}: ${spec.name} has $sizes")
        }
        buffer.put(values)
    }

    private fun javaType(spec: TensorSpec): OnnxJavaType = when (spec.type) {
        ElementType.FLOAT32 -> OnnxJavaType.FLOAT
        ElementType.INT8 -> OnnxJavaType.INT8
        ElementType.UINT8 -> OnnxJavaType.UINT8
        ElementType.INT32 -> OnnxJavaType.INT32
        ElementType.INT64 -> OnnxJavaType.INT64
    }
}
