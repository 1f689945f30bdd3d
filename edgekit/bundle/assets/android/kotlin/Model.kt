package @PACKAGE@

@IMPORTS@

/**
@DOC@
 *
 * Not for two threads at once: calls wait for each other. To be closed after use.
 */
class @CLASS@(val selection: Selection, private val engine: Engine) : Closeable {
    private val inputBuffers: List<ByteBuffer> = selection.variant.inputs.map { Tensors.allocate(it) }
    private val outputBuffers: List<ByteBuffer> = selection.variant.outputs.map { Tensors.allocate(it) }
    private var closed = false

    /**
     * Runs the model once.
     *
@PARAMETERS@
     */
    @Synchronized
    fun run(@ARGUMENTS@): Outputs {
        check(!this.closed) { "The model is closed." }
@PUTS@
        this.engine.run(this.inputBuffers, this.outputBuffers)
        return Outputs(
@GETS@
        )
    }
@FROM_IMAGE@
    /** Runs the model once on stored values: direct buffers in native order, as [Variant.inputs] describes them. */
    @Synchronized
    fun runStored(inputs: List<ByteBuffer>): List<ByteBuffer> {
        check(!this.closed) { "The model is closed." }
        val outputs = this.selection.variant.outputs.map { Tensors.allocate(it) }
        this.engine.run(inputs, outputs)
        outputs.forEach { it.clear() }
        return outputs
    }

    @Synchronized
    override fun close() {
        if (!this.closed) this.engine.close()
        this.closed = true
    }

    /** What one run gave, in the order of the model's outputs. */
    class Outputs(
@OUTPUTS@
    )

    /** The shapes of the inputs, batch included. */
    object InputShapes {
@INPUT_SHAPES@
    }

    /** The shapes of the outputs, batch included. */
    object OutputShapes {
@OUTPUT_SHAPES@
    }

    companion object {
        const val NAME: String = @NAME@

        /** The model's files; the first is for devices that [DEVICES] does not list. */
        @JvmField
        val VARIANTS: List<Variant> = listOf(
@VARIANTS@
        )

        /** Which variant was the best one on which device, by measurement. */
        @JvmField
        val DEVICES: List<DeviceRow> = listOf(@DEVICES@)
@CONSTANTS@
        /** The variant for a device, and why; [Selection.reason] says it. */
        @JvmStatic
        @JvmOverloads
        fun select(device: Device = Device.current()): Selection = DeviceTable.select(VARIANTS, DEVICES, device)

        /** The variant of this id. */
        @JvmStatic
        fun select(variant: String): Selection = DeviceTable.named(VARIANTS, variant)

@OPEN@
    }
}
