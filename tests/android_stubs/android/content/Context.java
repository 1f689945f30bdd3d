package android.content;

import android.content.res.AssetManager;
import java.io.File;

/** Stands in for Android's: assets and the no-backup folder. */
public class Context {
    private final AssetManager assets;
    private final File noBackup;

    public Context(AssetManager assets, File noBackup) {
        this.assets = assets;
        this.noBackup = noBackup;
    }

    public AssetManager getAssets() {
        return assets;
    }

    public File getNoBackupFilesDir() {
        return noBackup;
    }
}
