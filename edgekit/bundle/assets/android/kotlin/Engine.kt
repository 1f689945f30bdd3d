package @PACKAGE@.runtime

import java.io.Closeable
import java.nio.ByteBuffer

/** One loaded model file in its runtime. Not thread-safe. */
interface Engine : Closeable {
    /**
     * Runs once. The buffers are direct, in native order and as large as their tensors, one for each tensor in the
     * order of the variant; they are read and written from their beginning.
     */
    fun run(inputs: List<ByteBuffer>, outputs: List<ByteBuffer>)
}

/** The runtime loaded the file, and it is not the one that this code was generated for. */
class WrongModelException(message: String) : IllegalStateException(message)
