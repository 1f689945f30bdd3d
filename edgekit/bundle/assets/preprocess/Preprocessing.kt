package @PACKAGE@

/** How a picture is resized. */
enum class Interpolation { NEAREST, BILINEAR, BOX, BICUBIC }

/**
 * Everything that decides how a picture becomes one input.
 *
 * The picture is resized so that it covers [baseWidth] x [baseHeight], and its centre of [width] x [height] pixels is
 * kept. [channels] is 3 (RGB) or 1 (grey, luma of BT.601); [mean] and [std] have one value per channel, in units of
 * 0..1 pixel values. The input is channels x height x width, or height x width x channels with [channelsLast].
 */
class PreprocessingSteps(
    val channels: Int,
    val height: Int,
    val width: Int,
    val channelsLast: Boolean,
    val baseHeight: Int,
    val baseWidth: Int,
    val interpolation: Interpolation,
    val mean: FloatArray,
    val std: FloatArray
) {
    init {
        require(channels == 1 || channels == 3) { "An input has 1 or 3 channels, not $channels." }
        for (side in intArrayOf(height, width, baseHeight, baseWidth)) {
            require(side in 1..Preprocessing.MAX_SIDE) { "A side of $side pixels, not 1 to ${Preprocessing.MAX_SIDE}." }
        }
        require(mean.size == channels && std.size == channels) {
            "$channels channels take as many means and deviations, not ${mean.size} and ${std.size}."
        }
    }
}

/**
 * From a picture to a model's input, with the same bits as edgekit's Python (Pillow's resampling of 8-bit pictures,
 * then float32), C and Swift.
 */
object Preprocessing {
    /** The longest side of a picture or of an input, in pixels. */
    const val MAX_SIDE = 16384

    /**
     * One picture as the input's values, in the order that the steps say.
     *
     * [argb] is as of `Bitmap.getPixels` with a stride of [width]: 0xAARRGGBB, rows from the top down. Alpha is dropped
     * and colours are taken as they are; `getPixels` has undone their multiplication by alpha. The picture is upright:
     * turn it by its EXIF tag first.
     *
     * @throws IllegalArgumentException a side is not in 1..16384, or [argb] holds fewer than width * height pixels.
     */
    @JvmStatic
    fun run(steps: PreprocessingSteps, argb: IntArray, width: Int, height: Int): FloatArray {
        require(width in 1..MAX_SIDE && height in 1..MAX_SIDE) {
            "A picture has sides of 1 to $MAX_SIDE pixels, not $width x $height."
        }
        require(argb.size >= width * height) { "$width x $height pixels were announced, ${argb.size} were given." }
        return Resizer(steps, argb, width, height).run()
    }
}

private const val PRECISION_BITS = 22 // of weights
private const val HALF = 1 shl (PRECISION_BITS - 1)
private const val ONE = 1 shl PRECISION_BITS

/** One direction of the picture: which source pixels make up each position of the input, one after the other. */
private class Axis(private val interpolation: Interpolation, private val size: Int, val resized: Int) {
    private val scale = size.toDouble() / resized.toDouble()
    private val stretch = if (scale < 1.0) 1.0 else scale
    private val support = stretch * when (interpolation) {
        Interpolation.NEAREST -> 0.0
        Interpolation.BOX -> 0.5
        Interpolation.BILINEAR -> 1.0
        Interpolation.BICUBIC -> 2.0
    }
    private var position = 0
    private var at = scale * 0.5 // nearest: the source position, summed up as Pillow does

    /** At most so many source pixels make up a position. */
    val taps: Int =
        if (interpolation == Interpolation.NEAREST || size == resized) 1
        else Math.min(2 * Math.ceil(support).toInt() + 1, size)

    /** The first source pixel of the position that [next] was asked for last. */
    var low = 0
        private set

    /** How many source pixels make it up. */
    var count = 0
        private set

    fun skip(positions: Int) {
        position += positions
        if (interpolation == Interpolation.NEAREST) {
            for (i in 0 until positions) at += scale
        }
    }

    /** Goes on to the next position and puts its weights into [weights] from [offset] on. */
    fun next(weights: IntArray, offset: Int) {
        val current = position++
        if (interpolation == Interpolation.NEAREST || size == resized) {
            low = if (size == resized) current else Math.min(at.toInt(), size - 1)
            at += scale
            count = 1
            weights[offset] = ONE
            return
        }
        val center = (current.toDouble() + 0.5) * scale
        low = Math.max((center - support + 0.5).toInt(), 0)
        count = Math.min((center + support + 0.5).toInt(), size) - low
        val shrink = 1.0 / stretch
        var total = 0.0
        for (i in low until low + count) total += filter((i.toDouble() - center + 0.5) * shrink)
        for (i in 0 until count) {
            var weight = filter(((low + i).toDouble() - center + 0.5) * shrink)
            if (total != 0.0) weight /= total
            weight *= ONE.toDouble()
            weights[offset + i] = (if (weight < 0.0) weight - 0.5 else weight + 0.5).toInt()
        }
    }

