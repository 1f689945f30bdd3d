package android.content.res;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.util.HashSet;
import java.util.Set;

/** Assets in folders, the first that has a file wins. As in an APK, a file starts somewhere inside a larger one. */
public class AssetManager {
    /** Assets that Android would answer for as it does for compressed ones. */
    public final Set<String> compressed = new HashSet<>();

    private static final int OFFSET = 52;
    private final File[] folders;

    public AssetManager(File... folders) {
        this.folders = folders;
    }

    public InputStream open(String path) throws IOException {
        return new FileInputStream(find(path));
    }

    public AssetFileDescriptor openFd(String path) throws IOException {
        File file = find(path);
        if (compressed.contains(path)) {
            String said = "This file can not be opened as a file descriptor; it is probably compressed";
            throw new FileNotFoundException(said);
        }
        File apk = File.createTempFile("stub", ".apk");
        apk.deleteOnExit();
        try (FileOutputStream out = new FileOutputStream(apk)) {
            out.write(new byte[OFFSET]);
            Files.copy(file.toPath(), out);
            out.write(new byte[OFFSET]);
        }
        return new AssetFileDescriptor(new FileInputStream(apk), OFFSET, file.length());
    }

    private File find(String path) throws FileNotFoundException {
        for (File folder : folders) {
            File file = new File(folder, path);
            if (file.isFile()) {
                return file;
            }
        }
        throw new FileNotFoundException(path);
    }
}
