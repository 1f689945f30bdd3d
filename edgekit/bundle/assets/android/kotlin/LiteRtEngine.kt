package @PACKAGE@.runtime

import java.nio.ByteBuffer
import org.tensorflow.lite.InterpreterApi

/** LiteRT's interpreter on the CPU (XNNPACK), on the mapped file. */
internal class LiteRtEngine(model: ByteBuffer, private val variant: Variant, threads: Int) : Engine {
    private val interpreter: InterpreterApi =
        InterpreterApi.create(model, InterpreterApi.Options().setNumThreads(threads))

    init {
        try {
            val inputs = List(interpreter.inputTensorCount) { interpreter.getInputTensor(it).numBytes() }
            val outputs = List(interpreter.outputTensorCount) { interpreter.getOutputTensor(it).numBytes() }
            if (inputs != variant.inputs.map { it.count * it.type.bytes } ||
                outputs != variant.outputs.map { it.count * it.type.bytes }) {
                throw WrongModelException("${variant.path} takes $inputs bytes and gives $outputs")
            }
        } catch (failure: Throwable) {
            interpreter.close()
            throw failure
        }
    }

    override fun run(inputs: List<ByteBuffer>, outputs: List<ByteBuffer>) {
        val results = HashMap<Int, Any>()
        inputs.forEach { it.clear() }
        outputs.forEachIndexed { index, buffer ->
            buffer.clear()
            results[index] = buffer
        }
        interpreter.runForMultipleInputsOutputs(Array<Any>(inputs.size) { inputs[it] }, results)
    }

    override fun close() = interpreter.close()
}
