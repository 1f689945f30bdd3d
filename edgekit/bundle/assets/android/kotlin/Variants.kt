package @PACKAGE@.runtime

import android.os.Build

/** One converted file of a model; [path] is below the assets, [threads] are for devices that were not measured. */
class Variant(
    val id: String,
    val format: Format,
    val precision: String,
    val path: String,
    val bytes: Long,
    val sha256: String,
    val threads: Int,
    val inputs: List<TensorSpec>,
    val outputs: List<TensorSpec>
)

/** Which variant a device runs, by what was measured on it. */
class DeviceRow(
    val deviceName: String,
    val soc: String?,
    val variant: String,
    val threads: Int,
    val p50Ms: Double?,
    val measurementId: String
)

/** The device that the app runs on, by the names that a measurement may have for it; [soc] is null if not told. */
class Device(val names: List<String>, val soc: String?) {
    companion object {
        /** This device. Android tells the chip from API level 31 on. */
        @JvmStatic
        fun current(): Device {
            val model = Build.MODEL.trim()
            val soc = if (Build.VERSION.SDK_INT >= 31) Build.SOC_MODEL.trim() else ""
            val told = soc != "" && soc != Build.UNKNOWN
            return Device(listOf("${Build.MANUFACTURER.trim()} $model", model), if (told) soc else null)
        }
    }
}

/** Why a variant was selected. */
enum class SelectedBy {
    /** It was measured on a device of this name. */
    DEVICE,

    /** It was measured on another device with the same chip. */
    CHIP,

    /** Nothing like this device was measured: it is the first variant. */
    FALL_BACK,

    /** The app asked for it. */
    REQUEST
}

/** A variant with the number of threads to run it with, and why it was taken. */
class Selection(val variant: Variant, val threads: Int, val by: SelectedBy, val reason: String)

/** The choice of a variant by the table of measured devices. */
object DeviceTable {
    /**
     * The row of a device with one of this device's names, one with the same chip first; else a row of a device with
     * the same chip; else the first variant. Upper and lower case are the same.
     */
    @JvmStatic
    fun select(variants: List<Variant>, rows: List<DeviceRow>, device: Device): Selection {
        val named = rows.filter { row -> device.names.any { it.equals(row.deviceName, ignoreCase = true) } }
        val row = named.firstOrNull { sameChip(it, device) } ?: named.firstOrNull()
        if (row != null) return selection(variants, row, SelectedBy.DEVICE, "it was measured on ${row.deviceName}")
        val chip = rows.firstOrNull { sameChip(it, device) }
        if (chip != null) {
            val reason = "it was measured on ${chip.deviceName}, which has the same chip, ${chip.soc}"
            return selection(variants, chip, SelectedBy.CHIP, reason)
        }
        val first = variants.first()
        val name = "${device.names.firstOrNull()} (${device.soc ?: "chip not told"})"
        val reason = "nothing was measured on $name: the fall-back"
        return Selection(first, first.threads, SelectedBy.FALL_BACK, reason)
    }

    /** The variant of this id. */
    @JvmStatic
    fun named(variants: List<Variant>, id: String): Selection {
        val variant = variants.firstOrNull { it.id == id }
            ?: throw IllegalArgumentException("There is no variant $id, only ${variants.map { it.id }}.")
        return Selection(variant, variant.threads, SelectedBy.REQUEST, "the app asked for it")
    }

    private fun sameChip(row: DeviceRow, device: Device): Boolean =
        row.soc != null && row.soc.equals(device.soc, ignoreCase = true)

    private fun selection(variants: List<Variant>, row: DeviceRow, by: SelectedBy, reason: String): Selection =
        Selection(variants.first { it.id == row.variant }, row.threads, by, reason)
}