    private fun filter(offset: Double): Double {
        if (interpolation == Interpolation.BOX) return if (offset > -0.5 && offset <= 0.5) 1.0 else 0.0
        val x = if (offset < 0.0) -offset else offset
        if (interpolation == Interpolation.BILINEAR) return if (x < 1.0) 1.0 - x else 0.0
        if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1.0
        return if (x < 2.0) (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5 else 0.0
    }
}

/** One picture on its way: two passes, each of which rounds to 8 bits, so that their order matters. */
private class Resizer(
    private val steps: PreprocessingSteps,
    private val argb: IntArray,
    private val pictureWidth: Int,
    pictureHeight: Int
) {
    private val channels = steps.channels
    private val lineBytes = steps.width * channels
    private val columns: Axis
    private val rows: Axis
    private val rowsFirst: Boolean
    private val columnWeights: IntArray
    private val columnLow = IntArray(steps.width)
    private val columnCount = IntArray(steps.width)
    private val rowWeights: IntArray
    private val unpacked: ByteArray // one line of the picture, or with rows first of the picture with fewer rows
    private val made = ByteArray(lineBytes)
    private val values = FloatArray(steps.height * lineBytes)
    private val normalised = FloatArray(256 * channels)

    init {
        val scale = Math.max(
            steps.baseHeight.toDouble() / pictureHeight.toDouble(),
            steps.baseWidth.toDouble() / pictureWidth.toDouble()
        )
        val width = Math.max((pictureWidth.toDouble() * scale + 1e-6).toInt(), steps.width)
        val height = Math.max((pictureHeight.toDouble() * scale + 1e-6).toInt(), steps.height)
        columns = Axis(steps.interpolation, pictureWidth, width)
        rows = Axis(steps.interpolation, pictureHeight, height)
        rowsFirst = pictureHeight - height > Math.max(0, 2 * (pictureWidth - width))
        columns.skip(centred(width, steps.width))
        rows.skip(centred(height, steps.height))
        columnWeights = IntArray(columns.taps * steps.width)
        rowWeights = IntArray(rows.taps)
        unpacked = ByteArray(pictureWidth * channels)
        for (x in 0 until steps.width) {
            columns.next(columnWeights, x * columns.taps)
            columnLow[x] = columns.low
            columnCount[x] = columns.count
        }
        for (c in 0 until channels) {
            for (value in 0..255) normalised[c * 256 + value] = (value.toFloat() / 255f - steps.mean[c]) / steps.std[c]
        }
    }

    fun run(): FloatArray {
        if (rowsFirst) rowsThenColumns() else columnsThenRows()
        return values
    }

    /** Every source line is resized once, and those are kept that the next line of the input may need. */
    private fun columnsThenRows() {
        val lines = Array(rows.taps) { ByteArray(lineBytes) }
        val sums = IntArray(lineBytes)
        var ready = 0
        for (y in 0 until steps.height) {
            rows.next(rowWeights, 0)
            ready = Math.max(ready, rows.low)
            while (ready < rows.low + rows.count) {
                unpack(ready)
                resizeColumns(lines[ready % rows.taps])
                ready++
            }
            sums.fill(HALF)
            for (row in 0 until rows.count) {
                val line = lines[(rows.low + row) % rows.taps]
                val weight = rowWeights[row]
                for (i in 0 until lineBytes) sums[i] += weight * (line[i].toInt() and 255)
            }
            for (i in 0 until lineBytes) made[i] = rounded(sums[i])
            store(y)
        }
    }

    private fun rowsThenColumns() {
        val begin = columnLow[0] * channels
        val end = (columnLow[steps.width - 1] + columnCount[steps.width - 1]) * channels
        val sums = IntArray(unpacked.size)
        for (y in 0 until steps.height) {
            rows.next(rowWeights, 0)
            sums.fill(HALF)
            for (row in 0 until rows.count) {
                unpack(rows.low + row)
                val weight = rowWeights[row]
                for (i in begin until end) sums[i] += weight * (unpacked[i].toInt() and 255)
            }
            for (i in begin until end) unpacked[i] = rounded(sums[i])
            resizeColumns(made)
            store(y)
        }
    }

    /** The pixels of one source line that are needed, as bytes with their channels side by side. */
    private fun unpack(row: Int) {
        val begin = columnLow[0]
        var to = begin * channels
        val offset = row * pictureWidth
        for (x in begin until columnLow[steps.width - 1] + columnCount[steps.width - 1]) {
            val pixel = argb[offset + x]
            val red = (pixel shr 16) and 255
            val green = (pixel shr 8) and 255
            val blue = pixel and 255
            if (channels == 3) {
                unpacked[to] = red.toByte()
                unpacked[to + 1] = green.toByte()
                unpacked[to + 2] = blue.toByte()
            } else {
                unpacked[to] = ((19595 * red + 38470 * green + 7471 * blue + 0x8000) shr 16).toByte()
            }
            to += channels
        }
    }

    /** [unpacked] in the input's width. */
    private fun resizeColumns(line: ByteArray) {
        for (x in 0 until steps.width) {
            val weights = x * columns.taps
            for (c in 0 until channels) {
                var from = columnLow[x] * channels + c
                var sum = HALF
                for (i in weights until weights + columnCount[x]) {
                    sum += columnWeights[i] * (unpacked[from].toInt() and 255)
                    from += channels
                }
                line[x * channels + c] = rounded(sum)
            }
        }
    }

    /** [made] as one line of the input. */
    private fun store(y: Int) {
        val area = steps.height * steps.width
        for (x in 0 until steps.width) {
            val at = y * steps.width + x
            for (c in 0 until channels) {
                val value = normalised[c * 256 + (made[x * channels + c].toInt() and 255)]
                values[if (steps.channelsLast) at * channels + c else c * area + at] = value
            }
        }
    }

    private fun rounded(sum: Int): Byte = Math.min(Math.max(sum shr PRECISION_BITS, 0), 255).toByte()

    /** Half of the difference, halves to even. */
    private fun centred(resized: Int, side: Int): Int {
        val half = (resized - side) / 2
        return half + ((resized - side) and half and 1)
    }
}
