package @PACKAGE@.runtime

import android.content.res.AssetManager
import java.io.File
import java.io.FileInputStream
import java.io.FileNotFoundException
import java.io.FileOutputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.security.MessageDigest

/** A model file is missing, was changed, or can't be mapped. */
class ModelFileException(message: String, cause: Throwable? = null) : IOException(message, cause)

/** Where the model files are; paths are those of [Variant.path]. */
interface ModelFiles {
    /** The file, mapped into memory for reading. */
    fun map(path: String): ByteBuffer

    /** The file itself; null if it is only part of another file. */
    fun file(path: String): File?
}

/** Files among the app's assets, which must not be compressed. */
class AssetFiles(private val assets: AssetManager) : ModelFiles {
    override fun map(path: String): ByteBuffer {
        val descriptor = try {
            assets.openFd(path)
        } catch (failure: FileNotFoundException) {
            throw unmapped(path, failure)
        }
        try {
            FileInputStream(descriptor.fileDescriptor).use {
                return it.channel.map(FileChannel.MapMode.READ_ONLY, descriptor.startOffset, descriptor.declaredLength)
            }
        } finally {
            descriptor.close()
        }
    }

    override fun file(path: String): File? = null

    /** Android says of a compressed asset, too, that it is not found. */
    private fun unmapped(path: String, failure: IOException): ModelFileException {
        try {
            assets.open(path).close()
        } catch (missing: IOException) {
            return ModelFileException("The app has no asset $path.", missing)
        }
        val line = "androidResources { noCompress += \"${path.substringAfterLast('.')}\" }"
        return ModelFileException("The asset $path is compressed. Add $line to the android block of the app.", failure)
    }
}

/** Files in a folder, such as that of an asset pack: the one that holds the folder `edgekit`. */
class FolderFiles(private val folder: File) : ModelFiles {
    override fun map(path: String): ByteBuffer {
        val file = File(folder, path)
        if (!file.isFile) throw ModelFileException("There is no file $path in $folder.")
        FileInputStream(file).use { return it.channel.map(FileChannel.MapMode.READ_ONLY, 0L, file.length()) }
    }

    override fun file(path: String): File? = File(folder, path)
}

/** Model files whose content is what this code was generated for. */
object ModelLoader {
    /** The variant's file, mapped and checked. */
    fun mapped(files: ModelFiles, variant: Variant): ByteBuffer {
        val model = files.map(variant.path)
        if (!matches(model, variant)) {
            throw ModelFileException("${variant.path} is not the file of this bundle: its size or sha256 differs.")
        }
        return model
    }

    /** The variant's file by a path, checked; one that is part of another file is copied once to [copies]. */
    fun file(files: ModelFiles, variant: Variant, copies: File): File {
        val model = mapped(files, variant)
        val there = files.file(variant.path)
        if (there != null) return there
        val copy = File(copies, variant.sha256 + "." + variant.path.substringAfterLast('.'))
        if (!copy.isFile || !matches(FolderFiles(copies).map(copy.name), variant)) write(model, copy)
        return copy
    }

    /** Whole or not at all: the name is given last. */
    private fun write(model: ByteBuffer, copy: File) {
        val folder = copy.parentFile ?: throw ModelFileException("$copy is in no folder.")
        if (!folder.isDirectory && !folder.mkdirs() && !folder.isDirectory) {
            throw ModelFileException("The folder $folder can't be made.")
        }
        val part = File.createTempFile("model", ".part", folder)
        try {
            FileOutputStream(part).use { out ->
                model.rewind()
                while (model.hasRemaining()) out.channel.write(model)
                out.fd.sync()
            }
            if (!part.renameTo(copy)) throw ModelFileException("$part can't be renamed to $copy.")
        } finally {
            part.delete()
        }
    }

    private fun matches(model: ByteBuffer, variant: Variant): Boolean {
        if (model.capacity().toLong() != variant.bytes) return false
        val digest = MessageDigest.getInstance("SHA-256")
        model.rewind()
        digest.update(model)
        model.rewind()
        return digest.digest().joinToString("") { "%02x".format(it) } == variant.sha256
    }
}
