package @PACKAGE@.runtime

import android.content.res.AssetManager
import android.util.Base64
import java.io.IOException
import org.json.JSONException
import org.json.JSONObject

/** The bundle is not signed by that key, or a file is not the one that was signed. */
class SealException(message: String, cause: Throwable? = null) : SecurityException(message, cause)

/** A manifest whose signature is right. [files] has the sha256 of every file of the bundle by its path there. */
class BundleSeal private constructor(val files: Map<String, String>) {
    /** Raises [SealException] unless the files of these variants are those of the manifest. */
    fun check(variants: List<Variant>) {
        for (variant in variants) {
            if (files[ASSETS + variant.path] != variant.sha256) {
                throw SealException("${variant.path} is not the file that the manifest lists.")
            }
        }
    }

    companion object {
        private const val MANIFEST = "edgekit_seal/@PACKAGE@/manifest.json"
        private const val ASSETS = "@ASSETS@"
        private const val DOMAIN = "@DOMAIN@"

        // SubjectPublicKeyInfo of RFC 8410: the algorithm 1.3.101.112 and a bit string of 32 bytes.
        private val X509_HEAD = byteArrayOf(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00)

        /**
         * Verifies the manifest of this bundle, which the module's build puts among the assets with its signature.
         *
         * @param publicKey the signer's, as the text of its .pub file (PEM). The key beside the signature is not used.
         * @throws SealException the bundle is not signed, or not by that key
         */
        @JvmStatic
        fun verify(assets: AssetManager, publicKey: String): BundleSeal {
            val manifest = read(assets, MANIFEST)
            try {
                val sealed = JSONObject(String(read(assets, "$MANIFEST.sig"), Charsets.UTF_8))
                val signature = Base64.decode(sealed.getString("signature"), Base64.DEFAULT)
                if (!Ed25519.verifies(raw(publicKey), DOMAIN.toByteArray(Charsets.UTF_8) + manifest, signature)) {
                    throw SealException("The manifest is not signed by that key, or was changed.")
                }
                return BundleSeal(listed(JSONObject(String(manifest, Charsets.UTF_8))))
            } catch (failure: JSONException) {
                throw SealException("The manifest or its signature is damaged.", failure)
            } catch (failure: IllegalArgumentException) {
                throw SealException("The signature or the key is damaged.", failure)
            }
        }

        /** The 32 bytes of the key in the X.509 form that a .pub file has. */
        private fun raw(publicKey: String): ByteArray {
            val body = publicKey.lines().filter { !it.startsWith("-----") }.joinToString("")
            val all = Base64.decode(body, Base64.DEFAULT)
            val head = all.copyOf(X509_HEAD.size)
            require(all.size == X509_HEAD.size + 32 && head.contentEquals(X509_HEAD)) { "no Ed25519 public key" }
            return all.copyOfRange(X509_HEAD.size, all.size)
        }

        private fun listed(manifest: JSONObject): Map<String, String> {
            val files = manifest.getJSONArray("files")
            val entries = (0 until files.length()).map { files.getJSONObject(it) }
            return entries.associate { it.getString("path") to it.getString("sha256") }
        }

        private fun read(assets: AssetManager, path: String): ByteArray = try {
            assets.open(path).use { it.readBytes() }
        } catch (failure: IOException) {
            throw SealException("The app has no asset $path: is the bundle signed?", failure)
        }
    }
}
